//! What of an object is encrypted where it is stored, and decrypted where it is shown or used.

use serde_json::Value;

use super::{
    Admin, Call,
    judge::Facts,
    mask::MASK,
    table::{self, Naming, Resource},
};
use crate::config::{
    check::SchemaType,
    keyring::{self, Keyring},
};

impl Admin {
    /// Decrypts what plugins keep encrypted.
    pub(super) fn open(&self, call: &Call<'_>, resource: &Resource, id: &str, value: &mut Value) {
        each_conf(call.facts, resource, id, value, &mut |conf, schema| {
            self.settings.keyring.open_conf(conf, schema);
        });
    }

    /// Encrypts what must not be stored plain.
    pub(super) fn seal(&self, call: &Call<'_>, resource: &Resource, id: &str, value: &mut Value) {
        each_conf(call.facts, resource, id, value, &mut |conf, schema| {
            self.settings.keyring.seal_conf(conf, schema);
        });
        each_key(resource, value, &mut |text| *text = self.settings.keyring.seal_key(text));
    }
}

/// Decrypts an object of a store for whoever serves with it: the configurations of plugins as well
/// as private keys. `key` is the object's key below the prefix of the store, such as `routes/1`.
/// What cannot be decrypted stays as it is; returns how many texts that were.
pub fn open_stored(facts: &Facts, ring: &Keyring, key: &str, value: &mut Value) -> usize {
    let Some((resource, id)) = named(key) else { return 0 };
    let mut left = 0;
    each_conf(facts, resource, id, value, &mut |conf, schema| {
        left += ring.open_conf(conf, schema);
    });
    each_key(resource, value, &mut |text| match ring.open_key(text) {
        Ok(plain) => *text = plain,
        Err(keyring::NotOurs) => left += 1,
    });
    left
}

/// Encrypts the secrets of an object that came from where they are plain; what the ring decrypts
/// is encrypted already. Returns whether anything changed.
pub(super) fn seal_plain(facts: &Facts, ring: &Keyring, key: &str, value: &mut Value) -> bool {
    let Some((resource, id)) = named(key) else { return false };
    let before = value.clone();
    each_conf(facts, resource, id, value, &mut |conf, schema| {
        // Back and forth, so that nothing is encrypted twice.
        ring.open_conf(conf, schema);
        ring.seal_conf(conf, schema);
    });
    each_key(resource, value, &mut |text| {
        if let Ok(plain) = ring.open_key(text) {
            *text = ring.seal_key(&plain);
        }
    });
    *value != before
}

/// The resource of a key, and the id of what it names first.
fn named(key: &str) -> Option<(&'static Resource, &str)> {
    let mut segments = key.split('/');
    let (name, id, child) = (segments.next(), segments.next(), segments.next());
    let resource = name.and_then(table::resource)?;
    let resource = match child {
        Some(child) if resource.child == Some(child) => table::resource(child)?,
        _ => resource,
    };
    Some((resource, id.unwrap_or_default()))
}

/// Puts a mask over what plugins keep encrypted, over private keys and over what opens a
/// secret manager, for whoever shows an object
/// and asks nobody for a key. References to secrets stay. `key` as for [`open_stored`].
pub fn conceal_stored(facts: &Facts, key: &str, value: &mut Value) {
    let mut segments = key.split('/');
    let (name, id) = (segments.next(), segments.next().unwrap_or_default());
    let Some(resource) = name.and_then(table::resource) else { return };
    each_conf(facts, resource, id, value, &mut |conf, schema| {
        keyring::each_secret(conf, schema, &mut cover);
    });
    resource.secrets.iter().for_each(|path| keyring::each_text(value, path, &mut cover));
}

/// The same for the configuration of one plugin.
pub fn conceal_conf(facts: &Facts, plugin: &str, kind: SchemaType, conf: &mut Value) {
    if let Some(schema) = facts.plugin(plugin).and_then(|plugin| plugin.secrets(kind)) {
        keyring::each_secret(conf, schema, &mut cover);
    }
}

/// A mask for a text, unless it only says where the secret is.
fn cover(text: &mut String) {
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("$secret://") && !lower.starts_with("$env://") {
        MASK.clone_into(text);
    }
}

/// Visits the configurations of plugins, each with the schema that lists its secrets.
fn each_conf(
    facts: &Facts,
    resource: &Resource,
    id: &str,
    value: &mut Value,
    visit: &mut dyn FnMut(&mut Value, &Value),
) {
    let kind = resource.plugins;
    let secrets = |name: &str| facts.plugin(name).and_then(|plugin| plugin.secrets(kind));
    if kind == SchemaType::Metadata {
        if let Some(schema) = secrets(id) {
            visit(value, schema);
        }
        return;
    }
    let plugins = value.get_mut("plugins").and_then(Value::as_object_mut);
    for (name, conf) in plugins.into_iter().flatten() {
        if let Some(schema) = secrets(name) {
            visit(conf, schema);
        }
    }
}

/// Visits private keys.
fn each_key(resource: &Resource, value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    // The configuration of managers is stored as it is.
    if resource.naming != Naming::Manager {
        resource.secrets.iter().for_each(|path| keyring::each_text(value, path, visit));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::judge::PluginFacts;

    #[test]
    fn what_is_encrypted_is_masked_and_references_stay() {
        let auth = PluginFacts {
            name: "auth".to_owned(),
            schema: json!({"encrypt_fields": ["deep.key", "list"]}),
            metadata_schema: Some(json!({"encrypt_fields": ["token"]})),
            ..PluginFacts::default()
        };
        let facts = Facts { http: vec![auth], ..Facts::default() };
        let mut route = json!({"plugins": {
            "auth": {"deep": {"key": "k1", "user": "u"}, "list": ["$secret://vault/1/a", "b"]},
            "other": {"key": "stays"}}, "upstream": {"tls": {"client_key": "PEM"}}});
        conceal_stored(&facts, "routes/1", &mut route);
        assert_eq!(
            route,
            json!({"plugins": {
                "auth": {"deep": {"key": "***", "user": "u"}, "list": ["$secret://vault/1/a", "***"]},
                "other": {"key": "stays"}}, "upstream": {"tls": {"client_key": "***"}}})
        );
        let mut metadata = json!({"token": "t", "host": "h"});
        conceal_stored(&facts, "plugin_metadata/auth", &mut metadata);
        assert_eq!(metadata, json!({"token": "***", "host": "h"}));
        let mut conf = json!({"deep": {"key": "$ENV://KEY"}, "list": "x"});
        conceal_conf(&facts, "auth", SchemaType::Plugin, &mut conf);
        assert_eq!(conf, json!({"deep": {"key": "$ENV://KEY"}, "list": "***"}));
    }
}
