//! [`rotate`](super::rotate) on real files with a given time.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use flate2::read::GzDecoder;

use super::rotate::{RotateOptions, compress, prune, rename, rotated};

/// 2026-01-02 03:04:05 UTC.
const NOW: u64 = 1_767_323_045;

/// A directory that goes with its test.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("moongate-log-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn write(path: &Path, bytes: usize) {
    fs::write(path, vec![b'x'; bytes]).unwrap();
}

#[test]
fn intervals_are_aligned() {
    let options = RotateOptions { interval_s: 3600, ..RotateOptions::off() };
    assert_eq!(options.next_s(0), 3600);
    assert_eq!(options.next_s(3599), 3600);
    assert_eq!(options.next_s(3600), 7200);
    assert_eq!(RotateOptions::off().next_s(NOW), u64::MAX);
}

#[test]
fn one_file_is_never_larger_than_half_of_what_all_may_take() {
    let size = |max_size, max_total_size| {
        RotateOptions { max_size, max_total_size, ..RotateOptions::off() }.file_size_max()
    };
    assert_eq!(size(0, 0), 0);
    assert_eq!(size(10, 0), 10);
    assert_eq!(size(0, 100), 50);
    assert_eq!(size(10, 100), 10);
    assert_eq!(size(80, 100), 50);
}

#[test]
fn a_rotated_file_bears_local_time_and_no_name_is_taken_twice() {
    let dir = Dir::new();
    let log = dir.path("access.log");
    fs::write(dir.path("2026-01-02_11-04-05__access.log.gz"), "").unwrap();
    for expected in ["2026-01-02_11-04-06", "2026-01-02_11-04-07"] {
        write(&log, 1);
        let to = rename(&log, NOW, 8 * 3600).unwrap();
        assert_eq!(to, dir.path(&format!("{expected}__access.log")));
    }
    assert!(!log.exists());
}

#[test]
fn a_new_name_is_the_newest_even_where_older_ones_are_gone() {
    let dir = Dir::new();
    let log = dir.path("a.log");
    let rename_at = |now_s| {
        write(&log, 1);
        let to = rename(&log, now_s, 0).unwrap();
        to.file_name().unwrap().to_str().unwrap()[..19].to_owned()
    };
    write(&dir.path("2026-01-02_03-04-09__a.log"), 1);
    assert_eq!(rename_at(NOW), "2026-01-02_03-04-10");
    assert_eq!(rename_at(NOW), "2026-01-02_03-04-11");
    // A clock that was turned back by a day cannot keep the order, but loses nothing.
    assert_eq!(rename_at(NOW - 86_400), "2026-01-01_03-04-05");
    assert_eq!(rename_at(NOW - 86_400), "2026-01-01_03-04-06");
}

#[test]
fn only_rotated_files_of_this_log_are_seen() {
    let dir = Dir::new();
    let others = [
        "access.log",
        "access.log.1",
        "2026-01-02_03-04-05__error.log",
        "2026-01-02_03-04-05__access.log.bak",
        "2026-01-02_03-04-05_access.log",
        "2026-01-02_03-04-0x__access.log",
        "x2026-01-02_03-04-05__access.log",
        "é026-01-02_03-04-05__access.log",
    ];
    let ours = [
        "2026-01-02_03-04-05__access.log",
        "2026-01-02_03-04-06__access.log.gz",
        "2026-01-02_03-04-07__access.log.tar.gz",
    ];
    others.iter().chain(&ours).for_each(|name| write(&dir.path(name), 3));
    let found = rotated(&dir.path("access.log")).unwrap();
    let expected: Vec<_> = ours.iter().map(|name| (dir.path(name), 3)).collect();
    assert_eq!(found, expected);
    let none = RotateOptions { max_kept: 0, ..RotateOptions::off() };
    assert_eq!(prune(&dir.path("access.log"), 0, &none).unwrap(), 3);
    assert_eq!(dir.names().len(), others.len());
}

#[test]
fn the_oldest_go_until_count_and_bytes_fit() {
    let dir = Dir::new();
    let log = dir.path("a.log");
    let fill = || {
        (0..6).for_each(|day| write(&dir.path(&format!("2026-01-0{day}_00-00-00__a.log")), 10));
    };
    let left = |size, options: &RotateOptions| {
        fill();
        prune(&log, size, options).unwrap();
        dir.names().iter().map(|name| name[9..10].to_owned()).collect::<String>()
    };
    assert_eq!(left(0, &RotateOptions::off()), "012345");
    assert_eq!(left(0, &RotateOptions { max_kept: 2, ..RotateOptions::off() }), "45");
    let total = RotateOptions { max_total_size: 35, ..RotateOptions::off() };
    assert_eq!(left(0, &total), "345");
    assert_eq!(left(10, &total), "45");
    assert_eq!(left(100, &total), "");
}

#[test]
fn a_compressed_file_has_the_same_lines() {
    let dir = Dir::new();
    let path = dir.path("2026-01-02_03-04-05__a.log");
    let lines = "one line\n".repeat(10_000);
    fs::write(&path, &lines).unwrap();
    let done = compress(&path).unwrap();
    assert_eq!(dir.names(), ["2026-01-02_03-04-05__a.log.gz"]);
    let mut back = String::new();
    GzDecoder::new(fs::File::open(done).unwrap()).read_to_string(&mut back).unwrap();
    assert_eq!(back, lines);
    assert!(compress(&path).is_err());
    assert_eq!(dir.names(), ["2026-01-02_03-04-05__a.log.gz"]);
}
