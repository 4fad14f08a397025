//! Where the objects of an `apisix.yaml` stand in its text, found without parsing it.
//!
//! An object that a file has as an entry of a list depends on nothing but its own lines, if
//! the file names no anchors. So a file that changed in one place needs to be parsed only
//! there. What is looked for here is how people and tools write such files: sections at the
//! margin, each with a list, whose entries begin at one column. A file that looks different
//! is not cut.

use std::ops::Range;

/// Lines that stand for themselves: an entry of a list, or a section that is no such list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Its bytes of the text.
    pub(super) range: Range<usize>,
    /// The line it begins on, counted from 1.
    pub(super) line: usize,
}

/// A section at the margin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section<'t> {
    /// Its key.
    pub(super) name: &'t str,
    /// From its key to its end.
    pub(super) whole: Chunk,
    /// The entries of its list; `None` if it is no list that can be cut.
    pub(super) entries: Option<Vec<Chunk>>,
}

/// Cuts a text. `None`: it is written in a way that is not known here.
pub(super) fn cut(text: &str) -> Option<Vec<Section<'_>>> {
    let mut sections: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let (begin, number) = (at, number + 1);
        at += line.len();
        let content = line.trim_start_matches(' ');
        let column = line.len() - content.len();
        let content = content.trim_end();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let is_entry = content == "-" || content.starts_with("- ");
        match sections.last_mut() {
            Some(open) if column > 0 || is_entry => open.line(column, is_entry, begin, number)?,
            _ if column == 0 => {
                if sections.is_empty() && content == "---" {
                    continue;
                }
                sections.push(Open::new(content, begin, number)?);
            }
            _ => return None,
        }
    }
    let ends: Vec<usize> =
        sections.iter().skip(1).map(|open| open.begin).chain([text.len()]).collect();
    let names: std::collections::HashSet<&str> = sections.iter().map(|open| open.name).collect();
    if names.len() != sections.len() {
        return None;
    }
    Some(sections.into_iter().zip(ends).map(|(open, end)| open.close(end)).collect())
}

/// A section whose end is not seen yet.
struct Open<'t> {
    name: &'t str,
    begin: usize,
    line: usize,
    /// Nothing follows its key on the same line.
    may_be_list: bool,
    /// The column of the entries.
    column: Option<usize>,
    entries: Vec<(usize, usize)>,
}

impl<'t> Open<'t> {
    fn new(content: &'t str, begin: usize, line: usize) -> Option<Self> {
        let (name, rest) = content.split_once(':')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
            return None;
        }
        let spaced = rest.is_empty() || rest.starts_with(' ');
        let rest = rest.trim_start_matches(' ');
        let may_be_list = rest.is_empty() || rest.starts_with('#');
        spaced.then_some(Self { name, begin, line, may_be_list, column: None, entries: Vec::new() })
    }

    /// A line of this section that is no comment.
    fn line(&mut self, column: usize, is_entry: bool, begin: usize, line: usize) -> Option<()> {
        if !self.may_be_list {
            // The value goes on; at the margin it cannot.
            return (column > 0).then_some(());
        }
        match self.column {
            None if is_entry => {
                self.column = Some(column);
                self.entries.push((begin, line));
            }
            None => self.may_be_list = false,
            Some(first) if column == first && is_entry => self.entries.push((begin, line)),
            Some(first) if column > first => {}
            Some(_) => return None,
        }
        Some(())
    }

    fn close(self, end: usize) -> Section<'t> {
        let entries = (self.may_be_list && self.column.is_some()).then(|| {
            let ends = self.entries.iter().skip(1).map(|(begin, _)| *begin).chain([end]);
            let chunk = |(&(begin, line), end)| Chunk { range: begin..end, line };
            self.entries.iter().zip(ends).map(chunk).collect()
        });
        let whole = Chunk { range: self.begin..end, line: self.line };
        Section { name: self.name, whole, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Vec<&str>> {
        let sections = cut(text).unwrap();
        let texts = |section: &Section<'_>| {
            let entries = section.entries.as_deref().unwrap_or_default();
            entries.iter().map(|chunk| &text[chunk.range.clone()]).collect()
        };
        sections.iter().map(texts).collect()
    }

    #[test]
    fn lists_are_cut_at_their_entries() {
        let text = "# head\n---\nroutes: # all\n  - id: 1\n    uris:\n      - /a\n\n  # of two\n  \
                    - id: 2\nupstreams:\n- id: 1\n- {id: 2}\n#END\n";
        assert_eq!(
            entries(text),
            [
                vec!["  - id: 1\n    uris:\n      - /a\n\n  # of two\n", "  - id: 2\n"],
                vec!["- id: 1\n", "- {id: 2}\n#END\n"],
            ]
        );
        let sections = cut(text).unwrap();
        assert_eq!((sections[0].name, sections[0].whole.line), ("routes", 3));
        let lines = |at: usize| -> Vec<usize> {
            sections[at].entries.iter().flatten().map(|chunk| chunk.line).collect()
        };
        assert_eq!((lines(0), lines(1)), (vec![4, 9], vec![11, 12]));
    }

    #[test]
    fn sections_that_are_no_lists_stay_whole() {
        let text = "a: 1\nb:\n  c: 1\nd: [\n  1]\ne: []\nroutes:\n#END";
        let sections = cut(text).unwrap();
        let names: Vec<_> = sections.iter().map(|section| section.name).collect();
        assert_eq!(names, ["a", "b", "d", "e", "routes"]);
        assert!(sections.iter().all(|section| section.entries.is_none()));
        assert_eq!(&text[sections[2].whole.range.clone()], "d: [\n  1]\n");
        assert_eq!(cut("").unwrap(), []);
    }

    #[test]
    fn what_is_written_in_another_way_is_not_cut() {
        for text in [
            "{routes: []}",
            "- a",
            "  routes:\n  - a: 1",
            "\"routes\":\n  - a: 1",
            "? routes\n: - a: 1",
            "%YAML 1.2\n---\nroutes:\n  - a: 1",
            "routes:\n  - a: 1\n...\n",
            "routes:\n  - a: 1\n---\n",
            "routes:\n    - a: 1\n  - b: 1",
            "routes:\n\t- a: 1",
            "routes:\n  - a: 1\nroutes:\n  - b: 1",
            "routes:a\n",
            "\u{feff}routes:\n  - a: 1",
        ] {
            assert_eq!(cut(text), None, "{text:?}");
        }
    }
}
