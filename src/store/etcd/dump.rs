//! Dumps of etcd: what `etcdctl get --prefix /apisix -w json` prints, and the plain text without
//! `-w json` where it has only one meaning.
//!
//! A dump is keys and values and their revisions. Leases are not in it, so a key that would have
//! gone by itself stays. What APISIX keeps for its own bookkeeping (`init_dir`, `gen_id`,
//! `data_plane/`) is counted and left out, as it is by the store.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::{keys::Keys, proto::KeyValue};
use crate::store::{Entry, Listing};

/// What a dump holds below a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// The entries, in the order of the dump.
    pub entries: Vec<Entry>,
    /// Keys of bookkeeping that were left out.
    pub hidden: usize,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    kvs: Vec<Pair>,
    /// There would be more: somebody asked with a limit.
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default, deserialize_with = "number")]
    create_revision: i64,
    #[serde(default, deserialize_with = "number")]
    mod_revision: i64,
}

/// etcdctl writes numbers, etcd's HTTP gateway texts.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    match Value::deserialize(from)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| de::Error::custom("a revision is no number"))
}

/// Whether a JSON document looks like a dump rather than like one of objects.
#[must_use]
pub fn is_dump(root: &Value) -> bool {
    root.get("kvs").is_some_and(Value::is_array)
        || root.pointer("/header/revision").is_some_and(|at| at.is_number() || at.is_string())
}

/// Reads what `-w json` prints, or etcd's HTTP gateway answers. `prefix` is what all keys begin
/// with: `/apisix`.
///
/// # Errors
///
/// It is no such text, not all of one, or has a key elsewhere: which.
pub fn read(text: &str, prefix: &str) -> Result<Dump, String> {
    // Fields of a record may also stand in a list, as serde has it; here they never do.
    if !text.trim_start().starts_with('{') {
        return Err("no dump of etcd: it is no object".to_owned());
    }
    let answer: Answer =
        serde_json::from_str(text).map_err(|error| format!("no dump of etcd: {error}"))?;
    if answer.more {
        return Err("not the whole dump: it was made with a limit".to_owned());
    }
    let pair = |(at, pair): (usize, Pair)| {
        let bytes = |name: &str, text: &str| {
            let decoded = STANDARD.decode(text);
            decoded.map_err(|error| format!("kvs[{at}].{name} is no base64: {error}"))
        };
        Ok(KeyValue {
            key: bytes("key", &pair.key)?.into(),
            value: bytes("value", &pair.value)?.into(),
            create_revision: pair.create_revision,
            mod_revision: pair.mod_revision,
        })
    };
    let pairs = answer.kvs.into_iter().enumerate().map(pair);
    below(prefix, pairs.collect::<Result<Vec<_>, String>>()?)
}

/// Reads what etcdctl prints without `-w json`: a line for each key, and one for its value.
///
/// # Errors
///
/// A value has several lines, so that nobody can tell it from a key; or as [`read`].
pub fn read_text(text: &str, prefix: &str) -> Result<Dump, String> {
    let start = format!("{prefix}/");
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut lines = text.split('\n').enumerate();
    let mut pairs = Vec::new();
    while let Some((at, key)) = lines.next() {
        let wrong = |what: &str| {
            Err(format!("line {}: {what}; a dump made with `-w json` has one meaning", at + 1))
        };
        if !key.starts_with(&start) {
            return wrong(&format!("a key was expected, which begins with {start}"));
        }
        let Some((_, value)) = lines.next() else { return wrong("this key has no value") };
        if value.starts_with(&start) {
            return wrong("behind this key there is another key");
        }
        let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
        pairs.push(KeyValue { key, value, create_revision: 0, mod_revision: 0 });
    }
    below(prefix, pairs)
}

fn below(prefix: &str, pairs: Vec<KeyValue>) -> Result<Dump, String> {
    let (keys, start) = (Keys::new(prefix), format!("{prefix}/"));
    let mut dump = Dump::default();
    for pair in pairs {
        if !pair.key.starts_with(start.as_bytes()) {
            let key = String::from_utf8_lossy(&pair.key).into_owned();
            return Err(format!("the key {key} does not begin with {start}: give its prefix"));
        }
        match keys.entry(&pair) {
            Ok(entry) => dump.entries.push(entry),
            Err(_) => dump.hidden += 1,
        }
    }
    Ok(dump)
}

/// Writes what `-w json` would print of an etcd that holds these entries.
#[must_use]
pub fn write(listing: &Listing, prefix: &str) -> String {
    let pair = |entry: &Entry| {
        json!({
            "key": STANDARD.encode(format!("{prefix}/{}", entry.key)),
            "create_revision": entry.created,
            "mod_revision": entry.modified,
            "version": 1,
            "value": STANDARD.encode(entry.value.as_bytes()),
        })
    };
    let header =
        json!({"cluster_id": 0, "member_id": 0, "revision": listing.revision, "raft_term": 0});
    let kvs: Vec<Value> = listing.entries.iter().map(pair).collect();
    json!({"header": header, "count": kvs.len(), "kvs": kvs}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let entry = |key: &str, value: &str, at| Entry {
            key: key.into(),
            value: value.into(),
            created: at,
            modified: at + 1,
        };
        let odd = entry("routes/é", "{\"uri\": \"/ü\\n\", \"n\": 1.0}", 7);
        Listing { entries: vec![entry("plugins", "[]", 1), odd], revision: 9 }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = write(&listing(), "/apisix");
        let dump = read(&text, "/apisix").unwrap();
        assert_eq!(dump, Dump { entries: listing().entries, hidden: 0 });
        assert!(is_dump(&serde_json::from_str(&text).unwrap()));
    }

    #[test]
    fn texts_of_etcdctl_and_of_its_gateway_are_read() {
        let key = |key: &str| STANDARD.encode(key);
        let text = format!(
            r#"{{"header":{{"cluster_id":14841639068965178418,"revision":5}},"kvs":[
                {{"key":"{}","create_revision":2,"mod_revision":2,"version":1,"value":"{}"}},
                {{"key":"{}","create_revision":"3","mod_revision":"4","value":"{}"}},
                {{"key":"{}","create_revision":5,"mod_revision":5,"value":"{}"}}],"count":3}}"#,
            key("/apisix/routes/"),
            key("init_dir"),
            key("/apisix/routes/1"),
            key("{}"),
            key("/apisix/gen_id"),
            key("1"),
        );
        let dump = read(&text, "/apisix").unwrap();
        assert_eq!((dump.entries.len(), dump.hidden), (1, 2));
        let entry = &dump.entries[0];
        assert_eq!(
            (&*entry.key, &*entry.value, entry.created, entry.modified),
            ("routes/1", "{}", 3, 4)
        );
        assert_eq!(read(r#"{"header":{"revision":1}}"#, "/apisix").unwrap(), Dump::default());
    }

    #[test]
    fn what_is_no_whole_dump_is_refused_by_name() {
        let key = STANDARD.encode("/other/routes/1");
        for (text, why) in [
            ("[]", "no dump of etcd"),
            (r#"{"kvs":[{"key":"%"}]}"#, "kvs[0].key is no base64"),
            (r#"{"kvs":[{"key":"YQ==","value":"?"}]}"#, "kvs[0].value is no base64"),
            (r#"{"kvs":[{"key":"YQ==","mod_revision":[]}]}"#, "a revision is no number"),
            (r#"{"kvs":[],"more":true}"#, "not the whole dump"),
            (
                &format!(r#"{{"kvs":[{{"key":"{key}"}}]}}"#),
                "/other/routes/1 does not begin with /apisix/",
            ),
        ] {
            let error = read(text, "/apisix").unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn plain_texts_are_read_where_they_have_one_meaning() {
        let text = "/apisix/routes/\ninit_dir\n/apisix/routes/1\n{\"uri\":\"/a\"}\n/apisix/x\n\n";
        let dump = read_text(text, "/apisix").unwrap();
        let pairs: Vec<_> = dump.entries.iter().map(|e| (&*e.key, &*e.value)).collect();
        assert_eq!(pairs, [("routes/1", "{\"uri\":\"/a\"}"), ("x", "")]);
        assert_eq!(dump.hidden, 1);
        for (text, why) in [
            ("/apisix/a\n{\n}\n", "line 3: a key was expected"),
            ("/apisix/a\n", "line 1: this key has no value"),
            ("/apisix/a\n/apisix/b\n", "line 1: behind this key there is another key"),
            ("/apisix2/a\n{}\n", "line 1: a key was expected"),
        ] {
            let error = read_text(text, "/apisix").unwrap_err();
            assert!(error.contains(why) && error.contains("-w json"), "{error}");
        }
    }
}
