//! No two consumers may have one key: best effort, since two writes at once do not see each other.

use memchr::memmem::Finder;
use serde_json::Value;

use super::{
    check::{Fault, Review},
    pem,
};

/// The field of each plugin that identifies a consumer.
const FIELDS: &[(&str, &str)] = &[
    ("key-auth", "key"),
    ("basic-auth", "username"),
    ("jwt-auth", "key"),
    ("hmac-auth", "key_id"),
    ("ldap-auth", "user_dn"),
    ("ldap-auth-advanced", "user_dn"),
];

/// One key of the object to be written, and what it may look like in the store.
struct Wanted {
    plugin: &'static str,
    field: &'static str,
    guises: Vec<String>,
    needles: Vec<Finder<'static>>,
}

impl Wanted {
    fn new(plugin: &'static str, field: &'static str, guises: Vec<String>) -> Self {
        let needles = |guise: &String| {
            let quoted = Value::from(guise.as_str()).to_string();
            // Some writers of JSON escape slashes.
            let escaped = quoted.contains('/').then(|| quoted.replace('/', "\\/"));
            [Some(quoted), escaped]
        };
        let needles = guises.iter().flat_map(needles).flatten();
        let needles = needles.map(|needle| Finder::new(&needle).into_owned()).collect();
        Self { plugin, field, guises, needles }
    }

    /// Whether the text of an object may hold the key; quicker than reading all objects.
    fn may_be_in(&self, text: &str) -> bool {
        self.needles.iter().any(|needle| needle.find(text.as_bytes()).is_some())
    }

    fn is_in(&self, conf: &Value) -> bool {
        let found = conf.get("plugins").and_then(|of| of.get(self.plugin)?.get(self.field));
        let found = found.and_then(Value::as_str);
        found.is_some_and(|found| self.guises.iter().any(|guise| guise == found))
    }
}

/// What identifies the consumer in `conf`: plugin, field and value of each key that is no
/// reference.
pub(super) fn keys(conf: &Value) -> impl Iterator<Item = (&'static str, &'static str, String)> {
    FIELDS.iter().filter_map(move |(plugin, field)| {
        let key = conf.get("plugins")?.get(plugin)?.get(field)?.as_str()?;
        (!pem::is_reference(key)).then(|| (*plugin, *field, key.to_owned()))
    })
}

impl Review<'_> {
    pub(super) async fn unique_keys(&self, conf: &Value) -> Result<(), Fault> {
        let text =
            |plugin: &str, field: &str| conf.get("plugins")?.get(plugin)?.get(field)?.as_str();
        let ring = &self.admin.settings.keyring;
        let want = |(plugin, field): &(&'static str, &'static str)| {
            let key = text(plugin, field).filter(|key| !pem::is_reference(key))?;
            Some(Wanted::new(plugin, field, ring.guises(key)))
        };
        let wanted: Vec<Wanted> = FIELDS.iter().filter_map(want).collect();
        if wanted.is_empty() || !self.follow || !self.unique {
            return Ok(());
        }
        let username = conf.get("username").and_then(Value::as_str);
        let ours = self.parent.or(username).unwrap_or_default();
        let credential = self.parent.and(self.id);
        for entry in self.store.list("consumers/").await?.entries {
            let owner = entry.key.strip_prefix("consumers/").unwrap_or_default();
            let (consumer, held_by) = match owner.split_once("/credentials/") {
                Some((consumer, id)) => (consumer, Some(id)),
                None => (owner, None),
            };
            if consumer == ours && (credential.is_none() || credential == held_by) {
                continue;
            }
            for wanted in wanted.iter().filter(|wanted| wanted.may_be_in(&entry.value)) {
                let other = serde_json::from_str(&entry.value).unwrap_or_default();
                if wanted.is_in(&other) {
                    let owner = match held_by {
                        Some(id) => format!("credential: {id} of consumer: {consumer}"),
                        None => format!("consumer: {consumer}"),
                    };
                    let Wanted { plugin, field, .. } = wanted;
                    return Err(Fault::Bad(format!(
                        "duplicate {field} of plugin {plugin} found with {owner}"
                    )));
                }
            }
        }
        Ok(())
    }
}
