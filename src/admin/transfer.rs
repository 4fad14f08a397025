//! All objects at once, for `moongate config import` and `export`: paths below
//! `/apisix/admin/moongate`, which APISIX does not have.
//!
//! An import is judged as a whole: every object as if somebody had put it, with references to the
//! others. Nothing is written unless all are good, or somebody asked to leave out the others. Texts
//! are written as they came, unknown fields, times and encrypted secrets included; only what comes
//! from files, where secrets are plain, is encrypted. What fits into one write of the store is one
//! revision; etcd takes a hundred objects at once, what is referred to before what refers.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Admin, CONFIG_BYTES_MAX, Call, Note,
    check::Fault,
    read, sealing, standalone,
    state::{Problem, State},
    wire::Reply,
};
use crate::{
    admin::BodyError,
    store::{Entry, Expect, Op, StoreError, Write},
};

/// How often an import is begun anew when somebody else writes meanwhile.
const TRIES: usize = 5;

/// Problems that are told.
const PROBLEMS_MAX: usize = 1000;

/// Collections so that what is referred to comes before what refers.
const ORDER: [&str; 13] = [
    "plugins",
    "secrets",
    "protos",
    "ssls",
    "plugin_metadata",
    "upstreams",
    "services",
    "plugin_configs",
    "consumer_groups",
    "consumers",
    "global_rules",
    "routes",
    "stream_routes",
];

/// What is to happen with objects that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// There should be none.
    Fill,
    /// Those that are not imported stay.
    Merge,
    /// Those that are not imported go.
    Replace,
}

/// A key and what is to be stored there.
type Text = (Arc<str>, Arc<str>);

#[derive(Deserialize)]
struct Body {
    objects: Vec<(String, String)>,
}

/// What is asked for.
struct Wish {
    mode: Mode,
    /// Nothing is written.
    dry: bool,
    /// What is wrong is left out.
    skip: bool,
    /// Secrets are plain, and to be encrypted.
    plain: bool,
}

/// What is to be written.
struct Plan {
    /// With the entry that is there now.
    puts: Vec<(Arc<str>, Arc<str>, Option<u64>)>,
    deletes: Vec<(Arc<str>, u64)>,
    unchanged: usize,
    skipped: Vec<Problem>,
}

impl Admin {
    /// `POST moongate/export?decrypt=`: everything that is stored, private keys included.
    pub(super) async fn export(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let listing = self.store.list("").await?;
        let decrypt = call.query.get("decrypt") == Some("true");
        let mut left = Vec::new();
        let kv = |entry: Entry| {
            let mut value = entry.value.to_string();
            if decrypt && let Ok(mut conf) = serde_json::from_str::<Value>(&value) {
                let before = conf.clone();
                let ring = &self.settings.keyring;
                if sealing::open_stored(call.facts, ring, &entry.key, &mut conf) > 0 {
                    left.push(entry.key.to_string());
                }
                // Texts that hold no secret stay as they were spelled.
                if conf != before {
                    value = conf.to_string();
                }
            }
            json!({
                "key": *entry.key, "value": value,
                "created": entry.created, "modified": entry.modified,
            })
        };
        let kvs: Vec<Value> = listing.entries.into_iter().map(kv).collect();
        let body = json!({"revision": listing.revision, "kvs": kvs, "not_decrypted": left});
        Ok(Reply::json(200, body))
    }

    /// `POST moongate/import?mode=&dry_run=&skip_invalid=&plain=`
    pub(super) async fn import<B>(&self, call: &Call<'_>, body: B) -> Result<Reply, Fault>
    where
        B: AsyncFnOnce(usize) -> Result<Bytes, BodyError>,
    {
        let busy = || Reply::error(503, "too many configurations at once");
        let _place = standalone::Place::take(&self.configs).ok_or_else(busy)?;
        let is = |name: &str| call.query.get(name) == Some("true");
        let mode = match call.query.get("mode") {
            None => Mode::Fill,
            Some("merge") => Mode::Merge,
            Some("replace") => Mode::Replace,
            Some(other) => return Err(Fault::Bad(format!("unknown mode: {other}"))),
        };
        let (dry, skip, plain) = (is("dry_run"), is("skip_invalid"), is("plain"));
        let wish = Wish { mode, dry, skip, plain };
        let bytes = read(body, CONFIG_BYTES_MAX).await?;
        let body: Body = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::Bad(format!("invalid request body: {error}")))?;
        drop(bytes);
        let (objects, doubled) = self.prepared(call, &wish, body.objects);
        for _ in 0..TRIES {
            let plan = match self.plan(call, &wish, (&objects, &doubled)).await? {
                Ok(plan) => plan,
                Err(mut problems) => {
                    let count = problems.len();
                    problems.truncate(PROBLEMS_MAX);
                    let text = format!("{count} objects are wrong, nothing is written");
                    return Ok(Reply::json(400, json!({"error_msg": text, "errors": problems})));
                }
            };
            let revision = match wish.dry {
                true => 0,
                false => match self.carry_out(call, &plan).await? {
                    Some(revision) => revision,
                    None => continue,
                },
            };
            let warnings = self.not_ours(call, &plan);
            return Ok(Reply::json(
                200,
                json!({
                    "revision": revision, "written": plan.puts.len(),
                    "deleted": plan.deletes.len(), "unchanged": plan.unchanged,
                    "skipped": plan.skipped, "warnings": warnings,
                }),
            ));
        }
        Err(Fault::Unavailable("the store keeps changing".to_owned()))
    }

    /// The objects in the order they are written, secrets encrypted where they came plain; and
    /// keys that are there twice, of which nothing is taken.
    fn prepared(
        &self,
        call: &Call<'_>,
        wish: &Wish,
        objects: Vec<(String, String)>,
    ) -> (Vec<Text>, Vec<Problem>) {
        let own = |(key, text): (String, String)| (Arc::from(key), Arc::from(text));
        let objects: Vec<Text> = objects.into_iter().map(own).collect();
        let (mut seen, mut doubled) = (HashSet::new(), HashSet::new());
        for (key, _) in &objects {
            if !seen.insert(Arc::clone(key)) {
                doubled.insert(Arc::clone(key));
            }
        }
        let seal = |(key, text): Text| {
            if !wish.plain {
                return (key, text);
            }
            let Ok(mut conf) = serde_json::from_str::<Value>(&text) else { return (key, text) };
            let changed = sealing::seal_plain(call.facts, &self.settings.keyring, &key, &mut conf);
            let text = if changed { conf.to_string().into() } else { text };
            (key, text)
        };
        let mut single: Vec<_> =
            objects.into_iter().filter(|(key, _)| !doubled.contains(key)).map(seal).collect();
        single.sort_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)));
        let problem = |key: Arc<str>| Problem {
            key: key.to_string(),
            error: "it is there more than once".to_owned(),
        };
        (single, doubled.into_iter().map(problem).collect())
    }

    /// What is to be written, or everything that is wrong.
    async fn plan(
        &self,
        call: &Call<'_>,
        wish: &Wish,
        (objects, doubled): (&[Text], &[Problem]),
    ) -> Result<Result<Plan, Vec<Problem>>, Fault> {
        let now = State::new(self.store.list("").await?.entries);
        let there = now.keys().filter(|key| &***key != "plugins").count();
        if wish.mode == Mode::Fill && there > 0 {
            return Err(Fault::Bad(format!(
                "the store holds {there} objects: say whether to merge or to replace"
            )));
        }
        let kept = if wish.mode == Mode::Replace { Vec::new() } else { now.entries() };
        let mut state = State::new(kept);
        objects.iter().for_each(|(key, text)| state.set(key, Some(Arc::clone(text))));
        let mut left: Vec<String> = objects.iter().map(|(key, _)| key.to_string()).collect();
        let mut skipped = doubled.to_vec();
        loop {
            let problems = self.check_keys(call, &state, &left).await?;
            let found = !problems.is_empty();
            skipped.extend(problems);
            if !skipped.is_empty() && !wish.skip {
                return Ok(Err(skipped));
            }
            if !found {
                break;
            }
            // Without them others may be wrong.
            let wrong: HashSet<&str> = skipped.iter().map(|problem| &*problem.key).collect();
            left.retain(|key| !wrong.contains(&**key));
            for key in wrong {
                let stays = now.entry(key).filter(|_| wish.mode != Mode::Replace);
                state.set(&key.into(), stays.map(|entry| Arc::clone(&entry.value)));
            }
        }
        let left: HashSet<&str> = left.iter().map(String::as_str).collect();
        let mut plan = Plan { puts: Vec::new(), deletes: Vec::new(), unchanged: 0, skipped };
        for (key, text) in objects.iter().filter(|(key, _)| left.contains(&**key)) {
            let before = now.entry(key);
            if before.is_some_and(|before| before.value == *text) {
                plan.unchanged += 1;
                continue;
            }
            let before = before.map(|before| before.modified);
            plan.puts.push((Arc::clone(key), Arc::clone(text), before));
        }
        if wish.mode == Mode::Replace {
            let goes = |key: &&Arc<str>| !left.contains(&***key) && &***key != "plugins";
            let mut deletes: Vec<_> = now.keys().filter(goes).cloned().collect();
            deletes.sort_by(|one, other| rank(other).cmp(&rank(one)));
            let modified = |key: &str| now.entry(key).map_or(0, |entry| entry.modified);
            plan.deletes = deletes.into_iter().map(|key| (key.clone(), modified(&key))).collect();
        }
        Ok(Ok(plan))
    }

    /// Writes; nothing if somebody else wrote first and it has to be judged anew.
    async fn carry_out(&self, call: &Call<'_>, plan: &Plan) -> Result<Option<u64>, Fault> {
        let room = self.store.room();
        let puts = plan.puts.iter().map(|(key, text, before)| {
            let expect = before.map_or(Expect::Absent, Expect::Modified);
            let op = Op::Put { key: key.to_string(), value: text.to_string(), ttl: None };
            (key, expect, op, key.len() * 2 + text.len())
        });
        let deletes = plan.deletes.iter().map(|(key, modified)| {
            let op = Op::Delete(key.to_string());
            (key, Expect::Modified(*modified), op, key.len() * 2)
        });
        let mut writes = Vec::new();
        let mut write = Write { who: call.who.to_owned(), ..Write::default() };
        let mut bytes = 0;
        for (key, expect, op, size) in puts.chain(deletes) {
            if !write.ops.is_empty() && (write.ops.len() >= room.ops || bytes + size > room.bytes) {
                let next = Write { who: call.who.to_owned(), ..Write::default() };
                writes.push(std::mem::replace(&mut write, next));
                bytes = 0;
            }
            write.when.push((key.to_string(), expect));
            write.ops.push(op);
            bytes += size;
        }
        if !write.ops.is_empty() {
            writes.push(write);
        }
        let (mut revision, all) = (0, writes.len());
        for (at, write) in writes.into_iter().enumerate() {
            match self.store.write(write).await {
                Ok(written) => revision = written.revision,
                Err(StoreError::Conflict(_)) if at == 0 => return Ok(None),
                Err(error) if at == 0 => return Err(error.into()),
                Err(error) => {
                    return Err(Fault::Unavailable(format!(
                        "{error}; {at} of {all} parts are written, import again with merge"
                    )));
                }
            }
        }
        let (who, address, what) = (call.who, call.address, "import");
        let key = format!("{} objects, {} deleted", plan.puts.len(), plan.deletes.len());
        (self.tell)(Note::Changed { who, address, what, key: &key, revision });
        Ok(Some(revision))
    }

    /// Objects whose secrets are plain, or encrypted with the keys of somebody else.
    fn not_ours(&self, call: &Call<'_>, plan: &Plan) -> Vec<String> {
        let ring = &self.settings.keyring;
        if !ring.seals_fields() {
            return Vec::new();
        }
        let left = |(key, text, _): &(Arc<str>, Arc<str>, Option<u64>)| {
            let mut conf = serde_json::from_str(text).ok()?;
            let left = sealing::open_stored(call.facts, ring, key, &mut conf);
            (left > 0).then(|| {
                format!("{key}: {left} secrets are not encrypted with this keyring, and stay as they are")
            })
        };
        plan.puts.iter().filter_map(left).take(PROBLEMS_MAX).collect()
    }
}

/// Where a key stands in the order of writes.
fn rank(key: &str) -> (usize, &str) {
    let first = key.split('/').next().unwrap_or_default();
    (ORDER.iter().position(|name| *name == first).unwrap_or(ORDER.len()), key)
}
