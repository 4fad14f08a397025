//! DELETE, and who must not lose what it refers to.

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
    // Quicker than to read all objects; an id that somebody wrote with escapes is not found so.
    if !own || !(entry.value.contains(id) || entry.value.contains("\\u")) {
        return None;
    }
    let value: Value = serde_json::from_str(&entry.value).ok()?;
    refers(&value, &holder.link, id).then_some(name)
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
