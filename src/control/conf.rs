//! Objects: reading the file, checking what changed, handing it to the workers.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use super::{Checker, Control, Event, start};
use crate::{
    clock,
    config::{
        Snapshot,
        check::{self, Applied, Recheck},
        env,
        local::{self, Format},
        raw::{Kind, RawDocument},
        snapshot::Refusal,
        source::{
            file,
            watch::{Watched, Watcher},
        },
        yaml::ParseError,
    },
    live::Live,
    log::error_log::Level,
    log_at,
    sys::platform,
    worker::Order,
};

/// How long workers may take to swap before the control thread goes on.
const SWAP: Duration = Duration::from_secs(10);

/// Bytes from which on a file of objects gets huge pages: about 40,000 routes, whose look-ups
/// touch more small pages than a processor remembers.
const LARGE: u64 = 4 << 20;

/// Routes whose router leaves so much memory behind that it is worth a moment to give it back.
const MANY: usize = 2_000;

/// How long a plugin directory must be quiet before its files are read.
const QUIET: Duration = Duration::from_millis(20);

impl Control {
    /// Watches the objects' file and all directories with Lua files.
    pub(super) fn watch(&self, events: &mpsc::Sender<Event>) -> Result<Vec<Watcher>, String> {
        let path = local::standalone_path(&self.prefix, self.local.standalone, &env::process);
        let mut watchers = Vec::new();
        if (self.storage.stored.is_none() || self.storage.by_default)
            && let (Some(dir), Some(name)) = (path.parent(), path.file_name())
        {
            let events = events.clone();
            let watched = Watched::files(dir, &[&name.to_string_lossy()]);
            let watcher = Watcher::new(vec![watched], move |_| {
                // The control thread may have ended.
                let _ = events.send(Event::Objects);
            });
            watchers
                .push(watcher.map_err(|error| format!("cannot watch {}: {error}", dir.display()))?);
        }
        if self.local.reload.watch {
            let trees: Vec<Watched> = self
                .generation
                .places()
                .directories()
                .into_iter()
                .map(|dir| Watched::tree(dir, "lua", QUIET))
                .collect();
            let events = events.clone();
            let watcher = Watcher::new(trees, move |_| {
                // The control thread may have ended.
                let _ = events.send(Event::Code);
            });
            watchers.push(watcher.map_err(|error| format!("cannot watch plugins: {error}"))?);
        }
        Ok(watchers)
    }

    /// Reads the objects' file and applies it if it changed.
    pub(super) fn reload_objects(&mut self) {
        if self.storage.stored.is_some() && !self.file_instead() {
            return;
        }
        let document = match self.read_objects() {
            Ok(document) => document,
            Err(error) => {
                log_at!(Level::Error, "the configuration stays as it was: {error}");
                self.common.counts.configs_refused.fetch_add(1, Ordering::Relaxed);
                self.board.set_objects_error(Some(error.to_string()));
                return;
            }
        };
        let started = Instant::now();
        let mut checker = Checker { vm: &self.vm, local: &self.local };
        let applied = check::apply(&self.snapshot, document, &mut checker, Recheck::Changed);
        self.board.set_objects_error(None);
        if !self.read_once || !same(&self.snapshot, &applied.snapshot) {
            self.read_once = true;
            self.publish(applied, started);
        }
    }

    /// The objects' file, or the example while there is none.
    ///
    /// # Errors
    ///
    /// What keeps the file from being read, with its line where known.
    pub(super) fn read_objects(&mut self) -> Result<RawDocument, ParseError> {
        let (local, env) = (&self.local, &env::process);
        let path = local::standalone_path(&self.prefix, local.standalone, env);
        match self.example {
            Some(example) if !path.exists() => {
                file::parse(example, Format::Yaml, &local.limits, env)
            }
            _ => {
                if path.metadata().is_ok_and(|file| file.len() >= LARGE) {
                    // Without them look-ups are slower, that is all.
                    let _ = platform::allow_huge_pages(true);
                }
                self.reader.read(&path, local.standalone, &local.limits, env)
            }
        }
    }

    /// Serves the example.
    pub(super) fn reload_example(&mut self) {
        let Some(example) = self.example else { return };
        let started = Instant::now();
        match file::parse(example, Format::Yaml, &self.local.limits, &env::process) {
            Ok(document) => {
                let mut checker = Checker { vm: &self.vm, local: &self.local };
                let applied =
                    check::apply(&self.snapshot, document, &mut checker, Recheck::Changed);
                self.publish(applied, started);
            }
            Err(error) => log_at!(Level::Error, "the example does not load: {error}"),
        }
    }

    /// Builds the router and lets all workers serve by it.
    pub(super) fn publish(&mut self, applied: Applied, started: Instant) {
        report(&applied);
        self.snapshot = Arc::new(applied.snapshot);
        // Before the workers look for them.
        let touched = applied.touched.as_deref();
        let health = || self.common.health.follow(&self.snapshot, touched);
        self.common.discovery.follow(&self.snapshot, touched, health);
        self.vm.see(Arc::clone(&self.snapshot));
        let mode = start::mode(&self.local);
        let snapshot = Arc::clone(&self.snapshot);
        let live = match applied.touched {
            Some(touched) => {
                let live = Live::after(&self.live, Arc::clone(&snapshot), &touched, mode);
                self.rebuild.note(snapshot, touched);
                live
            }
            None => {
                self.rebuild.forget();
                Live::build(snapshot, mode, Some(&self.live))
            }
        };
        let told: HashSet<&String> = self.live.problems.iter().collect();
        for problem in live.problems.iter().filter(|problem| !told.contains(problem)) {
            log_at!(Level::Error, "{problem}");
        }
        self.swap(live);
        log_at!(
            Level::Notice,
            "configuration version {} serves: {} routes, {} refused objects, {} ms",
            self.snapshot.version,
            self.snapshot.routes.len(),
            self.snapshot.refusals.len(),
            started.elapsed().as_millis()
        );
        self.common.counts.configs_accepted.fetch_add(1, Ordering::Relaxed);
        self.rebuild.begin(&self.live, mode);
    }

    /// Lets all workers serve by `live`, which has the objects of `self.snapshot`.
    pub(super) fn swap(&mut self, live: Live) {
        let old = std::mem::replace(&mut self.live, Arc::new(live));
        if !self.live.numbers_as(&old) && self.live.numbers().max(old.numbers()) >= MANY {
            self.replaced = Some(clock::now());
        }
        let (done, swapped) = mpsc::channel();
        self.order(|| Order::Live(Arc::clone(&self.live), done.clone()));
        drop(done);
        let end = Instant::now() + SWAP;
        for _ in &self.workers {
            if swapped.recv_timeout(end.saturating_duration_since(Instant::now())).is_err() {
                log_at!(Level::Error, "a worker did not take the new configuration in time");
                break;
            }
        }
        self.board.set_live(&self.live, &self.vm);
        self.retired.push(old);
    }
}

/// Whether nothing is different that anybody could notice.
pub(super) fn same(old: &Snapshot, new: &Snapshot) -> bool {
    Kind::ALL.into_iter().all(|kind| old.kind_version(kind) == new.kind_version(kind))
        && old.refusals == new.refusals
        && old.plugins == new.plugins
}

/// Tells what is odd about the objects.
pub(super) fn report(applied: &Applied) {
    for warning in &applied.warnings {
        log_at!(Level::Warn, "{warning}");
    }
    for notice in &applied.notices {
        log_at!(Level::Warn, "{} [{}]: {}", notice.kind.plural(), notice.id, notice.text);
    }
    // Of single changes: what was not looked at has been told before.
    let told = |refusal: &&Refusal| {
        let same = |(kind, id): &(Kind, String)| (*kind, id) == (refusal.kind, &refusal.id);
        applied.touched.as_ref().is_some_and(|touched| !touched.iter().any(same))
    };
    for refusal in applied.snapshot.refusals.iter().filter(|refusal| !told(refusal)) {
        // The second half is what APISIX says: people search their logs for it.
        log_at!(
            Level::Error,
            "{kind} [{id}] is refused{kept}: failed to check item data of [{kind}] err:{reason}",
            kind = refusal.kind.plural(),
            id = refusal.id,
            kept = if refusal.kept { " and stays as it was" } else { "" },
            reason = refusal.reason
        );
    }
}
