//! Keys and values of etcd as ours, and which of them are nobody's business.

use std::sync::Arc;

use bytes::Bytes;

use crate::store::{Entry, UNREADABLE, etcd::proto::KeyValue};

/// What APISIX writes under the keys of its folders.
const FOLDER: &[u8] = b"init_dir";

/// What APISIX writes to get a new revision.
pub(super) const NEW_ID: &str = "gen_id";

/// What APISIX's gateways write of themselves.
const REPORTS: &str = "data_plane/";

/// The keys of one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// With the slash behind it.
    prefix: String,
}

/// A key below the prefix.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// An object's.
    Object(String),
    /// Bookkeeping.
    Hidden(String),
    /// Not UTF-8: as text, with `\xff` for what is none.
    Unreadable(String),
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{prefix}/") }
    }

    /// The key in etcd.
    pub(super) fn full(&self, key: &str) -> Bytes {
        Bytes::from(format!("{}{key}", self.prefix))
    }

    /// First and one past the last of the keys in etcd that begin with `prefix`.
    pub(super) fn range(&self, prefix: &str) -> (Bytes, Bytes) {
        let first = self.full(prefix);
        let end = after(&first);
        (first, end)
    }

    pub(super) fn name(&self, key: &[u8]) -> Name {
        let short = key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key);
        match std::str::from_utf8(short) {
            Ok(name)
                if name.is_empty()
                    || name.ends_with('/')
                    || name == NEW_ID
                    || name.starts_with(REPORTS) =>
            {
                Name::Hidden(name.to_owned())
            }
            Ok(name) => Name::Object(name.to_owned()),
            Err(_) => Name::Unreadable(escaped(short)),
        }
    }

    /// The entry, or the name of what is none.
    pub(super) fn entry(&self, kv: &KeyValue) -> Result<Entry, String> {
        let (key, value) = match self.name(&kv.key) {
            Name::Hidden(name) => return Err(name),
            Name::Object(name) if kv.value == FOLDER => return Err(name),
            Name::Object(name) => match std::str::from_utf8(&kv.value) {
                Ok(value) => (name, Arc::from(value)),
                Err(error) => {
                    let (at, of) = (error.valid_up_to(), kv.value.len());
                    let why = format!("{UNREADABLE}not UTF-8 at byte {at} of {of}");
                    (name, Arc::from(why))
                }
            },
            Name::Unreadable(name) => {
                (name, Arc::from(format!("{UNREADABLE}its key is not UTF-8")))
            }
        };
        Ok(Entry {
            key: Arc::from(key),
            value,
            created: positive(kv.create_revision),
            modified: positive(kv.mod_revision),
        })
    }
}

/// Revisions are never negative.
pub(super) fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The first key that does not begin so and comes later.
pub(super) fn after(first: &[u8]) -> Bytes {
    let mut end = first.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    // etcd's word for no end.
    Bytes::from_static(&[0])
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &'static [u8], value: &'static [u8]) -> KeyValue {
        let (key, value) = (Bytes::from_static(key), Bytes::from_static(value));
        KeyValue { key, value, create_revision: 3, mod_revision: 4 }
    }

    #[test]
    fn ranges_end_after_the_last_key_that_begins_so() {
        let (first, end) = Keys::new("/apisix").range("routes/");
        assert_eq!((&first[..], &end[..]), (&b"/apisix/routes/"[..], &b"/apisix/routes0"[..]));
        assert_eq!(&after(b"a\xff\xff")[..], b"b");
        assert_eq!(&after(b"\xff")[..], b"\0");
    }

    #[test]
    fn bookkeeping_of_apisix_is_no_entry() {
        let keys = Keys::new("/apisix");
        for (key, value) in [
            (&b"/apisix/routes/"[..], &b"init_dir"[..]),
            (b"/apisix/routes/7", b"init_dir"),
            (b"/apisix/", b"init_dir"),
            (b"/apisix/gen_id", b"1"),
            (b"/apisix/data_plane/server_info/x", b"{}"),
        ] {
            assert!(keys.entry(&kv(key, value)).is_err(), "{key:?}");
        }
        let entry = keys.entry(&kv(b"/apisix/routes/1", b"{}")).unwrap();
        assert_eq!((&*entry.key, &*entry.value), ("routes/1", "{}"));
        assert_eq!((entry.created, entry.modified), (3, 4));
        assert_eq!(&*keys.entry(&kv(b"/apisix/plugins", b"[]")).unwrap().key, "plugins");
    }

    #[test]
    fn what_is_no_text_says_so_and_is_no_json() {
        let keys = Keys::new("/apisix");
        let value = keys.entry(&kv(b"/apisix/routes/1", b"{\"a\xff\"}")).unwrap();
        assert_eq!(&*value.value, "\u{FFFD}unreadable: not UTF-8 at byte 3 of 6");
        let key = keys.entry(&kv(b"/apisix/routes/\xfe1", b"{}")).unwrap();
        assert_eq!(&*key.key, "routes/\\xfe1");
        assert_eq!(&*key.value, "\u{FFFD}unreadable: its key is not UTF-8");
        assert!(serde_json::from_str::<serde_json::Value>(&key.value).is_err());
    }
}
