//! Which protocols there are. A new one is one row of [`PROTOCOLS`].

use std::rc::Rc;

use serde_json::Value;

use super::{Dialect, tars, trpc};

/// One file of an interface description.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What other files include it by, and what messages call it.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a [u8],
}

/// A dialect, or what is wrong with which option, or where in which file.
pub type Made = Result<Rc<dyn Dialect>, String>;

/// A protocol that upstreams may speak instead of HTTP.
pub struct Protocol {
    /// As in `core.upstream.set_protocol`.
    pub name: &'static str,
    /// Makes a dialect of an object of options and of an interface description, whose first
    /// file is the main one; there may be none.
    pub dialect: fn(options: &Value, sources: &[Source<'_>]) -> Made,
    /// How names of files in its interface language end, with the dot; `.tars`.
    pub suffix: &'static str,
    /// Checks one file alone when it is stored, so without the files it includes. The error
    /// has line and column.
    pub check: fn(source: &Source<'_>) -> Result<(), String>,
}

/// All protocols but HTTP.
pub const PROTOCOLS: &[Protocol] = &[tars::PROTOCOL, trpc::PROTOCOL];

/// The protocol called `name` among `known`.
///
/// # Errors
/// There is none; the message says which there are.
pub fn find<'p>(known: &'p [Protocol], name: &str) -> Result<&'p Protocol, String> {
    known.iter().find(|protocol| protocol.name == name).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|protocol| protocol.name).collect();
        format!("unknown protocol {name:?}: there are http, {}", names.join(", "))
    })
}

/// Checks a stored file by the language its name ends with. One whose name says none, such as those
/// of APISIX, must be right in one of the languages.
///
/// # Errors
/// What is wrong with it, with line and column.
pub fn check(known: &[Protocol], source: &Source<'_>) -> Result<(), String> {
    if let Some(protocol) = known.iter().find(|protocol| source.name.ends_with(protocol.suffix)) {
        return (protocol.check)(source);
    }
    let mut wrong = Vec::new();
    for protocol in known {
        match (protocol.check)(source) {
            Ok(()) => return Ok(()),
            Err(why) => {
                let first = why.lines().next().unwrap_or_default();
                wrong.push(format!("as {}: {first}", protocol.suffix));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
