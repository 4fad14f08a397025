//! Tells when files in directories changed.
//!
//! Events say *when* to look, a comparison of size, time and inode says *what* changed: so
//! a symlink swap, a directory that is deleted and made again, a mount without events and
//! a lost event all come out right, the last two within one scan
//! ([`limits::WATCH_SCAN_SECONDS`]). A file that is still being written is not reported
//! before it is closed, or has been quiet for a moment where no event tells.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};

use crate::{clock, limits};

/// How old a file must be to be believed complete when no event said so.
const SETTLED: Duration = Duration::from_millis(100);

/// Levels of folders below a watched tree.
const TREE_LEVELS_MAX: usize = 8;

/// Which files of a directory matter.
#[derive(Debug, Clone)]
pub enum Interest {
    /// These names, in the directory itself.
    Files(Vec<String>),
    /// All files with this extension, in the directory and below.
    Tree(String),
}

/// A directory to watch. It need not exist yet.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The directory.
    pub dir: PathBuf,
    /// Which of its files.
    pub interest: Interest,
    /// How long it must be quiet before a change is reported.
    pub quiet: Duration,
}

impl Watched {
    /// Watches some files of a directory, with the shortest pause that still joins the
    /// events of one save.
    #[must_use]
    pub fn files(dir: impl Into<PathBuf>, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let quiet = Duration::from_millis(limits::WATCH_QUIET_MS);
        Self { dir: dir.into(), interest: Interest::Files(names), quiet }
    }

    /// Watches all files with an extension in a directory and below.
    #[must_use]
    pub fn tree(dir: impl Into<PathBuf>, extension: &str, quiet: Duration) -> Self {
        Self { dir: dir.into(), interest: Interest::Tree(extension.to_owned()), quiet }
    }
}

/// What changed in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The directory, as an absolute path.
    pub dir: PathBuf,
    /// Files that are new or have new content, sorted.
    pub changed: Vec<PathBuf>,
    /// Files that are gone, sorted.
    pub removed: Vec<PathBuf>,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Sender<Signal>,
}

#[derive(Debug)]
enum Signal {
    Event { path: PathBuf, definite: bool },
    Stop,
}

impl Watcher {
    /// Watches `dirs` on a thread of its own and calls `report` there. What is compared
    /// with is the state at this call: read the files after it, so that no change between
    /// is missed.
    ///
    /// # Errors
    ///
    /// The thread cannot be started. Missing directories and a kernel without events are no
    /// errors: the scan sees to both.
    pub fn new(
        dirs: Vec<Watched>,
        report: impl FnMut(Changes) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (send, receive) = mpsc::channel();
        let events = send.clone();
        let notifier = notify::recommended_watcher(move |event| forward(event, &events)).ok();
        let mut watch = Watch {
            notifier,
            states: dirs.into_iter().map(absolute).map(State::new).collect(),
            report: Box::new(report),
        };
        for at in 0..watch.states.len() {
            watch.follow(at);
            watch.states[at].seen = watch.states[at].scan();
        }
        thread::Builder::new().name("watch".into()).spawn(move || watch.run(&receive))?;
        Ok(Self { stop: send })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The thread may be inside `report`, which may be waiting for us: it is not joined.
        let _ = self.stop.send(Signal::Stop);
    }
}

/// Events name their files absolutely, and are told apart by their directory.
fn absolute(watched: Watched) -> Watched {
    // Only without a working directory there is no absolute path; then the scan sees to it.
    let dir = std::path::absolute(&watched.dir).unwrap_or_else(|_| watched.dir.clone());
    Watched { dir, ..watched }
}

/// Passes on what may mean a change; reading the files makes events too.
fn forward(event: notify::Result<notify::Event>, to: &Sender<Signal>) {
    let Ok(event) = event else { return };
    let definite = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Remove(_) => true,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => false,
        _ => return,
    };
    for path in event.paths {
        // Without a receiver the watcher is gone, and so is the interest.
        let _ = to.send(Signal::Event { path, definite });
    }
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified_ns: i128,
    inode: u64,
}

/// A directory in which something may have changed.
#[derive(Debug, Default)]
struct Dirty {
    since: Option<Instant>,
    due: Option<Instant>,
    /// Something was closed, moved or removed: what differs now is complete.
    definite: bool,
    /// Files that were written to even if their stamps are equal.
    written: HashSet<PathBuf>,
}

#[derive(Debug)]
struct State {
    watched: Watched,
    /// The directory that the notifier follows.
    followed: Option<Identity>,
    seen: HashMap<PathBuf, Stamp>,
    dirty: Dirty,
}

/// Device, inode and time of birth: an inode alone is soon used again.
type Identity = (u64, u64, Option<SystemTime>);

struct Watch {
    notifier: Option<RecommendedWatcher>,
    states: Vec<State>,
    report: Box<dyn FnMut(Changes) + Send>,
}

impl Watch {
    fn run(mut self, signals: &Receiver<Signal>) {
        let every = Duration::from_secs(limits::WATCH_SCAN_SECONDS);
        let mut next_scan = clock::now() + every;
        loop {
            let due = self.states.iter().filter_map(|state| state.dirty.due).min();
            let until = due.map_or(next_scan, |due| due.min(next_scan));
            let wait = until.saturating_duration_since(clock::now());
            match signals.recv_timeout(wait) {
                Ok(Signal::Event { path, definite }) => self.mark(&path, definite),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = clock::now();
            let scan = now >= next_scan;
            if scan {
                next_scan = now + every;
            }
            for at in 0..self.states.len() {
                if scan {
                    self.follow(at);
                }
                if scan || self.states[at].dirty.due.is_some_and(|due| due <= now) {
                    self.look(at);
                }
            }
        }
    }

    fn mark(&mut self, path: &Path, definite: bool) {
        let now = clock::now();
        for state in &mut self.states {
            if !path.starts_with(&state.watched.dir) {
                continue;
            }
            if definite && path == state.watched.dir {
                // Removed or moved: the kernel follows what is no longer here.
                state.followed = None;
            }
            let since = *state.dirty.since.get_or_insert(now);
            let latest = since + Duration::from_millis(limits::WATCH_QUIET_MS_MAX);
            state.dirty.due = Some((now + state.watched.quiet).min(latest));
            state.dirty.definite |= definite;
            if definite && state.matters(path) {
                state.dirty.written.insert(path.to_owned());
            }
        }
    }

    /// Follows the directory that stands at the path now, which may be another than before.
    fn follow(&mut self, at: usize) {
        let (Some(notifier), state) = (&mut self.notifier, &mut self.states[at]) else { return };
        let here = fs::metadata(&state.watched.dir).ok().filter(fs::Metadata::is_dir);
        let here = here.map(|meta| (meta.dev(), meta.ino(), meta.created().ok()));
        if here == state.followed {
            return;
        }
        if state.followed.take().is_some() {
            // Fails if the kernel dropped the watch together with the directory.
            let _ = notifier.unwatch(&state.watched.dir);
        }
        let mode = match state.watched.interest {
            Interest::Files(_) => RecursiveMode::NonRecursive,
            Interest::Tree(_) => RecursiveMode::Recursive,
        };
        if here.is_some() && notifier.watch(&state.watched.dir, mode).is_ok() {
            state.followed = here;
        }
    }

    fn look(&mut self, at: usize) {
        let state = &mut self.states[at];
        let dirty = std::mem::take(&mut state.dirty);
        let mut now_there = state.scan();
        let wall = i128::try_from(clock::wall().as_nanos()).unwrap_or(i128::MAX);
        let (mut changed, mut unsettled) = (Vec::new(), Vec::new());
        for (path, stamp) in &now_there {
            let written = dirty.written.contains(path);
            if state.seen.get(path) == Some(stamp) && !written {
                continue;
            }
            let age = wall - stamp.modified_ns;
            let young = (0..SETTLED.as_nanos().cast_signed()).contains(&age);
            if young && !dirty.definite && !written {
                unsettled.push(path.clone());
            } else {
                changed.push(path.clone());
            }
        }
        // What is not settled is looked at again as if it had not been seen yet.
        for path in &unsettled {
            match state.seen.get(path) {
                Some(old) => drop(now_there.insert(path.clone(), *old)),
                None => drop(now_there.remove(path)),
            }
        }
        if !unsettled.is_empty() {
            let now = clock::now();
            state.dirty.since = Some(now);
            state.dirty.due = Some(now + SETTLED);
        }
        let still = |path: &PathBuf| now_there.contains_key(path) || unsettled.contains(path);
        let mut removed: Vec<_> = state.seen.keys().filter(|p| !still(p)).cloned().collect();
        state.seen = now_there;
        if changed.is_empty() && removed.is_empty() {
            return;
        }
        changed.sort();
        removed.sort();
        (self.report)(Changes { dir: state.watched.dir.clone(), changed, removed });
    }
}

impl State {
    fn new(watched: Watched) -> Self {
        Self { watched, followed: None, seen: HashMap::new(), dirty: Dirty::default() }
    }

    fn matters(&self, path: &Path) -> bool {
        match &self.watched.interest {
            Interest::Files(names) => {
                path.parent() == Some(&self.watched.dir)
                    && names.iter().any(|name| path.file_name().is_some_and(|n| n == name.as_str()))
            }
            Interest::Tree(extension) => {
                let hidden =
                    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
                !hidden && path.extension().is_some_and(|e| e == extension.as_str())
            }
        }
    }

    fn scan(&self) -> HashMap<PathBuf, Stamp> {
        let mut found = HashMap::new();
        match &self.watched.interest {
            Interest::Files(names) => {
                for name in names {
                    let path = self.watched.dir.join(name);
                    if let Some(stamp) = stamp(&path) {
                        found.insert(path, stamp);
                    }
                }
            }
            Interest::Tree(_) => self.scan_tree(&self.watched.dir, 0, &mut found),
        }
        found
    }

    fn scan_tree(&self, dir: &Path, level: usize, found: &mut HashMap<PathBuf, Stamp>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            if found.len() >= limits::WATCH_FILES_MAX {
                return;
            }
            let path = entry.path();
            if self.matters(&path) {
                if let Some(stamp) = stamp(&path) {
                    found.insert(path, stamp);
                }
            } else if level < TREE_LEVELS_MAX
                && !entry.file_name().as_encoded_bytes().starts_with(b".")
                && fs::metadata(&path).is_ok_and(|meta| meta.is_dir())
            {
                self.scan_tree(&path, level + 1, found);
            }
        }
    }
}

/// The stamp of the file behind a path, links followed.
fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Some(Stamp { size: meta.len(), modified_ns, inode: meta.ino() })
}

#[cfg(test)]
#[path = "watch_tests.rs"]
pub(crate) mod tests;
