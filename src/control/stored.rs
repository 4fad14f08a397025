//! Objects from a store: what it tells becomes what serves.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

use super::{
    Checker, Control, Event, admin, etcd,
    stores::{Effective, File, NoStore, sink},
};
use crate::{
    admin::open_stored,
    clock,
    config::{
        Local, Snapshot,
        check::{self, Applied, ObjectChange, apply_changes},
        env,
        keyring::Keyring,
        local,
        provider::Provider,
        raw::{Kind, RawDocument, RawItem},
    },
    log::error_log::Level,
    log_at,
    store::{
        Batch, Change, Entry, Listing, Store, UNREADABLE,
        embedded::OpenError,
        etcd::{Etcd, Saved},
    },
};

/// Objects that are values at one time when there are very many.
const AT_ONCE: usize = 1024;

/// How long a start waits for the first word of the store.
const FIRST: Duration = Duration::from_secs(60);

/// Where objects are stored, if they are.
pub(super) struct Storage {
    /// `None`: they come from a file, or cannot be stored.
    pub(super) stored: Option<Stored>,
    /// Why there is none.
    why_none: String,
    /// Whether the store was chosen because nothing else was there.
    pub(super) by_default: bool,
    /// For what is encrypted in it.
    keyring: Arc<Keyring>,
    /// Whether the file was handed over to another process.
    released: bool,
}

impl Storage {
    /// Opens the store that `local` asks for. One by default that cannot be opened is none.
    ///
    /// # Errors
    ///
    /// Why the store that somebody asked for cannot be opened.
    pub(super) fn open(
        (prefix, takeover): (&Path, bool),
        (local, by_default): (&Local, bool),
        events: &mpsc::Sender<Event>,
    ) -> Result<Self, String> {
        let keyring = admin::settings(local)?.keyring();
        let mut why_none = "the objects are in a file".to_owned();
        let by_default = by_default && local.provider == Some(Provider::Embedded);
        let stored = match local.provider {
            Some(Provider::Embedded) => {
                match File::open(&admin::data_dir(prefix), takeover, events) {
                    Ok(file) => Some(Stored::new(Arc::clone(&file) as _, Some(file))),
                    Err(error @ OpenError::Io { .. }) if by_default => {
                        log_at!(Level::Error, "nothing can be stored: {error}");
                        why_none = error.to_string();
                        None
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
            Some(Provider::Etcd) => {
                let etcd = Arc::new(connect(prefix, local, events)?);
                let stored = Stored::new(Arc::clone(&etcd) as _, None);
                Some(Stored { etcd: Some(etcd), ..stored })
            }
            Some(Provider::File(_)) | None => None,
        };
        Ok(Self { stored, why_none, by_default, keyring, released: false })
    }

    /// The store for those who write: their answers come when the workers serve by what they wrote.
    pub(super) fn for_writers(&self) -> Arc<dyn Store> {
        match &self.stored {
            Some(Stored { store, applied, .. }) => {
                Arc::new(Effective { store: Arc::clone(store), applied: applied.subscribe() })
            }
            None => Arc::new(NoStore(self.why_none.clone())),
        }
    }
}

/// Follows the etcd that `local` names.
fn connect(prefix: &Path, local: &Local, events: &mpsc::Sender<Event>) -> Result<Etcd, String> {
    let options = etcd::options(&local.raw, prefix).map_err(|wrong| wrong.join("\n"))?;
    let data = admin::make_data_dir(prefix);
    if let Err(why) = &data {
        log_at!(Level::Warn, "a start without etcd will have nothing to serve: {why}");
    }
    let snapshot = data.ok().map(|data| data.join("etcd.snapshot"));
    Etcd::connect(options, snapshot, sink(events)).map_err(|error| format!("etcd: {error}"))
}

/// The store, and how much of it is in force.
pub(super) struct Stored {
    pub(super) store: Arc<dyn Store>,
    /// The same, if it is a file of ours.
    file: Option<Arc<File>>,
    /// The same, if it is an etcd.
    etcd: Option<Arc<Etcd>>,
    /// How it stands with the copy of the etcd on disk, as far as it was told.
    saved: Saved,
    /// The revision by which all workers serve.
    applied: watch::Sender<u64>,
}

impl Stored {
    fn new(store: Arc<dyn Store>, file: Option<Arc<File>>) -> Self {
        let (etcd, saved) = (None, Saved::default());
        Self { store, file, etcd, saved, applied: watch::Sender::new(0) }
    }
}

impl Control {
    /// Waits at a start until the store told what it has, or that it cannot be reached.
    pub(super) fn await_store(
        &mut self,
        inbox: &mpsc::Receiver<Event>,
        events: &mpsc::Sender<Event>,
    ) {
        if self.storage.stored.is_none() {
            return;
        }
        let end = Instant::now() + FIRST;
        let mut later = Vec::new();
        loop {
            match inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Event::Stored(batch)) => {
                    self.stored(batch);
                    break;
                }
                Ok(event) => later.push(event),
                Err(_) => {
                    log_at!(Level::Error, "the store says nothing: starting without objects");
                    break;
                }
            }
        }
        self.board.set_unread(!self.read_once);
        for event in later {
            // We hold the other end.
            let _ = events.send(event);
        }
    }

    /// Whether the objects' file is to serve from now on instead of the store: it came after a
    /// start that found neither, and nobody has written to the store.
    pub(super) fn file_instead(&mut self) -> bool {
        let path = local::standalone_path(&self.prefix, self.local.standalone, &env::process);
        if !self.storage.by_default || !path.exists() {
            return false;
        }
        let path = path.display();
        if self.example.is_none() {
            log_at!(Level::Warn, "{path} is not in use: the objects are in the store; see README");
            return false;
        }
        log_at!(Level::Notice, "the objects are those of {path}, since it is there now");
        self.storage.stored = None;
        let mut local = (*self.local).clone();
        local.set_provider(Provider::File(local.standalone));
        self.local = Arc::new(local);
        true
    }

    /// Lets another process have the store's file.
    pub(super) fn release_store(&mut self) {
        let Some(file) = self.storage.stored.as_ref().and_then(|stored| stored.file.clone()) else {
            return;
        };
        match self.runtime.block_on(file.release()) {
            Ok(()) => log_at!(Level::Notice, "the store is handed over to another process"),
            Err(why) => log_at!(Level::Error, "the store cannot be handed over: {why}"),
        }
        self.storage.released = true;
        self.board.set_objects_error(Some("the store is handed over".to_owned()));
    }

    /// Takes the store back that was handed over, if whoever had it is done with it.
    pub(super) fn reclaim_store(&mut self) {
        let stored = self.storage.stored.as_ref().filter(|_| self.storage.released);
        let Some(file) = stored.and_then(|stored| stored.file.as_ref()) else { return };
        match file.open_again() {
            Ok(()) => {
                self.storage.released = false;
                log_at!(Level::Notice, "the store is open again");
            }
            Err(why) => log_at!(Level::Warn, "the store stays handed over: {why}"),
        }
    }

    /// Takes in what the store tells.
    pub(super) fn stored(&mut self, batch: Batch) {
        if self.storage.stored.is_none() {
            return;
        }
        match batch {
            Batch::All(listing) => {
                let list = listing.entries.iter().find(|entry| *entry.key == *PLUGINS).cloned();
                self.follow_list(list, false);
                self.take_all(listing);
                self.board.store(|store| store.connected = true);
            }
            Batch::Changes { revision, changes } => {
                let list = changes.iter().rev().find_map(|change| match change {
                    Change::Put(entry) if *entry.key == *PLUGINS => Some(entry.clone()),
                    _ => None,
                });
                self.follow_list(list, true);
                let mut now = self.without_example();
                now.extend(self.objects(changes));
                self.lay(now, revision);
            }
            Batch::Lost(why) => {
                log_at!(Level::Error, "the store is lost, the configuration stays as it is: {why}");
                let time = clock::wall().as_secs();
                self.board.store(|store| {
                    store.connected = false;
                    store.last_error = Some((time, why.clone()));
                });
                self.board.set_objects_error(Some(why));
            }
            Batch::Found => {
                log_at!(Level::Notice, "the store is there again");
                self.board.store(|store| store.connected = true);
                self.board.set_objects_error(None);
            }
        }
        self.board.set_unread(!self.read_once);
    }

    /// Loads the plugins that the store lists, where somebody else's Admin API wrote the list; a
    /// gateway with one of its own has its own list, and hears that code is to be loaded anew.
    fn follow_list(&mut self, entry: Option<Entry>, changed: bool) {
        let Some(entry) = entry else { return };
        let own = self.local.enable_admin;
        if own && !changed {
            return;
        }
        let names = match listed(&entry.value) {
            Ok(names) => names,
            Err(why) => {
                log_at!(Level::Error, "the stored list of plugins is not followed: {why}");
                return;
            }
        };
        let there = |name: &String| self.generation.has_plugin(name);
        let (names, unknown): (Vec<_>, Vec<_>) = names.into_iter().partition(there);
        if !unknown.is_empty() && !own {
            let unknown = unknown.join(", ");
            log_at!(Level::Error, "the store lists plugins that are not here: {unknown}");
        }
        let known: HashSet<&String> = self.common.plugins.iter().collect();
        let same = known.len() == names.len() && names.iter().all(|name| known.contains(name));
        if own || same {
            // Whether there is anything to load, the files tell; the outcome is in the log and on
            // the board, here and below.
            let _ = self.reload_code(false);
            return;
        }
        log_at!(Level::Notice, "the store lists other plugins: {} are loaded", names.len());
        let before = std::mem::replace(&mut self.common.plugins, Arc::new(names.clone()));
        match self.reload_code(true) {
            Ok(()) => self.listed = Some(names),
            Err(_) => self.common.plugins = before,
        }
    }

    /// Tells when the copy of the etcd on disk cannot be written, and when it can again.
    pub(super) fn watch_saver(&mut self) {
        let Some(stored) = &mut self.storage.stored else { return };
        let Some(etcd) = &stored.etcd else { return };
        let now = etcd.saved();
        if now == stored.saved {
            return;
        }
        match (&stored.saved.error, &now.error) {
            (before, Some(why)) if before.as_ref() != Some(why) => log_at!(
                Level::Error,
                "the copy of the store on disk is not up to date, and a start without the store \
                 would serve by an older one: {why}"
            ),
            (Some(_), None) => log_at!(Level::Notice, "the copy of the store on disk is written"),
            _ => {}
        }
        self.board.store(|store| store.snapshot = Some((now.revision, now.error.clone())));
        stored.saved = now;
    }

    /// Everything anew. What is not different keeps its identity, as it does with single changes.
    fn take_all(&mut self, listing: Listing) {
        let Listing { mut entries, revision } = listing;
        entries.retain(|entry| of_kind(&entry.key).is_some());
        if entries.is_empty() && self.example.is_some() && !self.read_once {
            // Until somebody writes something.
            self.reload_example();
            self.read_once = true;
            return;
        }
        self.example = None;
        let there: HashSet<(Kind, &str)> =
            entries.iter().filter_map(|entry| of_kind(&entry.key)).collect();
        let gone: Vec<ObjectChange> = ids(&self.snapshot)
            .filter(|(kind, id)| !there.contains(&(*kind, &**id)))
            .map(|(kind, id)| ObjectChange { kind, id, now: None })
            .collect();
        drop(there);
        self.board.set_objects_error(None);
        // What others refer to comes before them, as in one document.
        entries
            .sort_by_key(|entry| of_kind(&entry.key).is_none_or(|(kind, _)| !check::first(kind)));
        self.lay_some(gone, entries, revision);
    }

    /// Lays `gone` and then `entries` over what serves, and lets all of it serve at once. A few
    /// at a time: as values 100,000 objects take half a gigabyte.
    fn lay_some(&mut self, gone: Vec<ObjectChange>, entries: Vec<Entry>, revision: u64) {
        let started = Instant::now();
        let mut entries = entries.into_iter();
        let mut all = self.checked(&self.snapshot, gone);
        loop {
            let some: Vec<Change> = entries.by_ref().take(AT_ONCE).map(Change::Put).collect();
            if some.is_empty() {
                break;
            }
            let next = self.checked(&all.snapshot, self.objects(some));
            all.snapshot = next.snapshot;
            all.notices.extend(next.notices);
            if let (Some(all), Some(next)) = (&mut all.touched, next.touched) {
                all.extend(next);
            }
        }
        self.lay_checked(all, started, revision);
    }

    /// What takes the built-in example away, if it serves.
    fn without_example(&mut self) -> Vec<ObjectChange> {
        if self.example.take().is_none() {
            return Vec::new();
        }
        ids(&self.snapshot).map(|(kind, id)| ObjectChange { kind, id, now: None }).collect()
    }

    /// The objects among what changed, decrypted.
    fn objects(&self, changes: Vec<Change>) -> Vec<ObjectChange> {
        let facts = self.facts.load();
        // What was never encrypted is used as it is.
        let open = |key: &str, value: &mut Value| {
            open_stored(&facts, &self.storage.keyring, key, value);
        };
        changes.into_iter().filter_map(|change| object(change, &open)).collect()
    }

    fn lay(&mut self, changes: Vec<ObjectChange>, revision: u64) {
        let started = Instant::now();
        let applied = self.checked(&self.snapshot, changes);
        self.lay_checked(applied, started, revision);
    }

    fn checked(&self, before: &Snapshot, changes: Vec<ObjectChange>) -> Applied {
        let mut checker = Checker { vm: &self.vm, local: &self.local };
        apply_changes(before, changes, &mut checker)
    }

    fn lay_checked(&mut self, applied: Applied, started: Instant, revision: u64) {
        if !super::conf::same(&self.snapshot, &applied.snapshot) {
            self.publish(applied, started);
        }
        self.read_once = true;
        if let Some(stored) = &self.storage.stored {
            stored.applied.send_replace(revision);
            self.board.store(|store| store.revision = revision);
        }
    }

    /// All objects of the store, to be checked by other code.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub(super) fn stored_document(&self, store: &dyn Store) -> Result<RawDocument, String> {
        let listing = self.runtime.block_on(store.list(""));
        let listing = listing.map_err(|error| error.to_string())?;
        let mut document = RawDocument::default();
        for change in self.objects(listing.entries.into_iter().map(Change::Put).collect()) {
            if let Some(item) = change.now {
                document.push(change.kind, item);
            }
        }
        Ok(document)
    }
}

/// Where the list of plugins is stored.
const PLUGINS: &str = "plugins";

/// The names of the plugins for HTTP in a stored list.
///
/// # Errors
///
/// It is no such list.
fn listed(text: &str) -> Result<Vec<String>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let list = value.as_array().ok_or("it is no list")?;
    let http = list.iter().filter(|entry| entry.get("stream") != Some(&Value::Bool(true)));
    let name = |entry: &Value| Some(entry.get("name")?.as_str()?.to_owned());
    http.map(|entry| name(entry).ok_or_else(|| format!("{entry} has no name"))).collect()
}

/// The objects of a snapshot, those among them that are refused and were never good.
fn ids(snapshot: &Snapshot) -> impl Iterator<Item = (Kind, String)> {
    let refused = snapshot.refusals.iter().map(|refusal| (refusal.kind, refusal.id.clone()));
    let served = Kind::ALL
        .into_iter()
        .flat_map(|kind| snapshot.kind_ids(kind).into_iter().map(move |id| (kind, id.to_string())));
    served.chain(refused)
}

/// The kind and id of the object under a key; `None` if it is of nothing that serves.
fn of_kind(key: &str) -> Option<(Kind, &str)> {
    let (plural, id) = key.split_once('/')?;
    let kind = Kind::from_plural(plural)?;
    let known = match kind {
        Kind::Consumers => id.split_once('/').is_none_or(|(_, rest)| {
            rest.strip_prefix("credentials/").is_some_and(|id| !id.is_empty() && !id.contains('/'))
        }),
        Kind::Secrets => id.split('/').count() == 2,
        // Below a service lie the costs of its GraphQL fields.
        _ => !id.contains('/'),
    };
    (known && !id.is_empty()).then_some((kind, id))
}

/// The change as one of an object; `None` if the key is of nothing that serves.
fn object(change: Change, open: &dyn Fn(&str, &mut Value)) -> Option<ObjectChange> {
    let (key, entry) = match &change {
        Change::Put(entry) => (&entry.key, Some(entry)),
        Change::Delete { key, .. } => (key, None),
    };
    let (kind, id) = of_kind(key)?;
    let now = entry.map(|entry| {
        let value = match entry.value.strip_prefix(UNREADABLE) {
            Some(why) => Err(format!("the stored value is no text: {why}")),
            None => serde_json::from_str(&entry.value)
                .map_err(|error| format!("the stored value is no JSON: {error}")),
        };
        let value = value.map(|value| {
            let mut value = with_id(kind, id, value);
            open(key, &mut value);
            value
        });
        RawItem::new(id, value, Some((entry.created, entry.modified)))
    });
    Some(ObjectChange { kind, id: id.to_owned(), now })
}

/// Others who write to the store may leave the id to the key.
fn with_id(kind: Kind, id: &str, mut value: Value) -> Value {
    if kind != Kind::Consumers
        && let Value::Object(map) = &mut value
    {
        let last = id.rsplit_once('/').map_or(id, |(_, last)| last);
        map.entry("id").or_insert_with(|| last.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn put(key: &str, value: &str) -> Option<ObjectChange> {
        let entry = Entry { key: key.into(), value: value.into(), created: 1, modified: 2 };
        object(Change::Put(entry), &|_, _| {})
    }

    #[test]
    fn the_list_of_plugins_has_names() {
        let of = |text| listed(text).map_err(|why| why.split(' ').next().unwrap_or("").to_owned());
        let text = r#"[{"name": "a"}, {"name": "s", "stream": true}, {"name": "b"}]"#;
        assert_eq!(of(text).unwrap(), ["a", "b"]);
        assert_eq!(of("[]").unwrap(), [""; 0]);
        for wrong in ["{}", "[1]", r#"[{"name": 5}]"#, "["] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_objects_or_of_no_interest() {
        let of = |key: &str| put(key, "{}").map(|change| (change.kind, change.id));
        assert_eq!(of("routes/1"), Some((Kind::Routes, "1".into())));
        assert_eq!(of("consumers/jack"), Some((Kind::Consumers, "jack".into())));
        let credential = Some((Kind::Consumers, "jack/credentials/k".into()));
        assert_eq!(of("consumers/jack/credentials/k"), credential);
        assert_eq!(of("secrets/vault/1"), Some((Kind::Secrets, "vault/1".into())));
        for other in [
            "routes",
            "routes/",
            "gen_id",
            "plugins",
            "plugins/a",
            "services/1/graphql_cost_decorations/2",
            "consumers/jack/other/k",
            "consumers/jack/credentials/",
            "secrets/1",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_when_it_is_checked() {
        let change = put("routes/1", "{").unwrap();
        let why = change.now.unwrap().value.into_value().unwrap_err();
        assert!(why.starts_with("the stored value is no JSON"), "{why}");
        let bytes = put("routes/1", &format!("{UNREADABLE}not UTF-8 at byte 9 of 12")).unwrap();
        let why = bytes.now.unwrap().value.into_value().unwrap_err();
        assert_eq!(why, "the stored value is no text: not UTF-8 at byte 9 of 12");
        let value = |key, text| put(key, text).unwrap().now.unwrap().value.into_value().unwrap();
        assert_eq!(value("routes/7", "{}")["id"], "7");
        assert_eq!(value("routes/7", "{\"id\": 7}")["id"], 7);
        assert_eq!(value("consumers/jack", "{}").get("id"), None);
    }
}
