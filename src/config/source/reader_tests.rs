//! Files that change in one place are read as if they were new.

use proptest::prelude::*;

use super::*;

const LIMITS: DocumentLimits = DocumentLimits {
    bytes_max: 1 << 20,
    nodes_max: 1 << 16,
    levels_max: 8,
    alias_bytes_max: 1 << 16,
};

fn no_env(_: &str) -> Option<String> {
    None
}

/// Everything of a document, its values read, or what is wrong with it.
fn told(document: Result<RawDocument, ParseError>) -> Result<Vec<String>, ParseError> {
    let document = document?;
    let mut told = vec![format!("{:?} {:?}", document.plugins, document.warnings)];
    told.push(format!("{:?}", document.broken));
    for item in Kind::ALL.into_iter().flat_map(|kind| document.items(kind)) {
        let value = item.value.clone().into_value().unwrap();
        let indexes = (item.modified_index, item.created_index);
        told.push(format!("{} {:?} {indexes:?} {} {value}", item.id, item.line, item.hash));
    }
    Ok(told)
}

fn fresh(text: &str) -> Result<Vec<String>, ParseError> {
    told(file::parse(text, Format::Yaml, &LIMITS, &no_env))
}

fn unread(document: &RawDocument) -> usize {
    let items = Kind::ALL.into_iter().flat_map(|kind| document.items(kind));
    items.filter(|item| matches!(item.value, RawValue::Unread(_))).count()
}

/// Reads one text after the other; how many objects of the last came unread.
fn last_unread(texts: &[&str]) -> usize {
    let mut reader = Reader::default();
    let mut count = 0;
    for text in texts {
        let read = reader.yaml(text, &LIMITS, &no_env);
        count = read.as_ref().map_or(0, unread);
        assert_eq!(told(read), fresh(text), "{text}");
    }
    count
}

const FILE: &str = "# all of it
routes:
  - id: 1
    uris:
      - /a
    filter_func: |
      # no comment
      return 1

  - uri: /b   # without an id
  - {id: 3, uri: /c, modifiedIndex: 7}
consumers:
- username: jack
- username: joe
plugins:
  - name: cors
#END
";

#[test]
fn only_what_changed_is_parsed() {
    assert_eq!(last_unread(&[FILE]), 0);
    assert_eq!(last_unread(&[FILE, FILE]), 5);
    assert_eq!(last_unread(&[FILE, &FILE.replace("/b ", "/x ")]), 4);
    assert_eq!(last_unread(&[FILE, &FILE.replace("  - uri: /b   # without an id\n", "")]), 4);
    // Its place in the list is the name of an object without one.
    let moved = FILE.replace("routes:\n", "routes:\n  - id: 0\n");
    assert_eq!(last_unread(&[FILE, &moved, FILE]), 5);
    assert_eq!(last_unread(&[FILE, &FILE.replace("cors", "csrf")]), 5);
    assert_eq!(last_unread(&[FILE, &FILE.replace("plugins:", "unknown:")]), 5);
}

#[test]
fn a_part_that_needs_the_whole_has_it() {
    let shared = FILE.replace("/c,", "&c /c,").replace("joe", "*c");
    assert_eq!(last_unread(&[&shared, &shared]), 0);
    assert_eq!(last_unread(&[FILE, &shared, &shared.replace("/c,", "/d,")]), 0);
    let beside = FILE.replace("#END", "base: &b {x: 1}\n#END");
    assert_eq!(last_unread(&[FILE, &beside, &beside.replace("joe", "*b")]), 0);
    // What looks like a section is a text that goes on.
    let odd =
        |value: &str| format!("services:\n  - id: 1\n    desc: \"x\nupstreams: {value}\"\n#END\n");
    assert_eq!(last_unread(&[&odd("y"), &odd("y"), &odd("z")]), 0);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (from, to) in [
        ("/b ", "[/b "),
        ("joe", "joe\n  mail: x: y"),
        ("{id: 3", "{id: {}"),
        ("- username: joe", "- 5"),
        ("plugins:\n  - name: cors", "plugins: 5"),
        ("consumers:", "consumers: 7\nservices:"),
        ("uris:\n      - /a", "uris: [[[[[[[[1]]]]]]]]"),
        ("/b ", "${{GONE}} "),
        ("#END", "# END"),
    ] {
        let broken = FILE.replace(from, to);
        assert_ne!(broken, FILE);
        last_unread(&[FILE, &broken, FILE, &broken]);
    }
}

#[test]
fn a_file_on_disk_is_remembered_once_it_is_large() {
    let folder = std::env::temp_dir().join(format!("moongate-reader-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("apisix.yaml");
    let text = |count: usize| {
        let routes: String =
            (0..count).map(|id| format!("  - {{id: {id}, uri: /{id}}}\n")).collect();
        format!("routes:\n{routes}#END\n")
    };
    let mut reader = Reader::default();
    let limits = DocumentLimits::default();
    for (count, known) in [(10, 0), (10, 0), (5000, 0), (5000, 5000), (4999, 4998)] {
        std::fs::write(&path, text(count)).unwrap();
        let document = reader.read(&path, Format::Yaml, &limits, &no_env).unwrap();
        assert_eq!((document.items(Kind::Routes).len(), unread(&document)), (count, known));
    }
    std::fs::write(&path, "routes:\n  - ]\n#END").unwrap();
    let error = reader.read(&path, Format::Yaml, &limits, &no_env).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}:2: ", path.display())), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// An entry of a list, as somebody may write it below `pad`.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u8..9).prop_map(|id| format!("id: {id}\n  uri: /{id}")),
        (0u8..9).prop_map(|id| format!("{{id: {id}, uris: [/a,\n   /b]}}")),
        (0u8..9).prop_map(|id| format!("desc: |\n    - {id}\n    # {id}\n\n  uri: /x")),
        (0u8..9).prop_map(|id| format!("desc: \"a\n    - {id}\"\n  uri: '/x'")),
        (0u8..9).prop_map(|id| format!("\n  id: {id}\n# at the margin\n\n  uri: /x")),
        (0u8..9).prop_map(|id| format!("id: {id}\n  desc: |+\n    x\n\n")),
        (0u8..9).prop_map(|id| format!("&a{id} id: {id}")),
        Just("[1]".to_owned()),
        Just("desc: 'it\n  - goes on'".to_owned()),
        Just("id: *a1".to_owned()),
        Just("desc: \"open\n- and closed\"".to_owned()),
    ]
}

fn section(name: &'static str) -> impl Strategy<Value = String> {
    (prop::collection::vec(entry(), 0..6), 0usize..4).prop_map(move |(entries, column)| {
        let pad = " ".repeat(column);
        let lines =
            |entry: &String| format!("{pad}- {}\n", entry.replace('\n', &format!("\n{pad}")));
        format!("{name}:\n{}", entries.iter().map(lines).collect::<String>())
    })
}

proptest! {
    #[test]
    fn a_changed_file_reads_as_a_new_one(
        files in prop::collection::vec(
            (section("routes"), section("upstreams"), section("unknown")), 1..4),
        order in prop::collection::vec((0usize..4, 0usize..4), 1..5),
    ) {
        let mut reader = Reader::default();
        for (first, second) in order {
            // Parts of two files: much of the text was there before.
            let (a, b) = (&files[first % files.len()], &files[second % files.len()]);
            let text = format!("{}{}{}#END\n", a.0, b.1, a.2);
            let read = reader.yaml(&text, &LIMITS, &no_env);
            prop_assert_eq!(told(read), fresh(&text), "{}", text);
        }
    }
}
