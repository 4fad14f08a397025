//! Answers by name, for all workers. Reading takes no lock.

use std::{
    cell::Cell,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, futures::Notified};

use super::{
    dns::{Refusal, Reply},
    hosts::Hosts,
};

/// Names kept at most.
const NAMES_MAX: usize = 4096;

/// Bounds of what a TTL may say.
const VALID_MIN: Duration = Duration::from_secs(1);
const VALID_MAX: Duration = Duration::from_secs(300);

/// How long a "no" is believed, and how soon servers that did not answer are asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long an answer beyond its time is used without waiting for the new one.
const STALE_MAX: Duration = Duration::from_secs(30);

/// How long an answer beyond its time is used while the servers do not answer.
const ORPHAN_MAX: Duration = Duration::from_secs(3600);

/// What is known of one name. No address: it has none, or nobody could tell.
#[derive(Debug)]
pub(super) struct Answer {
    addrs: Box<[IpAddr]>,
    /// `None`: for ever.
    good_until: Option<Instant>,
    /// Until when it may be used while no server answers.
    orphan_until: Option<Instant>,
    why: String,
}

impl Answer {
    /// The address whose turn it is.
    pub(super) fn pick(&self, turn: &Cell<usize>) -> Option<IpAddr> {
        if let [only] = *self.addrs {
            return Some(only);
        }
        let at = turn.get().checked_rem(self.addrs.len())?;
        turn.set(turn.get().wrapping_add(1));
        self.addrs.get(at).copied()
    }

    pub(super) fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }

    /// Why there is no address.
    pub(super) fn why(&self) -> &str {
        &self.why
    }
}

/// Something learnt from an answer.
pub(super) struct Found<T> {
    pub(super) value: T,
    /// The answer is beyond its time: usable, but ask anew.
    pub(super) stale: bool,
}

/// One name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    answer: ArcSwapOption<Answer>,
    asking: AtomicBool,
    done: Notify,
}

impl Entry {
    /// Looks at the answer if there is one to use at `now`.
    pub(super) fn with<T>(
        &self,
        now: Instant,
        look: impl FnOnce(&Arc<Answer>) -> T,
    ) -> Option<Found<T>> {
        let answer = self.answer.load();
        let answer = answer.as_ref()?;
        let stale = answer.good_until.is_some_and(|until| until <= now);
        let usable = !stale
            || answer.good_until.is_some_and(|until| until + STALE_MAX > now)
                && !answer.addrs.is_empty();
        usable.then(|| Found { value: look(answer), stale })
    }

    /// Ends when the question under way has ended, one way or another.
    pub(super) fn done(&self) -> Notified<'_> {
        self.done.notified()
    }

    /// The right to ask, for one at a time.
    pub(super) fn begin(self: Arc<Self>) -> Option<Asking> {
        let free = !self.asking.swap(true, Ordering::AcqRel);
        free.then(|| Asking(self))
    }

    fn set(&self, answer: Answer) {
        self.answer.store(Some(Arc::new(answer)));
    }

    fn is_disposable(&self, now: Instant) -> bool {
        let answer = self.answer.load();
        !self.asking.load(Ordering::Acquire)
            && answer
                .as_ref()
                .is_none_or(|answer| answer.good_until.is_some_and(|until| until <= now))
    }

    fn is_permanent(&self) -> bool {
        self.answer.load().as_ref().is_some_and(|answer| answer.good_until.is_none())
    }
}

/// A question under way. Dropped without an answer, it lets others ask.
pub(super) struct Asking(Arc<Entry>);

impl Asking {
    /// Stores what came of it.
    pub(super) fn finish(self, reply: Reply, valid: Option<Duration>, now: Instant) {
        let answer = match reply {
            Ok((addrs, ttl)) => {
                let good_for = valid.unwrap_or(ttl.min(VALID_MAX)).max(VALID_MIN);
                let good_until = now + good_for;
                Answer {
                    addrs: addrs.into_boxed_slice(),
                    good_until: Some(good_until),
                    orphan_until: Some(good_until + ORPHAN_MAX),
                    why: String::new(),
                }
            }
            Err(refusal) => self.without_reply(refusal, now),
        };
        self.0.set(answer);
    }

    fn without_reply(&self, refusal: Refusal, now: Instant) -> Answer {
        let good_until = Some(now + RETRY_AFTER);
        let old = self.0.answer.load();
        let old = old.as_ref().filter(|old| old.orphan_until.is_some_and(|until| until > now));
        match (refusal, old) {
            (Refusal::Silence(why), Some(old)) => {
                Answer { addrs: old.addrs.clone(), good_until, orphan_until: old.orphan_until, why }
            }
            (Refusal::Silence(why) | Refusal::NoSuchName(why), _) => {
                Answer { addrs: Box::default(), good_until, orphan_until: None, why }
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asking.store(false, Ordering::Release);
        self.0.done.notify_waiters();
    }
}

type Map = imbl::HashMap<Box<str>, Arc<Entry>>;

/// All names.
#[derive(Debug)]
pub(super) struct Table(ArcSwap<Map>);

impl Table {
    /// A table that knows `hosts` for ever.
    pub(super) fn new(hosts: Hosts, ipv6: bool) -> Self {
        let permanent = hosts.into_iter().filter_map(|(name, addrs)| {
            // A name with both kinds is an IPv4 name, as with DNS.
            let v4: Vec<IpAddr> = addrs.iter().copied().filter(IpAddr::is_ipv4).collect();
            let addrs = if v4.is_empty() && ipv6 { addrs } else { v4 };
            if addrs.is_empty() {
                return None;
            }
            let entry = Entry::default();
            entry.set(Answer {
                addrs: addrs.into_boxed_slice(),
                good_until: None,
                orphan_until: None,
                why: String::new(),
            });
            Some((name.into_boxed_str(), Arc::new(entry)))
        });
        Self(ArcSwap::from_pointee(permanent.collect()))
    }

    /// Looks at the entry of `name` if there is one.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.0.load().get(name).map(|entry| look(entry))
    }

    /// The entry of `name`, made if need be.
    pub(super) fn entry(&self, name: &str, now: Instant) -> Arc<Entry> {
        if let Some(entry) = self.0.load().get(name) {
            return Arc::clone(entry);
        }
        let fresh = Arc::new(Entry::default());
        self.0.rcu(|map| {
            let mut map = Map::clone(map);
            if map.len() >= NAMES_MAX {
                make_room(&mut map, now);
            }
            map.entry(name.into()).or_insert_with(|| Arc::clone(&fresh));
            map
        });
        // Another worker may have been faster; then its entry counts.
        self.0.load().get(name).map_or(fresh, Arc::clone)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.load().len()
    }
}

/// Forgets what is too old; if that is too little, whatever may be asked for again.
fn make_room(map: &mut Map, now: Instant) {
    map.retain(|_, entry| !entry.is_disposable(now));
    if map.len() >= NAMES_MAX * 3 / 4 {
        let mut keep = NAMES_MAX / 2;
        map.retain(|_, entry| {
            let stays = entry.is_permanent() || keep > 0;
            keep = keep.saturating_sub(1);
            stays
        });
    }
}
