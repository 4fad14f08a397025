//! The writer with real files: nothing lost, nothing torn, nothing blocked.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    rotate::{RotateOptions, rotated},
    rotate_tests::Dir,
    target::Target,
    writer::{Class, LineBuffer, LogFile, Options, Writer},
};

const SOON: Duration = Duration::from_secs(20);

fn open(writer: &Writer, path: &Path, rotation: RotateOptions) -> LogFile {
    writer.open(&Target::File(path.into()), Class::Access, rotation).unwrap()
}

/// Every line of the log and its rotated files.
fn all_lines(path: &Path) -> Vec<String> {
    let old = rotated(path).unwrap().into_iter().map(|(path, _)| path);
    old.chain([path.to_path_buf()])
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn no_line_is_lost_or_torn_while_files_rotate() {
    let dir = Dir::new();
    let path = dir.path("access.log");
    let writer = Writer::new(Options { queue_bytes_max: 64 << 20, ..Options::default() });
    let rotation = RotateOptions { max_size: 200_000, ..RotateOptions::off() };
    let file = open(&writer, &path, rotation);
    let log = |thread: usize| {
        let mut buffer = LineBuffer::new(file.clone(), 4096);
        for at in 0..5000 {
            let line = format!("{thread} {at} {}", "x".repeat(at % 97));
            match thread {
                3 => assert!(file.write(format!("{line}\n").as_bytes())),
                _ => buffer.line(|out| out.extend_from_slice(line.as_bytes())),
            }
        }
    };
    thread::scope(|scope| {
        (0..4).for_each(|thread| drop(scope.spawn(move || log(thread))));
        for _ in 0..20 {
            file.rotate_now(None).recv_timeout(SOON).unwrap().unwrap();
            writer.reopen_all();
        }
    });
    assert!(writer.flush(SOON));
    let lines = all_lines(&path);
    assert_eq!(lines.len(), 20_000);
    let unique: BTreeSet<_> = lines.iter().collect();
    assert_eq!(unique.len(), 20_000);
    for line in &lines {
        let [_, at, fill] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(fill.len(), at.parse::<usize>().unwrap() % 97);
    }
    let stats = file.stats().unwrap();
    assert_eq!((stats.dropped_lines, stats.queued_bytes, stats.failing), (0, 0, false));
    assert!(rotated(&path).unwrap().iter().all(|(_, bytes)| *bytes <= 200_000));
}

#[test]
fn the_rotated_set_stays_within_its_bytes() {
    let dir = Dir::new();
    let path = dir.path("access.log");
    let writer = Writer::new(Options::default());
    let rotation =
        RotateOptions { max_size: 10_000, max_total_size: 50_000, ..RotateOptions::off() };
    let file = open(&writer, &path, rotation);
    for _ in 0..200 {
        file.write(&b"123456789\n".repeat(100));
        assert!(writer.flush(SOON));
        let old: u64 = rotated(&path).unwrap().iter().map(|(_, bytes)| bytes).sum();
        assert!(old + fs::metadata(&path).unwrap().len() <= 50_000);
    }
    assert_eq!(rotated(&path).unwrap().len(), 4);
    assert_eq!(file.stats().unwrap().rotations, 19);
}

#[test]
fn an_interval_ends_at_its_multiple() {
    static NOW_S: AtomicU64 = AtomicU64::new(7000);
    let dir = Dir::new();
    let path = dir.path("access.log");
    let clock = || Duration::from_secs(NOW_S.load(Ordering::Relaxed));
    let writer = Writer::new(Options { clock, ..Options::default() });
    let file = open(&writer, &path, RotateOptions { interval_s: 3600, ..RotateOptions::off() });
    for (now_s, rotations) in [(7000, 0), (7199, 0), (7200, 1), (7201, 1), (10_799, 1), (18_000, 2)]
    {
        NOW_S.store(now_s, Ordering::Relaxed);
        file.write(format!("{now_s}\n").as_bytes());
        assert!(writer.flush(SOON));
        assert_eq!(file.stats().unwrap().rotations, rotations, "at {now_s}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "18000\n");
    let old = dir.path("1970-01-01_02-00-00__access.log");
    assert_eq!(fs::read_to_string(old).unwrap(), "7000\n7199\n");
    // An empty file is not rotated, and asking for it is no error.
    assert!(file.rotate_now(None).recv_timeout(SOON).unwrap().unwrap().is_some());
    assert_eq!(file.rotate_now(None).recv_timeout(SOON).unwrap(), Ok(None));
}

#[test]
fn a_full_disk_costs_lines_but_nothing_else() {
    let writer = Writer::new(Options::default());
    let file = open(&writer, Path::new("/dev/full"), RotateOptions::default());
    let start = Instant::now();
    for _ in 0..1000 {
        file.write(b"lost\n");
    }
    assert!(start.elapsed() < Duration::from_millis(500), "a producer waited");
    assert!(writer.flush(SOON));
    let stats = file.stats().unwrap();
    assert_eq!((stats.dropped_lines, stats.written_bytes, stats.failing), (1000, 0, true));
    assert!(stats.write_errors >= 1 && stats.rotations == 0);
    assert_eq!(file.rotate_now(None).recv_timeout(SOON).unwrap(), Ok(None));
}

#[test]
fn a_broken_target_is_used_again_once_it_works() {
    static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);
    let clock = || Duration::from_millis(NOW_MS.load(Ordering::Relaxed));
    let dir = Dir::new();
    let path = dir.path("access.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let writer = Writer::new(Options { clock, ..Options::default() });
    let file = open(&writer, &path, RotateOptions::default());
    let write = |line: &str| {
        file.write(line.as_bytes());
        assert!(writer.flush(SOON));
        file.stats().unwrap()
    };
    assert!(write("lost\n").failing);
    fs::remove_file(&path).unwrap();
    assert_eq!(write("lost too\n").dropped_lines, 2);
    NOW_MS.fetch_add(1000, Ordering::Relaxed);
    let stats = write("kept\n");
    assert_eq!((stats.dropped_lines, stats.written_bytes, stats.failing), (2, 5, false));
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
}

#[test]
fn a_stuck_pipe_drops_lines_and_blocks_nobody() {
    let dir = Dir::new();
    let pipe = dir.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = Writer::new(Options { queue_bytes_max: 100_000, ..Options::default() });
    // Nobody reads it yet: that is said at once instead of waiting for a reader.
    let target = Target::File(pipe.clone());
    assert!(writer.open(&target, Class::Access, RotateOptions::default()).is_err());
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let file = open(&writer, &pipe, RotateOptions::default());
    let start = Instant::now();
    let lines = b"0123456789abcde\n".repeat(64);
    let accepted = (0..1000).filter(|_| file.write(&lines)).count();
    assert!(accepted < 1000);
    assert!(start.elapsed() < Duration::from_millis(500), "a producer waited");
    assert!(file.stats().unwrap().dropped_lines > 10_000);
    let mut first = [0; 1600];
    reader.read_exact(&mut first).unwrap();
    assert!(first.chunks(16).all(|line| line == &lines[..16]));
}

#[test]
fn a_file_moved_by_someone_else_is_left_and_made_anew() {
    let dir = Dir::new();
    let path = dir.path("access.log");
    let writer = Writer::new(Options::default());
    let file = open(&writer, &path, RotateOptions::off());
    file.write(b"before\n");
    assert!(writer.flush(SOON));
    fs::rename(&path, dir.path("moved")).unwrap();
    writer.reopen_all();
    file.write(b"after\n");
    assert!(writer.flush(SOON));
    assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
    assert_eq!(fs::read_to_string(dir.path("moved")).unwrap(), "before\n");
}

#[test]
fn a_target_is_open_once_and_closed_with_its_last_handle() {
    let dir = Dir::new();
    let path = dir.path("plugin.log");
    let writer = Writer::new(Options::default());
    let first = open(&writer, &path, RotateOptions::off());
    let second = open(&writer, &path, RotateOptions::off());
    first.write(b"1\n");
    second.write(b"2\n");
    writer.find(&path).unwrap().write(b"3\n");
    drop((first, second));
    assert!(writer.find(&path).is_none() && writer.stats().is_empty());
    assert!(writer.flush(SOON));
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
}

#[test]
fn a_shut_down_writer_has_written_everything_and_counts_the_rest() {
    let dir = Dir::new();
    let path = dir.path("access.log");
    let writer = Writer::new(Options::default());
    let file = open(&writer, &path, RotateOptions::off());
    let mut buffer = LineBuffer::new(file.clone(), LineBuffer::BYTES);
    buffer.line(|out| out.extend_from_slice(b"last"));
    drop(buffer);
    assert!(writer.shutdown(SOON));
    assert_eq!(fs::read_to_string(&path).unwrap(), "last\n");
    assert!(!file.write(b"too late\n"));
    assert_eq!(file.stats().unwrap().dropped_lines, 1);
    assert!(file.rotate_now(None).recv_timeout(SOON).unwrap().is_err());
    assert!(
        writer.open(&Target::File(dir.path("x")), Class::Plugin, RotateOptions::off()).is_err()
    );
}

#[test]
fn a_log_that_is_off_costs_nothing() {
    let writer = Writer::new(Options::default());
    let file = writer.open(&Target::Off, Class::Access, RotateOptions::default()).unwrap();
    let mut buffer = LineBuffer::new(file.clone(), LineBuffer::BYTES);
    buffer.line(|_| panic!("rendered for nothing"));
    assert!(file.is_off() && file.stats().is_none() && file.write(b"x\n"));
}

#[test]
fn rotated_files_are_compressed_beside_the_log() {
    let dir = Dir::new();
    let path = dir.path("access.log");
    let writer = Writer::new(Options::default());
    let file = open(&writer, &path, RotateOptions::off());
    file.write(b"old\n");
    let options = RotateOptions { compress: true, ..RotateOptions::off() };
    let to = file.rotate_now(Some(options)).recv_timeout(SOON).unwrap().unwrap().unwrap();
    let end = Instant::now() + SOON;
    while to.exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    let names = dir.names();
    assert!(names.len() == 2 && names[0].ends_with("__access.log.gz"), "{names:?}");
}

#[test]
fn a_nearly_full_disk_stops_access_lines_and_slows_error_lines() {
    let free = |path: &Path| path.ends_with("scarce").then_some(1000);
    let _ = super::install(super::Platform { local_offset_s: |_| 0, free_bytes: free });
    let dir = Dir::new();
    let writer = Writer::new(Options { min_free: 1001, ..Options::default() });
    let end = Instant::now() + SOON;
    for class in [Class::Access, Class::Error] {
        let target = Target::File(dir.path(&format!("{class:?}")).join("scarce"));
        let file = writer.open(&target, class, RotateOptions::off()).unwrap();
        // The first look at the disk comes after the first batch.
        while file.stats().unwrap().dropped_lines == 0 && Instant::now() < end {
            file.write(&b"0123456789abcde\n".repeat(600));
            assert!(writer.flush(SOON));
        }
        let stats = file.stats().unwrap();
        assert!(stats.dropped_lines > 0 && stats.write_errors == 0, "{stats:?}");
    }
    let plenty = open(&writer, &dir.path("plenty"), RotateOptions::off());
    plenty.write(b"kept\n");
    assert!(writer.flush(SOON));
    assert_eq!(plenty.stats().unwrap().dropped_lines, 0);
}
