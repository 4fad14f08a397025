//! What of an object is encrypted where it is stored, and decrypted where it is shown or used.

use serde_json::Value;

use super::{
    Admin, Call,
    judge::Facts,
    mask,
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

/// Puts a mask in the place of each secret of an object that somebody looks at who need not know
/// it: what the schemas of its plugins name in `encrypt_fields`, private keys, and what opens a
/// secret manager. A reference to a secret stays. `collection` is the name of its kind, such as
/// `routes`.
pub fn mask_secrets(facts: &Facts, collection: &str, id: &str, value: &mut Value) {
    let Some(resource) = table::resource(collection) else { return };
    let mut hide = |text: &mut String| {
        if !is_reference(text) {
            mask::MASK.clone_into(text);
        }
    };
    each_conf(facts, resource, id, value, &mut |conf, schema| {
        keyring::each_secret(conf, schema, &mut hide);
    });
    resource.secrets.iter().for_each(|path| keyring::each_text(value, path, &mut hide));
}

/// Whether a text only says where a secret is kept.
fn is_reference(text: &str) -> bool {
    let begins = |prefix: &str| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    text.starts_with("$secret://") || begins("$env://")
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

    use super::{Facts, mask_secrets};
    use crate::admin::judge::PluginFacts;

    #[test]
    fn who_looks_at_an_object_sees_no_secret_of_it() {
        let plugin = PluginFacts {
            name: "a".into(),
            schema: json!({"encrypt_fields": ["key", "list.pin"]}),
            metadata_schema: Some(json!({"encrypt_fields": ["token"]})),
            ..PluginFacts::default()
        };
        let facts = Facts { http: vec![plugin], ..Facts::default() };
        let check = |collection: &str, id: &str, mut value, expected| {
            mask_secrets(&facts, collection, id, &mut value);
            assert_eq!(value, expected);
        };
        let conf = |key: &str, pin: &str| {
            json!({"uri": "/key", "key": "x", "plugins": {
                "a": {"key": key, "list": [{"pin": pin, "other": "y"}]}, "b": {"key": "z"}}})
        };
        check("routes", "1", conf("canary", "canary"), conf("***", "***"));
        check("services", "1", conf("$env://A", "$ENV://A/b"), conf("$env://A", "$ENV://A/b"));
        check("routes", "1", conf("$secret://v/1/a/b", "$env:/"), conf("$secret://v/1/a/b", "***"));
        check("plugin_metadata", "a", json!({"token": "canary"}), json!({"token": "***"}));
        let upstream = |key: &str| json!({"tls": {"client_cert": "c", "client_key": key}});
        check("upstreams", "1", upstream("canary"), upstream("***"));
        check("secrets", "vault/1", json!({"token": "canary"}), json!({"token": "***"}));
        check("nobody", "1", upstream("stays"), upstream("stays"));
    }
}
