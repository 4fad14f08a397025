//! Keeps what is held equal to etcd, and tells the sink.
//!
//! A session is: a connection, a listing or the proof that what is held is this etcd's past, and
//! one watch from the revision after it. When it ends, for whatever reason, another begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    ask::{self, Goal, Past},
    client::{Client, Link},
    fail::{Fail, OUT_OF_RANGE},
    grpc::Stream,
    held::Held,
    jitter,
    keys::Keys,
    proto::{
        Event, WatchAsk, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    },
    saver::Shared,
    snapshot::SnapshotFile,
};
use crate::{
    clock,
    limits::ETCD_LISTING_BYTES_MAX,
    store::{Batch, Change, Sink},
};

const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The snapshot is used when etcd has not answered for so long after the start.
const PATIENCE: Duration = Duration::from_secs(5);

/// A watch that said nothing for so long is asked whether it lives.
const ASK_AFTER: Duration = Duration::from_secs(5);

/// A watch that says nothing for so long, though it was asked, is dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);

/// A session that lasted so long was a good one: what ends it is no repeated failure.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// Who follows etcd.
pub(super) struct Follower {
    pub(super) client: Arc<Client>,
    pub(super) keys: Keys,
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Sink,
    /// What to begin with when etcd does not answer.
    pub(super) file: Option<SnapshotFile>,
    /// The reason that was told, while etcd counts as lost.
    pub(super) lost: Option<String>,
}

impl Follower {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        self.begin().await;
        let mut failures = 0;
        loop {
            let begun = clock::now();
            let fail = match self.session().await {
                Ok(never) => match never {},
                Err(fail) => fail,
            };
            if clock::now().saturating_duration_since(begun) > GOOD_AFTER {
                failures = 0;
            }
            // The first end of a session may be a member that restarts: another is asked first.
            if failures > 0 {
                self.tell_lost(self.lost_by(&fail));
            }
            sleep(jitter::pause(failures, self.client.options.resync_delay)).await;
            failures += 1;
        }
    }

    /// Tells the first listing; before it, what the disk holds if etcd does not answer.
    async fn begin(&mut self) {
        let options = &self.client.options;
        let (retries, longest) = (options.startup_retry, options.resync_delay);
        let patience = sleep(PATIENCE.min(options.timeout));
        tokio::pin!(patience);
        let mut failures = 0;
        let mut fallen = false;
        let client = Arc::clone(&self.client);
        let keys = self.keys.clone();
        loop {
            let fetched = fetch(&client, &keys);
            tokio::pin!(fetched);
            let done = loop {
                tokio::select! {
                    done = &mut fetched => break done,
                    () = &mut patience, if !fallen => {
                        fallen = true;
                        let why = format!("{} did not answer yet", client.options.urls().join(", "));
                        self.fall_back(unreachable(&why)).await;
                    }
                }
            };
            let fail = match done {
                Ok(held) => match self.lost_on_disk(&held).await {
                    None => return self.replace(held),
                    Some(how) => {
                        self.shared.set_emptied(true);
                        return self.fall_back(self.lost_by(&Fail::Emptied(how))).await;
                    }
                },
                Err(fail) => self.lost_by(&fail),
            };
            failures += 1;
            if fallen {
                self.tell_lost(fail);
            } else if failures >= retries {
                fallen = true;
                self.fall_back(fail).await;
            }
            sleep(jitter::pause(failures - 1, longest)).await;
        }
    }

    /// What the disk holds.
    async fn load(&self) -> Result<Held, String> {
        let file = self.file.clone().ok_or("no snapshot is kept")?;
        let loaded = spawn_blocking(move || file.load()).await;
        loaded.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// How it shows that an etcd that is empty at the start lost what the disk holds.
    async fn lost_on_disk(&self, held: &Held) -> Option<&'static str> {
        if held.count() > 0 {
            return None;
        }
        let old = self.load().await.ok().filter(|old| !old.entries.is_empty())?;
        if held.cluster != old.cluster {
            return Some(ask::ANOTHER);
        }
        (held.revision < old.revision).then_some(ask::WENT_BACK)
    }

    /// Tells what the disk holds, and that etcd is lost.
    async fn fall_back(&mut self, why: String) {
        let note = match self.load().await {
            Ok(held) => {
                let note = format!("what serves is the snapshot of revision {}", held.revision);
                let listing = held.listing();
                self.shared.held(|old| *old = held);
                (self.sink)(Batch::All(listing));
                note
            }
            Err(reason) => reason,
        };
        self.tell_lost(format!("{why} ({note})"));
    }

    fn tell_lost(&mut self, why: String) {
        if self.lost.as_ref() != Some(&why) {
            self.lost = Some(why.clone());
            (self.sink)(Batch::Lost(why));
        }
    }

    /// What a failure means for the store.
    fn lost_by(&self, fail: &Fail) -> String {
        let Fail::Emptied(how) = fail else { return unreachable(&fail.to_string()) };
        let prefix = &self.client.options.prefix;
        format!("etcd has nothing below {prefix:?} and {how}: restore it, or put any key there")
    }

    fn tell_found(&mut self) {
        if self.lost.take().is_some() {
            (self.sink)(Batch::Found);
        }
    }

    /// Tells a new listing.
    fn replace(&mut self, mut held: Held) {
        let listing = self.shared.held(|old| {
            held.share(old);
            *old = held;
            old.listing()
        });
        self.shared.set_emptied(false);
        self.shared.changed();
        (self.sink)(Batch::All(listing));
        self.tell_found();
    }

    /// One session; returns why it ended.
    async fn session(&mut self) -> Result<std::convert::Infallible, Fail> {
        let link = self.client.link().await?;
        let done = self.on(&link).await;
        if let Err(fail) = &done
            && fail.is_of_endpoint()
        {
            self.client.forget(&link).await;
        }
        done
    }

    async fn on(&mut self, link: &Link) -> Result<std::convert::Infallible, Fail> {
        let past = ask::past(&self.client, link, &self.keys, &self.shared).await?;
        let mut goal = match past {
            Past::Same(goal) => {
                self.shared.set_emptied(false);
                Some(goal)
            }
            Past::Forgotten => self.list(link, None).await?,
            Past::Other(how) => self.list(link, Some(how)).await?,
        };
        loop {
            let fail = match self.watch(link, goal.take()).await {
                Ok(never) => match never {},
                Err(fail) => fail,
            };
            if !fail.is_compacted() {
                return Err(fail);
            }
            goal = self.list(link, None).await?;
        }
    }

    /// Begins anew with all there is. Nothing remains to be reached then. `other` says how it
    /// shows that etcd is another than the one that what is held came from, if it does.
    async fn list(
        &mut self,
        link: &Link,
        other: Option<&'static str>,
    ) -> Result<Option<Goal>, Fail> {
        let held = ask::all(&self.client, link, &self.keys, "").await?;
        if let Some(how) = other
            && held.count() == 0
            && self.shared.held(|old| !old.entries.is_empty())
        {
            self.shared.set_emptied(true);
            return Err(Fail::Emptied(how));
        }
        self.replace(held);
        Ok(None)
    }

    async fn watch(
        &mut self,
        link: &Link,
        mut goal: Option<Goal>,
    ) -> Result<std::convert::Infallible, Fail> {
        let (key, range_end) = self.keys.range("");
        let next = self.shared.held(|held| held.revision) + 1;
        let start_revision = i64::try_from(next).unwrap_or(i64::MAX);
        let create = WatchCreateRequest { key, range_end, start_revision, fragment: true };
        let create = WatchRequest { ask: Some(WatchAsk::Create(create)) };
        let mut stream = self.client.stream(link, WATCH, &create).await?;
        let mut parts = Vec::new();
        let limits = Limits::new(self.client.options.watch_timeout);
        loop {
            let message = heard(&mut stream, limits).await?;
            if message.canceled {
                return Err(self.canceled(message).await);
            }
            let more = message.fragment;
            collect(&mut parts, message.events)?;
            if more {
                continue;
            }
            self.take(&std::mem::take(&mut parts))?;
            if goal.is_none_or(|goal| self.shared.held(|held| goal.is_reached_by(held))) {
                goal = None;
                self.tell_found();
            }
        }
    }

    /// Why etcd ended the watch.
    async fn canceled(&self, message: WatchResponse) -> Fail {
        let mut text = message.cancel_reason;
        if message.compact_revision > 0 && !text.contains("has been compacted") {
            text = format!("revision {} has been compacted", message.compact_revision);
        }
        if text.is_empty() {
            "etcd ended the watch".clone_into(&mut text);
        }
        let fail = Fail::Refused { code: OUT_OF_RANGE, text };
        if !fail.is_compacted() {
            // It may be for a token that is old, of which it gives no better sign.
            self.client.log_out().await;
        }
        fail
    }

    /// Does and tells what events say: whole revisions.
    fn take(&mut self, events: &[Event]) -> Result<(), Fail> {
        if events.is_empty() {
            return Ok(());
        }
        let keys = &self.keys;
        let (changes, revision) = self.shared.held(|held| {
            let changes: Result<Vec<Option<Change>>, Fail> =
                events.iter().map(|event| held.apply(keys, event)).collect();
            changes.map(|changes| (changes, held.revision))
        })?;
        let changes: Vec<Change> = changes.into_iter().flatten().collect();
        if !changes.is_empty() {
            self.shared.changed();
            (self.sink)(Batch::Changes { revision, changes });
        }
        Ok(())
    }
}

fn unreachable(why: &str) -> String {
    format!("etcd cannot be reached: {why}")
}

/// A connection and all below the prefix.
async fn fetch(client: &Client, keys: &Keys) -> Result<Held, Fail> {
    let link = client.link().await?;
    let done = ask::all(client, &link, keys, "").await;
    if let Err(fail) = &done
        && fail.is_of_endpoint()
    {
        client.forget(&link).await;
    }
    done
}

/// Adds events to those of the same message that came before.
fn collect(parts: &mut Vec<Event>, events: Vec<Event>) -> Result<(), Fail> {
    parts.extend(events);
    let bytes: usize = parts
        .iter()
        .map(|event| event.kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len()))
        .sum();
    if bytes > ETCD_LISTING_BYTES_MAX {
        return Err(Fail::TooLong(bytes));
    }
    Ok(())
}

/// How long a watch may be silent.
#[derive(Debug, Clone, Copy)]
struct Limits {
    ask: Duration,
    dead: Duration,
}

impl Limits {
    fn new(watch_timeout: Duration) -> Self {
        Self { ask: ASK_AFTER.min(watch_timeout / 3), dead: DEAD_AFTER.min(watch_timeout) }
    }
}

/// What the watch says next. It is asked for its progress when it is silent, which a connection
/// that leads nowhere, a stopped etcd and a lost stream all leave unanswered. The revision of that
/// answer is not used: before etcd 3.4.25 and 3.5.8 it could come before the events it counts.
async fn heard(stream: &mut Stream, limits: Limits) -> Result<WatchResponse, Fail> {
    let begun: Instant = clock::now();
    loop {
        if let Ok(message) = timeout(limits.ask, stream.messages.next()).await {
            return message?.ok_or_else(|| Fail::Broken("etcd ended the watch".to_owned()));
        }
        let silent = clock::now().saturating_duration_since(begun);
        if silent >= limits.dead {
            return Err(Fail::Broken(format!("the watch says nothing since {silent:.0?}")));
        }
        let ask = Some(WatchAsk::Progress(WatchProgressRequest {}));
        stream.say(&WatchRequest { ask });
    }
}
