//! What `config.yaml` says about the Admin API.

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;

use super::keys::{Keys, Network};
use crate::config::keyring::Keyring;

/// Settings of the Admin API.
pub struct Settings {
    /// Before keys in answers: `/apisix`.
    pub(super) prefix: String,
    pub(super) v3: bool,
    pub(super) cors: bool,
    /// Whether there are streams to route.
    pub(super) stream: bool,
    /// Who may ask; everybody if there is no list.
    allow: Option<Vec<Network>>,
    /// `None` where `admin_key_required` is off.
    pub(super) keys: Option<Keys>,
    pub(super) keyring: Arc<Keyring>,
    /// Who it is that asks where no key is needed.
    pub(super) keyless: &'static str,
}

impl Settings {
    /// Reads the whole of `config.yaml`, defaults included.
    ///
    /// # Errors
    ///
    /// A setting is not as it should be; the message names its path and quotes no key.
    pub fn read(config: &Value) -> Result<Settings, String> {
        let at = |path: &str| config.pointer(path).filter(|value| !value.is_null());
        let text = |path: &str| at(path).and_then(Value::as_str);
        let networks = |list: &Value| {
            let list = list.as_array().ok_or("deployment.admin.allow_admin must be a list")?;
            let read = |item: &Value| {
                Network::read(item.as_str().unwrap_or_default()).ok_or_else(|| {
                    format!(
                        "deployment.admin.allow_admin must hold addresses or networks, not {item}"
                    )
                })
            };
            list.iter().map(read).collect::<Result<Vec<_>, String>>()
        };
        let allow = at("/deployment/admin/allow_admin").map(networks).transpose()?;
        let required = at("/deployment/admin/admin_key_required") != Some(&Value::Bool(false));
        let keys = Keys::read(at("/deployment/admin/admin_key"))?;
        let encryption = at("/apisix/data_encryption").unwrap_or(&Value::Null);
        let mode = text("/apisix/proxy_mode").unwrap_or("http");
        Ok(Settings {
            prefix: text("/deployment/etcd/prefix").unwrap_or("/apisix").to_owned(),
            v3: text("/deployment/admin/admin_api_version").unwrap_or("v3") == "v3",
            cors: at("/deployment/admin/enable_admin_cors") == Some(&Value::Bool(true)),
            stream: matches!(mode, "stream" | "http&stream"),
            // An empty list is no list, as nginx's template has it.
            allow: allow.filter(|list| !list.is_empty()),
            keys: required.then_some(keys),
            keyring: Arc::new(Keyring::read(encryption)?),
            keyless: "nobody",
        })
    }

    /// For somebody who has the store in their own hands: no key is asked for, no address refused.
    #[must_use]
    pub fn for_operator(mut self) -> Self {
        (self.keys, self.allow, self.keyless) = (None, None, "moongate config");
        self
    }

    /// Whether a key has to be generated: see [`keyfile`](super::keyfile). Until
    /// [`Settings::set_key`] brings it, changes are answered with 503.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.keys.as_ref().is_some_and(Keys::wants_one)
    }

    /// Takes the key that was generated.
    pub fn set_key(&mut self, key: &str) {
        if let Some(keys) = &mut self.keys {
            keys.add_generated(key);
        }
    }

    /// The keys that encrypt what is stored, for whoever reads the store.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring)
    }

    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let among = |list: &Vec<Network>| list.iter().any(|network| network.contains(address));
        self.allow.as_ref().is_none_or(among)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn without_a_word_keys_are_needed_and_everybody_may_ask() {
        let settings = Settings::read(&json!({})).unwrap();
        assert!(settings.is_keyless() && settings.v3 && !settings.cors && !settings.stream);
        assert_eq!(settings.prefix, "/apisix");
        assert!(settings.admits("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_generated_key_fills_the_gap() {
        let key = json!([{"name": "admin", "key": "", "role": "admin"}]);
        let mut settings =
            Settings::read(&json!({"deployment": {"admin": {"admin_key": key}}})).unwrap();
        assert!(settings.is_keyless());
        settings.set_key("0123456789abcdef");
        assert!(!settings.is_keyless());
        let viewer = json!([{"name": "v", "key": "secret", "role": "viewer"}]);
        let config = json!({"deployment": {"admin": {"admin_key": viewer}}});
        assert!(!Settings::read(&config).unwrap().is_keyless(), "read-only on purpose");
    }

    #[test]
    fn only_listed_networks_may_ask() {
        let list = json!(["127.0.0.0/24", "2001:db8::/32", "10.0.0.1"]);
        let config = json!({"deployment": {"admin": {"allow_admin": list}}});
        let settings = Settings::read(&config).unwrap();
        for (address, admitted) in [
            ("127.0.0.9", true),
            ("127.0.1.9", false),
            ("::ffff:127.0.0.9", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
        ] {
            assert_eq!(settings.admits(address.parse().unwrap()), admitted, "{address}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (admin, expected) in [
            (json!({"allow_admin": ["127.0.0.0/33"]}), "deployment.admin.allow_admin must hold"),
            (json!({"allow_admin": "x"}), "deployment.admin.allow_admin must be a list"),
            (json!({"admin_key": "x"}), "deployment.admin.admin_key must be a list"),
            (json!({"admin_key": [{"key": "canary", "role": "boss"}]}), "an unknown role"),
            (json!({"admin_key": [{"key": ["canary"]}]}), "is no text"),
        ] {
            let error = Settings::read(&json!({"deployment": {"admin": admin}})).err().unwrap();
            assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        }
        let config = json!({"apisix": {"data_encryption": {"keyring": ["canary"]}}});
        let error = Settings::read(&config).err().unwrap();
        assert!(error.contains("data_encryption.keyring") && !error.contains("canary"), "{error}");
    }
}
