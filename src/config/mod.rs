//! Text to checked, immutable configuration.
//!
//! * [`local`] is the process: `conf/config.yaml` over built-in defaults.
//! * [`source`] brings objects (routes, services, ...) as raw documents; [`raw`] splits them.
//! * [`check`] turns raw objects into typed ones; what is wrong is refused by id.
//! * [`snapshot`] is what all workers read: collections with structural sharing.
//! * [`snippet`] is the part of nginx's language that `nginx_config.*_snippet` may hold.
//! * [`merge`] lays route, plugin_config, service and consumer over each other.
//!
//! Nothing here does network I/O or knows Lua; plugins are checked through a trait.

pub mod bundle;
pub mod check;
pub mod consumer;
mod defaults;
pub mod discovery;
pub mod emit;
pub mod env;
pub mod item;
pub mod keyring;
mod keys;
pub mod local;
pub mod lookup;
pub mod merge;
pub mod packed;
pub mod plugin;
pub mod provider;
pub mod raw;
pub mod resource_schema;
pub mod route;
pub mod runs;
mod scalar;
pub mod schema;
pub mod service;
mod settings;
pub mod snapshot;
pub mod snippet;
pub mod sought;
pub mod source;
mod units;
pub mod upstream;
pub mod verify;
pub mod yaml;

use std::fmt;

pub use item::{Collection, Item};
pub use local::Local;
pub use snapshot::Snapshot;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Told, and the configuration is used.
    Warning,
    /// The file or object is refused.
    Error,
}

/// Something wrong in a configuration file, as an operator wants to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Line, counted from 1, where known.
    pub line: Option<usize>,
    /// The object, such as `routes/1`.
    pub object: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    /// An error that names no object.
    #[must_use]
    pub fn error(file: &str, line: Option<usize>, message: String) -> Self {
        Self { severity: Severity::Error, file: file.to_owned(), line, object: None, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl yaml::ParseError {
    /// The same as a problem of `file`.
    #[must_use]
    pub fn into_in(self, file: &str) -> Problem {
        let file = self.file.unwrap_or_else(|| file.to_owned());
        Problem::error(&file, self.line, self.message)
    }
}

#[cfg(test)]
mod testing;
