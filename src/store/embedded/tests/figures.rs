//! How fast the store is on the disk below the temporary directory, and how large: figures for
//! people, printed by `t/store/run figures`.

use super::{Asked, Embedded, Options, Store, Temp, deaf, put, wait, write};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Bytes that this process holds in memory.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn route(number: u64) -> String {
    let text =
        format!("{{\"id\":\"{number}\",\"uri\":\"/service-{number}/*\",\"upstream_id\":\"1\"");
    let rest = 400 - text.len() - "\"desc\":\"\",}".len();
    format!("{text},\"desc\":\"{}\"}}", "d".repeat(rest))
}

fn writers(store: &Embedded, count: u64, time: Duration) {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let writers: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    let mut took = Vec::new();
                    while start.elapsed() < time {
                        let number = next.fetch_add(1, Ordering::Relaxed) % 10_000;
                        let ops = vec![put(&format!("routes/{number}"), &route(number))];
                        let asked = Instant::now();
                        wait(store.write(write(ops))).unwrap();
                        took.push(asked.elapsed());
                    }
                    took
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let (all, time) = (took.len(), start.elapsed().as_secs_f64());
    took.sort_unstable();
    let at = |part: usize| took[(all - 1) * part / 1000].as_secs_f64() * 1e3;
    eprintln!(
        "{count:3} writers: {:7.0} writes/s, ms p50 {:.2} p99 {:.2} p99.9 {:.2} most {:.2}",
        all as f64 / time,
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}

#[test]
#[ignore = "figures for people"]
fn figures() {
    let temp = Temp::new("figures");
    let store = Embedded::open(temp.dir(), Options::default(), deaf()).unwrap();
    for count in [1, 8, 64] {
        writers(&store, count, Duration::from_secs(5));
    }
    drop(store);
    fs::remove_dir_all(temp.dir()).unwrap();
    let before = resident();
    let store = Embedded::open(temp.dir(), Options::default(), deaf()).unwrap();
    let size = |what: &str| {
        let file = fs::metadata(temp.file()).unwrap();
        let memory = resident().saturating_sub(before) >> 20;
        let (length, disk) = (file.len() >> 20, (file.blocks() * 512) >> 20);
        eprintln!("{what}: file {length} MB, {disk} MB on the disk; memory {memory} MB more");
    };
    size("empty");
    let start = Instant::now();
    let mut asked = std::collections::VecDeque::new();
    for number in 0..100_000 {
        if asked.len() == 256 {
            let first: Asked<'_, _> = asked.pop_front().unwrap();
            first.wait().unwrap();
        }
        let ops = vec![put(&format!("routes/{number}"), &route(number))];
        asked.push_back(Asked::new(store.write(write(ops))));
    }
    asked.into_iter().for_each(|one| drop(one.wait().unwrap()));
    eprintln!("100,000 routes of 400 bytes, 256 at once: {:.1} s", start.elapsed().as_secs_f64());
    size("100,000 routes");
    writers(&store, 1, Duration::from_secs(3));
    writers(&store, 8, Duration::from_secs(3));
    let start = Instant::now();
    drop(store);
    eprintln!("closed in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let store = Embedded::open(temp.dir(), Options::default(), deaf()).unwrap();
    eprintln!("opened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    size("opened");
    let start = Instant::now();
    let count = wait(store.list("")).unwrap().entries.len();
    eprintln!("{count} listed in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    // As a process leaves it that is killed: the copy is not closed.
    let copy = Temp::new("figures-copy");
    fs::create_dir(copy.dir()).unwrap();
    wait(store.write(write(vec![put("a", "1")]))).unwrap();
    fs::copy(temp.file(), copy.file()).unwrap();
    let start = Instant::now();
    let copied = Embedded::open(copy.dir(), Options::default(), deaf()).unwrap();
    eprintln!("opened after a crash in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(copied);
    let ops = (0..100_000).map(|number| put(&format!("routes/{number}"), &route(number + 1)));
    let start = Instant::now();
    wait(store.write(write(ops.collect()))).unwrap();
    eprintln!("all routes in one write: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    size("with 40 MB of history");
    let start = Instant::now();
    let revision = wait(store.list("meta")).unwrap().revision;
    wait(store.rollback(revision - 1, "figures")).unwrap();
    eprintln!("rolled back in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    size("after that");
    drop(store);
    size("closed");
}
