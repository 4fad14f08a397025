//! Replacement templates of `ngx.re.sub` and `ngx.re.gsub`: `$0`, `$1`, `${1}`, `$$`.

use super::pattern::Places;

/// A piece of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t [u8]),
    Group(usize),
}

/// A parsed template, borrowing from the text it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template<'t> {
    pieces: Vec<Piece<'t>>,
}

impl<'t> Template<'t> {
    /// Reads a template; `None` when a `$` is followed by no group number.
    pub(super) fn parse(text: &'t [u8]) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            if dollar > 0 {
                pieces.push(Piece::Text(&rest[..dollar]));
            }
            let (piece, used) = variable(&rest[dollar..])?;
            pieces.push(piece);
            rest = &rest[dollar + used..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest));
        }
        Some(Self { pieces })
    }

    /// Appends the replacement for one match to `out`.
    pub(super) fn render(&self, subject: &[u8], found: &Places, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Group(index) => {
                    if let Some(text) = group(subject, found, *index) {
                        out.extend_from_slice(text);
                    }
                }
            }
        }
    }
}

/// The text of a group; `None` when it took no part in the match or does not exist.
pub(super) fn group<'s>(subject: &'s [u8], found: &Places, index: usize) -> Option<&'s [u8]> {
    if index >= found.len() {
        return None;
    }
    let (from, to) = found.get(index)?;
    // `\K` inside a look-ahead can put the end before the start.
    Some(subject.get(from..to).unwrap_or_default())
}

/// Reads from a `$` on; returns the piece and how many bytes it took.
fn variable(text: &[u8]) -> Option<(Piece<'_>, usize)> {
    let after = text.get(1..)?;
    if after.first() == Some(&b'$') {
        return Some((Piece::Text(&after[..1]), 2));
    }
    let (digits_at, braced) = if after.first() == Some(&b'{') { (1, true) } else { (0, false) };
    let digits = after[digits_at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let end = digits_at + digits;
    if braced && after.get(end) != Some(&b'}') {
        return None;
    }
    let number = after[digits_at..end].iter().fold(0_usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    Some((Piece::Group(number), 1 + end + usize::from(braced)))
}
