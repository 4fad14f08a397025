//! JSON Schema as APISIX plugins use it: a mix of drafts 4, 6 and 7 with defaults filled in.
//!
//! A schema is compiled once into a flat list of nodes and then run over many values. Every
//! keyword is checked in the order, and reported in the words, that plugins and their tests know:
//! `type` first, then properties, items, strings, numbers, `enum`, the combinators, `format`,
//! `const`, `contains`.
//!
//! Three habits come from Lua and are kept on purpose:
//!
//! * There is one number type, so `1.0` is an integer, and numbers print with 14 digits.
//! * An empty table is an object and an array ([`CheckOptions::lua_tables`]).
//! * A default is written when its property is missing, even in a branch that fails later, and
//!   is not itself checked against the property's schema.
//!
//! Nothing here recurses without bound or backtracks for ever: see [`DEPTH_MAX`], [`STEPS_MAX`]
//! and [`PATTERN_STEPS_MAX`].

mod array;
mod check;
mod compile;
mod equal;
mod format;
mod message;
mod node;
mod object;
mod pattern;
mod refs;
mod scalar;

#[cfg(test)]
mod tests;

use std::{error, fmt};

use serde_json::Value;

use self::check::{Path, Run};

/// How deep a schema, a value, or the evaluation of one against the other may nest.
pub const DEPTH_MAX: usize = 200;

/// How many schema nodes one check may visit; ends schemas that grow exponentially through `$ref`.
pub const STEPS_MAX: usize = 4_000_000;

/// How many internal match steps one pattern may take on one string.
pub const PATTERN_STEPS_MAX: usize = 1_000_000;

/// A compiled schema; cheap to share, has no state of its own.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<node::Node>,
    root: node::NodeId,
}

/// Why a schema cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError(String);

/// How to check.
#[derive(Clone, Copy)]
pub struct CheckOptions<'a> {
    /// An empty object also is an array and an empty array also is an object, as an empty Lua
    /// table is both. On by default.
    pub lua_tables: bool,
    /// Strings for which this says true are accepted unseen wherever the schema has no `type` or
    /// the `type` is `"string"`: references to secrets and to the environment.
    pub skip: Option<&'a dyn Fn(&str) -> bool>,
}

/// One default to write into a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Where to write, from the root; the last step always is a [`PathStep::Key`].
    pub path: Vec<PathStep>,
    /// What to write.
    pub value: Value,
}

/// One step from a value into a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The member of an object.
    Key(String),
    /// The item of an array, counted from 0.
    Index(usize),
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        CheckOptions { lua_tables: true, skip: None }
    }
}

impl fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions")
            .field("lua_tables", &self.lua_tables)
            .field("skip", &self.skip.is_some())
            .finish()
    }
}

impl SchemaError {
    fn new(message: impl Into<String>) -> Self {
        SchemaError(message.into())
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid schema: {}", self.0)
    }
}

impl error::Error for SchemaError {}

impl Schema {
    /// Compiles `schema`. Unknown keywords and unknown formats are ignored.
    ///
    /// # Errors
    ///
    /// A keyword has a value of the wrong type, a type name or pattern is invalid, a `$ref` leads
    /// nowhere, or the schema nests deeper than [`DEPTH_MAX`].
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        let (nodes, root) = compile::compile(schema)?;
        Ok(Schema { nodes, root })
    }

    /// Checks `value` and fills in missing defaults in place.
    ///
    /// # Errors
    ///
    /// The first thing found wrong, in the words plugins know; `value` may be partly filled then.
    pub fn check(&self, value: &mut Value, opts: &CheckOptions<'_>) -> Result<(), String> {
        self.run(value, opts, None)
    }

    /// Checks `value` without changing it and returns the defaults to write, in order. A later
    /// patch may go into what an earlier one wrote.
    ///
    /// # Errors
    ///
    /// As [`Schema::check`].
    pub fn check_patches(
        &self,
        value: &Value,
        opts: &CheckOptions<'_>,
    ) -> Result<Vec<Patch>, String> {
        let mut patches = Vec::new();
        self.check_recording(&mut value.clone(), opts, &mut patches)?;
        Ok(patches)
    }

    /// Does what [`Schema::check`] does and appends each default written to `patches`, also those
    /// written before an error was found. Spares the copy for callers who own their value.
    ///
    /// # Errors
    ///
    /// As [`Schema::check`].
    pub fn check_recording(
        &self,
        value: &mut Value,
        opts: &CheckOptions<'_>,
        patches: &mut Vec<Patch>,
    ) -> Result<(), String> {
        self.run(value, opts, Some(patches))
    }

    fn run(
        &self,
        value: &mut Value,
        opts: &CheckOptions<'_>,
        patches: Option<&mut Vec<Patch>>,
    ) -> Result<(), String> {
        if !equal::depth_within(value, DEPTH_MAX) {
            return Err(format!("the value is nested deeper than {DEPTH_MAX} levels"));
        }
        let mut run = Run::new(&self.nodes, opts, patches);
        run.node(self.root, value, &Path::Root).map_err(check::Fail::into_message)
    }
}
