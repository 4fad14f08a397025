//! How much a document may hold, looked at before it is parsed.
//!
//! The parser is linear in most of what a sender can make large, but not in the attributes of one
//! element and not in the namespaces in scope; and what is read is a tree, which somebody walks
//! down. So the tags are counted first, with their depth and what is in each. This is no parser:
//! text in which it loses its way is no XML either.

use memchr::{memchr, memmem};
use roxmltree::{Document, Error, ParsingOptions};

use super::Fault;

/// Bytes of a message. Large ones name hundreds of groups, at about 150 bytes each.
pub const BYTES_MAX: usize = 512 << 10;
/// Assertions of a response. One is usual.
pub const ASSERTIONS_MAX: usize = 8;
/// Bytes of the canonical form of a part of it: namespaces can be written out many times.
pub(super) const CANONICAL_BYTES_MAX: usize = 4 * BYTES_MAX;
/// Elements inside of each other. Messages have about ten.
pub(super) const DEPTH_MAX: usize = 64;
/// Attributes and namespaces of one element.
const ATTRIBUTES_MAX: usize = 64;
/// Namespaces that are declared in a document. Some senders declare two for each value.
const NAMESPACES_MAX: usize = 2048;
/// Namespaces in scope of one element.
pub(super) const SCOPE_MAX: usize = 64;
/// Elements, texts and comments.
const NODES_MAX: u32 = 1 << 16;

/// Parses a message.
pub(super) fn document(text: &[u8]) -> Result<Document<'_>, Fault> {
    parse(text, BYTES_MAX)
}

/// Parses a canonical form of ours.
pub(super) fn canonical(text: &[u8]) -> Result<Document<'_>, Fault> {
    parse(text, CANONICAL_BYTES_MAX)
}

fn parse(text: &[u8], bytes_max: usize) -> Result<Document<'_>, Fault> {
    if text.len() > bytes_max {
        return Err(Fault::Bound("bytes"));
    }
    let text = str::from_utf8(text).map_err(|why| Fault::Malformed(why.to_string()))?;
    count(text.as_bytes())?;
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|why| match why {
        Error::DtdDetected => Fault::Doctype,
        Error::NodesLimitReached => Fault::Bound("nodes"),
        why => Fault::Malformed(why.to_string()),
    })
}

/// Counts tags, their attributes and how deep they are.
fn count(text: &[u8]) -> Result<(), Fault> {
    // The parser takes room for as many nodes and attributes as there are of these.
    let many = |byte: u8| text.iter().filter(|found| **found == byte).count() > NODES_MAX as usize;
    if many(b'<') || many(b'=') {
        return Err(Fault::Bound("tags"));
    }
    if memmem::find_iter(text, b"xmlns").count() > NAMESPACES_MAX {
        return Err(Fault::Bound("namespaces"));
    }
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(at) = memchr(b'<', rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        rest = match rest {
            [b'!', b'-', b'-', inside @ ..] => after(inside, b"-->"),
            [b'!', b'[', inside @ ..] => after(inside, b"]]>"),
            [b'!', ..] => return Err(Fault::Doctype),
            [b'?', inside @ ..] => after(inside, b"?>"),
            [b'/', inside @ ..] => {
                depth = depth.saturating_sub(1);
                after(inside, b">")
            }
            inside => {
                let (opens, behind) = tag(inside)?;
                depth += usize::from(opens);
                behind
            }
        };
        if depth > DEPTH_MAX {
            return Err(Fault::Bound("depth"));
        }
    }
    Ok(())
}

/// What follows the first `end`; nothing if there is none.
fn after<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    memmem::find(text, end).and_then(|at| text.get(at + end.len()..)).unwrap_or_default()
}

/// Counts the attributes of a start tag. Gives whether it opens an element, and what follows it.
fn tag(text: &[u8]) -> Result<(bool, &[u8]), Fault> {
    let (mut quote, mut values, mut last) = (None, 0, 0);
    for (at, byte) in text.iter().copied().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Ok((last != b'/', text.get(at + 1..).unwrap_or_default())),
            (None, b'"' | b'\'') => {
                values += 1;
                if values > ATTRIBUTES_MAX {
                    return Err(Fault::Bound("attributes"));
                }
                quote = Some(byte);
            }
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        last = byte;
    }
    Ok((true, &[]))
}
