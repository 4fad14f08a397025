//! DELETE, and who must not lose what it refers to.

use memchr::memmem;
use serde_json::Value;

use super::{
    Admin, Call,
    check::{Fault, id_text},
    objects::Target,
    table::{Holder, Link, Naming},
    wire::Reply,
};
use crate::store::{Entry, Op};

impl Admin {
    pub(super) async fn delete(&self, call: &Call<'_>, target: Target) -> Result<Reply, Fault> {
        let Some(id) = &target.id else {
            return Err(Fault::Bad(format!("missing {} id", target.resource.kind)));
        };
        if call.query.get("force") != Some("true") {
            self.check_holders(target.resource.holders, id).await?;
        }
        let key = target.key(id);
        let mut ops = Vec::new();
        if let Some(child) = target.resource.child {
            ops.push(Op::DeletePrefix(format!("{key}/{child}/")));
        }
        ops.push(Op::Delete(key.clone()));
        if self.write(call, &key, Vec::new(), ops).await? {
            return Ok(self.deleted(&key));
        }
        Ok(Reply::key_not_found())
    }

    /// Looks for objects that refer to `id`.
    async fn check_holders(&self, holders: &[Holder], id: &str) -> Result<(), Fault> {
        let mut last: Option<(&str, Vec<Entry>)> = None;
        for holder in holders {
            let entries = match last.take() {
                Some((collection, entries)) if collection == holder.collection => entries,
                _ => self.store.list(&format!("{}/", holder.collection)).await?.entries,
            };
            let found = entries.iter().find_map(|entry| held_by(entry, holder, id));
            if let Some(who) = found {
                return Err(Fault::Bad(format!("{} [{who}] {}", holder.before, holder.after)));
            }
            last = Some((holder.collection, entries));
        }
        Ok(())
    }
}

/// The id of the object in `entry`, if it refers to `id`.
fn held_by<'e>(entry: &'e Entry, holder: &Holder, id: &str) -> Option<&'e str> {
    let name = entry.key.strip_prefix(holder.collection)?.strip_prefix('/')?;
    let own = !name.is_empty() && !name.contains('/');
    if !own || !mentions(&entry.value, id) {
        return None;
    }
    let value: Value = serde_json::from_str(&entry.value).ok()?;
    refers(&value, &holder.link, id).then_some(name)
}

/// Whether a text of JSON may hold this id as a value: quicker than to read all objects.
fn mentions(text: &str, id: &str) -> bool {
    let numeric = id.bytes().all(|byte| byte.is_ascii_digit());
    let stands_alone = |at: usize| {
        let before = text.get(..at).and_then(|text| text.bytes().next_back());
        let after = text.get(at + id.len()..).and_then(|text| text.bytes().next());
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let quoted = (before, after) == (Some(b'"'), Some(b'"'));
        quoted || (numeric && !before.is_some_and(part) && !after.is_some_and(part))
    };
    // What somebody wrote with escapes has to be read.
    text.contains("\\u") || memmem::find_iter(text.as_bytes(), id).any(stands_alone)
}

fn refers(value: &Value, link: &Link, id: &str) -> bool {
    let is = |found: Option<&Value>| found.and_then(id_text).is_some_and(|found| found == id);
    match link {
        Link::Field(name) => is(value.get(*name)),
        Link::Superior => is(value.pointer("/protocol/superior_id")),
        Link::Transcode => is(value.pointer("/plugins/grpc-transcode/proto_id")),
        Link::TrafficSplit => {
            let list = |value: Option<&Value>| {
                value.and_then(Value::as_array).cloned().unwrap_or_default()
            };
            let rules = list(value.pointer("/plugins/traffic-split/rules"));
            let splits = rules.iter().flat_map(|rule| list(rule.get("weighted_upstreams")));
            let mut ids = splits.map(|split| is(split.get("upstream_id")));
            ids.any(|found| found)
        }
    }
}

/// The id of an object below its collection, or nothing if it is something else.
pub(super) fn id_below<'k>(key: &'k str, prefix: &str, naming: Naming) -> Option<&'k str> {
    let id = key.strip_prefix(prefix)?;
    let slashes = usize::from(naming == Naming::Manager);
    (!id.is_empty() && id.matches('/').count() == slashes).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_is_found_as_text_and_as_number() {
        for (text, id, expected) in [
            (r#"{"upstream_id":"9"}"#, "9", true),
            (r#"{"upstream_id":9}"#, "9", true),
            (r#"{"upstream_id": 9 }"#, "9", true),
            (r#"{"upstream_id":"19","weight":99}"#, "9", false),
            (r#"{"uri":"/9a","x":1.9}"#, "9", false),
            (r#"{"upstream_id":"a-9"}"#, "9", false),
            (r#"{"upstream_id":"a-9"}"#, "a-9", true),
            (r#"{"x":"a-9b","upstream_id":"a-9"}"#, "a-9", true),
            (r#"{"x":"\u0061"}"#, "a", true),
            ("", "9", false),
        ] {
            assert_eq!(mentions(text, id), expected, "{text} {id}");
        }
    }

    #[test]
    fn links_are_followed_to_texts_and_numbers() {
        let split = |id: Value| {
            let rule = json!({"weighted_upstreams": [{"weight": 1}, {"upstream_id": id}]});
            json!({"plugins": {"traffic-split": {"rules": [{}, rule]}}})
        };
        assert!(refers(&split(json!(7)), &Link::TrafficSplit, "7"));
        assert!(!refers(&split(json!("8")), &Link::TrafficSplit, "7"));
        for broken in [json!(1), json!({"rules": 1}), json!({"rules": [1]})] {
            let value = json!({"plugins": {"traffic-split": broken}});
            assert!(!refers(&value, &Link::TrafficSplit, "7"));
        }
    }
}
