//! What the Admin API asks the code of plugins: which there are, and whether they take a
//! configuration.
//!
//! Whoever has a Lua VM implements [`Judge`]; everything else about objects is known here.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use serde_json::{Map, Value};

use crate::config::check::{PluginChecker, SchemaType, Verdict};

/// An answer that somebody else works on.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that only code can answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Does this plugin take this configuration?
    Plugin {
        /// Its name.
        name: String,
        /// Which of its schemas.
        schema: SchemaType,
        /// The configuration, with nothing encrypted in it.
        conf: Value,
    },
    /// Is this a `vars` expression?
    Expression(Value),
    /// Does this Lua source evaluate to a function?
    Function(String),
    /// Is this the description of an interface, by the language its name ends with?
    Interface {
        /// Name of its file.
        name: String,
        /// Its text.
        text: String,
    },
}

impl Question {
    /// What `checker` says. This is all that the thread with the VM has to do.
    pub fn answer(self, checker: &mut dyn PluginChecker) -> Verdict {
        let result = match self {
            Self::Plugin { name, schema, mut conf } => {
                return checker.check(&name, schema, &mut conf);
            }
            Self::Expression(rule) => checker.check_expr(&rule),
            Self::Function(source) => checker.check_function(&source),
            Self::Interface { name, text } => checker.check_interface(&name, &text),
        };
        result.map_or_else(Verdict::Refused, |()| Verdict::Ok)
    }
}

/// What is known of a loaded plugin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PluginFacts {
    /// Its name.
    pub name: String,
    /// `priority`, a number.
    pub priority: Value,
    /// `version`, a number.
    pub version: Value,
    /// `type`, such as `auth`.
    pub kind: Option<String>,
    /// `scope`, such as `global`.
    pub scope: Option<String>,
    /// `schema`, with its `encrypt_fields`.
    pub schema: Value,
    /// `consumer_schema`, if it has one.
    pub consumer_schema: Option<Value>,
    /// `metadata_schema`, if it has one.
    pub metadata_schema: Option<Value>,
}

impl PluginFacts {
    /// The schema that says which fields of a configuration are encrypted.
    #[must_use]
    pub fn secrets(&self, schema: SchemaType) -> Option<&Value> {
        match schema {
            SchemaType::Plugin => Some(&self.schema),
            // Plugins that are no auth plugins have one schema for both.
            SchemaType::Consumer => self.consumer_schema.as_ref().or(Some(&self.schema)),
            SchemaType::Metadata => self.metadata_schema.as_ref(),
        }
    }

    /// The entry in the list of all plugins.
    #[must_use]
    pub fn entry(&self) -> Value {
        let mut entry = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            entry.extend(value.filter(|value| !value.is_null()).map(|v| (name.to_owned(), v)));
        };
        set("version", Some(self.version.clone()));
        set("priority", Some(self.priority.clone()));
        set("schema", Some(self.schema.clone()));
        set("metadata_schema", self.metadata_schema.clone());
        set("consumer_schema", self.consumer_schema.clone());
        set("type", self.kind.clone().map(Value::String));
        set("scope", self.scope.clone().map(Value::String));
        Value::Object(entry)
    }
}

/// What is known of all loaded plugins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Plugins for HTTP, the highest priority first.
    pub http: Vec<PluginFacts>,
    /// Plugins for streams, likewise.
    pub stream: Vec<PluginFacts>,
    /// Protocols of streams with the schemas of their `conf`.
    pub protocols: BTreeMap<String, Value>,
}

impl Facts {
    /// The plugin for HTTP with this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&PluginFacts> {
        self.http.iter().find(|plugin| plugin.name == name)
    }

    /// The plugin for streams with this name.
    #[must_use]
    pub fn stream_plugin(&self, name: &str) -> Option<&PluginFacts> {
        self.stream.iter().find(|plugin| plugin.name == name)
    }
}

/// Who can answer. Its methods may be called from any thread.
pub trait Judge: Send + Sync {
    /// Answers each question, in their order.
    ///
    /// # Errors
    ///
    /// Nobody is there to answer, and why: the process is about to end, or it took too long.
    fn check(&self, questions: Vec<Question>) -> Later<'_, Result<Vec<Verdict>, String>>;

    /// What is loaded now. Called for each request, so it should cost no more than an `Arc`.
    fn facts(&self) -> Arc<Facts>;

    /// Loads the code of all plugins anew.
    ///
    /// # Errors
    ///
    /// Why the old code keeps serving.
    fn reload_plugins(&self) -> Later<'_, Result<(), String>>;
}
