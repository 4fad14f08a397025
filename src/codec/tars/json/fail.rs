//! What is wrong with a value, and where it stands.

use std::fmt;

use super::super::wire::Fault;

/// Levels of a path that a message shows.
const SHOWN_MAX: usize = 20;

/// Bytes of a map's key that a message shows.
const KEY_BYTES_MAX: usize = 64;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail {
    /// From the inside out.
    path: Vec<Step>,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
}

impl Fail {
    pub(in super::super) fn new(message: impl Into<String>) -> Self {
        Fail { path: Vec::new(), message: message.into() }
    }

    /// In the member called `name`.
    pub(super) fn field(mut self, name: &str) -> Self {
        self.path.push(Step::Field(name.to_owned()));
        self
    }

    /// In the element with `index`.
    pub(super) fn index(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }

    /// In the value under `key`.
    pub(super) fn key(self, key: &str) -> Self {
        let end = key.char_indices().map(|(at, _)| at).find(|at| *at >= KEY_BYTES_MAX);
        match end.and_then(|end| key.get(..end)) {
            Some(start) => self.field(&format!("{start}…")),
            None => self.field(key),
        }
    }
}

impl From<Fault> for Fail {
    fn from(fault: Fault) -> Self {
        Fail::new(fault.to_string())
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.path.iter().rev().take(SHOWN_MAX).enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Field(name) if is_plain(name) => {
                    let dot = if at > 0 { "." } else { "" };
                    write!(f, "{dot}{name}")?;
                }
                Step::Field(name) => write!(f, "[{name:?}]")?,
            }
        }
        if self.path.len() > SHOWN_MAX {
            write!(f, "…")?;
        }
        if !self.path.is_empty() {
            write!(f, ": ")?;
        }
        f.write_str(&self.message)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}
