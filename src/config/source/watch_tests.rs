//! Tests of [`super`].

use super::*;
use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicU32, Ordering},
};

/// A directory that goes with its owner.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("moongate-{name}-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Probe {
    _watcher: Watcher,
    changes: Receiver<(Changes, Instant)>,
}

impl Probe {
    fn new(watched: Watched) -> Self {
        let (send, changes) = mpsc::channel();
        let report = move |changes| send.send((changes, Instant::now())).unwrap_or(());
        Self { _watcher: Watcher::new(vec![watched], report).unwrap(), changes }
    }

    /// The next change, which must come within `ms`.
    #[track_caller]
    fn expect(&self, ms: u64) -> Changes {
        self.changes.recv_timeout(Duration::from_millis(ms)).expect("no change was reported").0
    }

    #[track_caller]
    fn expect_none(&self, ms: u64) {
        let got = self.changes.recv_timeout(Duration::from_millis(ms));
        assert!(got.is_err(), "{got:?}");
    }
}

const FILE: &str = "apisix.yaml";

#[test]
fn a_write_is_reported_at_once() {
    let dir = TempDir::new("watch");
    let file = dir.path().join(FILE);
    fs::write(&file, "one").unwrap();
    let probe = Probe::new(Watched::files(dir.path(), &[FILE]));
    let mut times = Vec::new();
    for n in 0..10 {
        thread::sleep(Duration::from_millis(30));
        let written = Instant::now();
        // The same size each time: the stamp may be equal if the clock of the disk is coarse.
        fs::write(&file, format!("tw{n}")).unwrap();
        let (changes, at) = probe.changes.recv_timeout(Duration::from_secs(2)).unwrap();
        assert_eq!(changes.changed, std::slice::from_ref(&file));
        times.push(at - written);
    }
    times.sort();
    eprintln!("from write to report: median {:?}, worst {:?}", times[5], times[9]);
    assert!(times[5] < Duration::from_millis(40), "{times:?}");
    fs::write(dir.path().join("other.yaml"), "x").unwrap();
    probe.expect_none(200);
}

#[test]
fn a_relative_directory_is_watched_like_any_other() {
    let dir = TempDir::new("watch");
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let relative = Path::new(&up).join(dir.path().strip_prefix("/").unwrap());
    let probe = Probe::new(Watched::files(relative, &[FILE]));
    fs::write(dir.path().join(FILE), "a").unwrap();
    // Sooner than the scan would find it.
    probe.expect(limits::WATCH_SCAN_SECONDS * 500);
}

#[test]
fn a_rename_and_a_removal_are_reported() {
    let dir = TempDir::new("watch");
    let file = dir.path().join(FILE);
    let probe = Probe::new(Watched::files(dir.path(), &[FILE]));
    fs::write(dir.path().join("new"), "content").unwrap();
    fs::rename(dir.path().join("new"), &file).unwrap();
    assert_eq!(probe.expect(2000).changed, std::slice::from_ref(&file));
    fs::remove_file(&file).unwrap();
    let changes = probe.expect(2000);
    assert_eq!((changes.changed.len(), changes.removed), (0, vec![file]));
}

#[test]
fn the_symlink_swap_of_a_config_map_is_reported() {
    let dir = TempDir::new("watch");
    let at = |name: &str| dir.path().join(name);
    for version in ["..v1", "..v2"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join(FILE), version).unwrap();
    }
    symlink("..v1", at("..data")).unwrap();
    symlink(format!("..data/{FILE}"), at(FILE)).unwrap();
    let probe = Probe::new(Watched::files(dir.path(), &[FILE]));
    thread::sleep(Duration::from_millis(150));
    let swapped = Instant::now();
    symlink("..v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert_eq!(probe.expect(2000).changed, [at(FILE)]);
    assert!(swapped.elapsed() < Duration::from_millis(500), "{:?}", swapped.elapsed());
    assert_eq!(fs::read_to_string(at(FILE)).unwrap(), "..v2");
    probe.expect_none(100);
}

#[test]
fn a_directory_that_comes_back_is_followed_again() {
    let dir = TempDir::new("watch");
    let conf = dir.path().join("conf");
    let file = conf.join(FILE);
    let probe = Probe::new(Watched::files(&conf, &[FILE]));
    for round in 0..2 {
        fs::create_dir(&conf).unwrap();
        fs::write(&file, format!("{round}")).unwrap();
        assert_eq!(probe.expect(4000).changed, std::slice::from_ref(&file), "round {round}");
        // The scan has seen the directory: from here on events work.
        thread::sleep(Duration::from_millis(1200));
        let written = Instant::now();
        fs::write(&file, format!("again {round}")).unwrap();
        assert_eq!(probe.expect(4000).changed, std::slice::from_ref(&file));
        assert!(written.elapsed() < Duration::from_millis(500), "{:?}", written.elapsed());
        fs::remove_dir_all(&conf).unwrap();
        assert_eq!(probe.expect(4000).removed, std::slice::from_ref(&file));
    }
}

#[test]
fn a_file_in_the_making_is_not_reported() {
    use std::io::Write;
    let dir = TempDir::new("watch");
    let file = dir.path().join(FILE);
    let probe = Probe::new(Watched::files(dir.path(), &[FILE]));
    let mut open = fs::File::create(&file).unwrap();
    for _ in 0..30 {
        open.write_all(b"part").unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(probe.changes.try_recv().is_err(), "reported before it was closed");
    drop(open);
    assert_eq!(probe.expect(500).changed, [file]);
}

#[test]
fn a_tree_is_watched_with_its_new_folders() {
    let dir = TempDir::new("watch");
    let quiet = Duration::from_millis(20);
    let probe = Probe::new(Watched::tree(dir.path(), "lua", quiet));
    let sub = dir.path().join("limit");
    fs::create_dir(&sub).unwrap();
    thread::sleep(Duration::from_millis(100));
    let (one, two) = (sub.join("init.lua"), dir.path().join("x.lua"));
    fs::write(&one, "return 1").unwrap();
    fs::write(&two, "return 2").unwrap();
    fs::write(dir.path().join("notes.txt"), "").unwrap();
    fs::write(dir.path().join(".x.lua"), "").unwrap();
    let mut seen = HashSet::new();
    while seen.len() < 2 {
        seen.extend(probe.expect(2000).changed);
    }
    assert_eq!(seen, HashSet::from([one, two]));
    probe.expect_none(300);
}

#[test]
fn without_events_the_scan_finds_the_change() {
    let dir = TempDir::new("watch");
    let file = dir.path().join(FILE);
    fs::write(&file, "one").unwrap();
    let (send, receive) = mpsc::channel();
    let (out, changes) = mpsc::channel();
    let watched = Watched::files(dir.path(), &[FILE]);
    let mut state = State::new(watched);
    state.seen = state.scan();
    let report = move |changes| drop(out.send(changes));
    let watch = Watch { notifier: None, states: vec![state], report: Box::new(report) };
    let thread = thread::spawn(move || watch.run(&receive));
    fs::write(&file, "two, longer").unwrap();
    let changes = changes.recv_timeout(Duration::from_millis(2500)).unwrap();
    assert_eq!(changes.changed, [file]);
    send.send(Signal::Stop).unwrap();
    thread.join().unwrap();
}
