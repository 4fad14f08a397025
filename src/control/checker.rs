//! Checks what belongs to plugins, in the control thread's VM.

use serde_json::Value;

use crate::{
    admin::redact_refusal,
    codec::registry::{self, Source},
    config::{
        check::{PluginChecker, SchemaType, Verdict},
        item::Collection,
        local::{Local, PluginMissing},
        plugin::Kept,
    },
    lua::Vm,
    route::expr::Expr,
};

/// A VM that checks, with the settings that say what a missing plugin means.
pub struct Checker<'v> {
    /// The VM with all plugins loaded.
    pub vm: &'v Vm,
    /// config.yaml.
    pub local: &'v Local,
}

impl Checker<'_> {
    /// The schema that says what of a configuration is secret.
    fn schema(&self, plugin: &str, kind: SchemaType) -> Option<Value> {
        let mut described = self.vm.describe(plugin).ok()?;
        let mut take =
            |key: &str| described.get_mut(key).map(Value::take).filter(|schema| !schema.is_null());
        match kind {
            SchemaType::Plugin => take("schema"),
            SchemaType::Consumer => take("consumer_schema").or_else(|| take("schema")),
            SchemaType::Metadata => take("metadata_schema"),
        }
    }
}

impl PluginChecker for Checker<'_> {
    fn check(&mut self, plugin: &str, kind: SchemaType, conf: &mut Value) -> Verdict {
        if self.vm.has(plugin) {
            return match self.vm.check(plugin, kind, conf) {
                Ok(filled) => {
                    *conf = filled;
                    Verdict::Ok
                }
                Err(reason) => {
                    let schema = || self.schema(plugin, kind);
                    Verdict::Refused(redact_refusal(conf, reason, schema))
                }
            };
        }
        let skip = self.local.missing(plugin) == PluginMissing::Skip;
        if let Some((_, reason)) = self.vm.broken.iter().find(|(name, _)| name == plugin) {
            if skip {
                return Verdict::Ignored;
            }
            return Verdict::Refused(format!("the plugin is enabled but did not load: {reason}"));
        }
        // Not in the list, but there: as in APISIX, the conf has no effect.
        if skip || self.vm.generation.has_plugin(plugin) {
            return Verdict::Ignored;
        }
        Verdict::Unknown
    }

    fn metadata(&mut self, metadata: &Collection<Kept>) {
        self.vm.see_metadata(metadata);
    }

    fn protos(&mut self, protos: &Collection<Kept>) {
        self.vm.see_protos(protos);
    }

    fn check_expr(&mut self, rule: &Value) -> Result<(), String> {
        Expr::compile(rule).map(drop)
    }

    fn check_interface(&mut self, name: &str, text: &str) -> Result<(), String> {
        registry::check(registry::PROTOCOLS, &Source { name, text: text.as_bytes() })
    }

    fn check_registry(&mut self, name: &str) -> Result<(), String> {
        match name {
            "dns" if self.local.discovery_dns.is_some() => Ok(()),
            "dns" => Err("config.yaml has no discovery.dns: requests are refused".to_owned()),
            _ => Err(format!("discovery_type {name} is not supported by moongate yet")),
        }
    }

    fn check_function(&mut self, source: &str) -> Result<(), String> {
        self.vm.check_function(source)
    }
}
