//! What tests of this module share.

use serde_json::Value;

use super::{
    check::{PluginChecker, SchemaType, Verdict},
    item::Collection,
    plugin::Kept,
};

/// Knows plugins by what their names say.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// How often a plugin was asked.
    pub(super) calls: usize,
    /// Written as `default` into each configuration that has none.
    pub(super) default: u64,
    /// How many objects the metadata has that is in force.
    pub(super) metadata: usize,
}

impl PluginChecker for Names {
    fn check(&mut self, plugin: &str, schema_type: SchemaType, conf: &mut Value) -> Verdict {
        self.calls += 1;
        match plugin {
            "gone" => Verdict::Unknown,
            "off" => Verdict::Ignored,
            "needs-metadata" if schema_type == SchemaType::Plugin && self.metadata == 0 => {
                Verdict::Refused("no metadata".into())
            }
            _ if conf.get("bad").is_some() => {
                Verdict::Refused(format!("property \"bad\" is bad ({schema_type:?})"))
            }
            _ => {
                if let Value::Object(map) = conf {
                    map.entry("default").or_insert(self.default.into());
                }
                Verdict::Ok
            }
        }
    }

    fn metadata(&mut self, metadata: &Collection<Kept>) {
        self.metadata = metadata.len();
    }

    fn check_expr(&mut self, rule: &Value) -> Result<(), String> {
        if rule.as_array().is_some_and(|list| list.is_empty()) {
            return Err("empty".into());
        }
        Ok(())
    }

    fn check_function(&mut self, source: &str) -> Result<(), String> {
        if source.contains("syntax error") { Err("syntax".into()) } else { Ok(()) }
    }
}
