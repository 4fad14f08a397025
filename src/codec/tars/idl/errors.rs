//! What is wrong with an interface description, and where.

use std::fmt;

/// As many errors are reported at once; later ones mostly follow from earlier ones.
const ERRORS_MAX: usize = 50;

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    /// Index of the file.
    pub(super) file: usize,
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
}

/// One thing that is wrong. Shown as `file:line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdlError {
    /// The file's name, as it was given.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What was expected, and what is there.
    pub message: String,
}

impl fmt::Display for IdlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for IdlError {}

/// Collects errors, up to a bound.
#[derive(Debug, Default)]
pub(super) struct Errors {
    found: Vec<(At, String)>,
    /// Whether names that are not there are no error: they may stand in files that are not
    /// there either.
    pub(super) open: bool,
}

impl Errors {
    pub(super) fn add(&mut self, at: At, message: impl Into<String>) {
        if !self.is_full() {
            self.found.push((at, message.into()));
        }
    }

    /// A name that no given file defines.
    pub(super) fn unknown(&mut self, at: At, message: impl Into<String>) {
        if !self.open {
            self.add(at, message);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= ERRORS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All errors, sorted by place; `names` are those of the files.
    pub(super) fn finish(mut self, names: &[&str]) -> Vec<IdlError> {
        self.found.sort_by_key(|(at, _)| (at.file, at.line, at.column));
        let named = self.found.into_iter().map(|(at, message)| IdlError {
            file: names.get(at.file).copied().unwrap_or_default().to_owned(),
            line: at.line,
            column: at.column,
            message,
        });
        named.collect()
    }
}
