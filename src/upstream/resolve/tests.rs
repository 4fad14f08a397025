//! Tests of [`super`].

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;

/// What the name server says to one question.
#[derive(Clone)]
enum Say {
    Addrs(Vec<IpAddr>, u32),
    /// An alias (to the root, where nothing is) followed by an address, each with its TTL.
    Alias(u32, IpAddr, u32),
    NoSuchName,
    Failure,
    Nothing,
}

/// A name server on loopback that says what a test tells it to.
struct Server {
    addr: SocketAddr,
    script: Arc<Mutex<HashMap<(String, u16), Say>>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let script: Arc<Mutex<HashMap<(String, u16), Say>>> = Arc::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let server = Self { addr, script: Arc::clone(&script), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                let (name, kind, end) = question(&packet[..len]);
                asked.fetch_add(1, Ordering::SeqCst);
                let say = script.lock().unwrap().get(&(name, kind)).cloned();
                if let Some(answer) = answer(&packet[..end], kind, say.unwrap_or(Say::NoSuchName)) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        server
    }

    fn says(&self, name: &str, kind: u16, say: Say) {
        self.script.lock().unwrap().insert((name.to_owned(), kind), say);
    }

    fn has(&self, name: &str, addrs: &[IpAddr], ttl: u32) {
        self.says(name, A, Say::Addrs(addrs.to_vec(), ttl));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn names(&self, change: impl FnOnce(&mut Options)) -> Arc<Names> {
        let mut options = Options {
            servers: vec![self.addr],
            timeout: Duration::from_millis(400),
            search: false,
            ..Options::default()
        };
        change(&mut options);
        Names::new(options)
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(self.names(|_| ()), 0)
    }
}

/// Name, type, and where the question ends.
fn question(packet: &[u8]) -> (String, u16, usize) {
    let mut at = 12;
    let mut labels = Vec::new();
    while packet[at] != 0 {
        let end = at + 1 + packet[at] as usize;
        labels.push(String::from_utf8(packet[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (labels.join(".").to_ascii_lowercase(), kind, at + 5)
}

fn answer(asked: &[u8], kind: u16, say: Say) -> Option<Vec<u8>> {
    let (code, records) = match say {
        Say::Nothing => return None,
        Say::NoSuchName => (3, Vec::new()),
        Say::Failure => (2, Vec::new()),
        Say::Addrs(addrs, ttl) => {
            (0, addrs.iter().map(|&addr| record(kind, ttl, &octets(addr))).collect())
        }
        Say::Alias(alias_ttl, addr, ttl) => {
            let mut target = record(kind, ttl, &octets(addr));
            // The record is the root's: its name is one zero byte instead of a pointer.
            target.splice(..2, [0]);
            (0, vec![record(CNAME, alias_ttl, &[0]), target])
        }
    };
    let mut packet = asked.to_vec();
    packet[2] |= 0x80;
    packet[3] = 0x80 | code;
    packet[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    packet[8..12].fill(0);
    packet.extend(records.into_iter().flatten());
    Some(packet)
}

fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

#[track_caller]
fn check_unknown<T: std::fmt::Debug>(result: Result<T>, host: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), &Kind::Resolve { host: host.to_owned() });
    assert!(!std::error::Error::source(&error).unwrap().to_string().is_empty());
}

fn after(seconds: u64) -> Instant {
    clock::now() + Duration::from_secs(seconds)
}

#[tokio::test]
async fn literals_and_names_of_the_hosts_file_ask_nobody() {
    let server = Server::start().await;
    let hosts = hosts::parse("10.0.0.9 db\n::1 six\n10.0.0.1 both\n::1 both");
    let resolver = Resolver::new(server.names(|options| options.hosts = hosts.clone()), 0);
    let known = |host: &str| resolver.cached(host, after(1_000_000)).unwrap().unwrap();
    assert_eq!(known("10.1.2.3"), Ipv4Addr::new(10, 1, 2, 3));
    assert_eq!(known("::1"), Ipv6Addr::LOCALHOST);
    assert_eq!(known("[fd00::7]"), v6(7));
    assert_eq!(known("localhost"), Ipv4Addr::LOCALHOST);
    assert_eq!(known("DB"), v4(9));
    assert_eq!(known("six"), Ipv6Addr::LOCALHOST);
    assert_eq!((known("both"), known("both")), (v4(1), v4(1)));
    assert_eq!(resolver.resolve_all("db").await.unwrap(), [v4(9)]);
    assert_eq!(resolver.resolve_all("::1").await.unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
    let names = server.names(|options| (options.ipv6, options.hosts) = (false, hosts));
    assert!(Resolver::new(names, 0).cached("six", clock::now()).is_none());
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_its_addresses_take_turns() {
    let server = Server::start().await;
    server.has("node.test", &[v4(2), v4(1), v4(3)], 60);
    let resolver = server.resolver();
    assert!(resolver.cached("node.test", clock::now()).is_none());
    assert_eq!(resolver.resolve("Node.Test").await.unwrap(), v4(2));
    let turns: Vec<IpAddr> =
        (0..4).map(|_| resolver.cached("node.test", clock::now()).unwrap().unwrap()).collect();
    assert_eq!(turns, [v4(1), v4(3), v4(2), v4(1)]);
    assert_eq!(resolver.resolve_all("node.test").await.unwrap(), [v4(1), v4(2), v4(3)]);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn ipv6_is_used_where_there_is_no_ipv4() {
    let server = Server::start().await;
    server.says("six.test", A, Say::Addrs(Vec::new(), 0));
    server.says("six.test", AAAA, Say::Addrs(vec![v6(1)], 60));
    server.has("both.test", &[v4(1)], 60);
    server.says("both.test", AAAA, Say::Addrs(vec![v6(2)], 60));
    let resolver = server.resolver();
    assert_eq!(resolver.resolve("six.test").await.unwrap(), v6(1));
    assert_eq!(resolver.resolve_all("both.test").await.unwrap(), [v4(1)]);
    let without = Resolver::new(server.names(|options| options.ipv6 = false), 0);
    check_unknown(without.resolve("six.test").await, "six.test");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_asked_for_again_at_once() {
    let server = Server::start().await;
    let resolver = server.resolver();
    check_unknown(resolver.resolve("gone.test").await, "gone.test");
    let asked = server.asked();
    check_unknown(resolver.resolve("gone.test").await, "gone.test");
    check_unknown(resolver.cached("gone.test", clock::now()).unwrap(), "gone.test");
    check_unknown(resolver.resolve_all("gone.test").await, "gone.test");
    assert_eq!(server.asked(), asked);
    assert!(resolver.cached("gone.test", after(2)).is_none());
    server.has("gone.test", &[v4(1)], 60);
    sleep(Duration::from_millis(1050)).await;
    assert_eq!(resolver.resolve("gone.test").await.unwrap(), v4(1));
}

#[tokio::test]
async fn what_is_no_name_is_refused_without_asking() {
    let server = Server::start().await;
    let resolver = server.resolver();
    for name in ["", &"a".repeat(254), "a..b", &format!("{}.test", "l".repeat(64))] {
        assert!(resolver.resolve(name).await.is_err(), "{name}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_timeout() {
    let server = Server::start().await;
    server.says("slow.test", A, Say::Nothing);
    let resolver = server.resolver();
    let started = clock::now();
    check_unknown(resolver.resolve("slow.test").await, "slow.test");
    let took = started.elapsed();
    assert!((350..1500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn many_askers_make_one_question_even_if_the_first_goes_away() {
    let server = Server::start().await;
    server.says("slow.test", A, Say::Nothing);
    let resolver = server.resolver();
    assert!(timeout(Duration::from_millis(20), resolver.resolve("slow.test")).await.is_err());
    server.has("slow.test", &[v4(1)], 60);
    // The question under way was not answered; hickory repeats it within our timeout.
    let ask = || resolver.resolve("slow.test");
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    for addr in [a, b, c, d] {
        assert_eq!(addr.unwrap(), v4(1));
    }
    assert!(server.asked() <= 2, "{}", server.asked());
}

#[tokio::test]
async fn a_ttl_is_kept_within_bounds() {
    let server = Server::start().await;
    server.has("zero.test", &[v4(1)], 0);
    server.has("day.test", &[v4(1)], 86_400);
    server.says("alias.test", A, Say::Alias(20, v4(1), 200));
    let (resolver, names) = (server.resolver(), server.names(|_| ()));
    // A stale answer starts a question: how many there were tells whether it was fresh.
    let fresh_at = async |host: &str, now: Instant| {
        resolver.resolve(host).await.unwrap();
        let asked = server.asked();
        resolver.cached(host, now).unwrap().unwrap();
        sleep(Duration::from_millis(30)).await;
        server.asked() == asked
    };
    assert!(fresh_at("zero.test", clock::now()).await);
    assert!(!fresh_at("zero.test", after(2)).await);
    assert!(fresh_at("day.test", after(299)).await);
    assert!(!fresh_at("day.test", after(301)).await);
    assert!(fresh_at("alias.test", after(19)).await);
    assert!(!fresh_at("alias.test", after(21)).await);
    drop(names);

    let set = server.names(|options| options.valid = Some(Duration::from_secs(1000)));
    let resolver = Resolver::new(set, 0);
    resolver.resolve("zero.test").await.unwrap();
    let asked = server.asked();
    resolver.cached("zero.test", after(999)).unwrap().unwrap();
    sleep(Duration::from_millis(30)).await;
    assert_eq!(server.asked(), asked);
}

#[tokio::test]
async fn an_old_answer_serves_while_a_new_one_is_fetched() {
    let server = Server::start().await;
    server.has("move.test", &[v4(1)], 1);
    let resolver = server.resolver();
    resolver.resolve("move.test").await.unwrap();
    server.has("move.test", &[v4(2)], 1);
    assert_eq!(resolver.cached("move.test", after(2)).unwrap().unwrap(), v4(1));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(resolver.cached("move.test", clock::now()).unwrap().unwrap(), v4(2));
    assert_eq!(server.asked(), 2);
    // Nobody wanted it for a long time: too old to be used without asking.
    assert!(resolver.cached("move.test", after(40)).is_none());
}

#[tokio::test]
async fn an_old_answer_outlives_servers_that_fail_but_not_one_that_denies() {
    let server = Server::start().await;
    server.has("node.test", &[v4(1)], 1);
    let resolver = server.resolver();
    for say in [Say::Failure, Say::Nothing] {
        assert_eq!(resolver.resolve("node.test").await.unwrap(), v4(1));
        server.says("node.test", A, say);
        assert_eq!(resolver.cached("node.test", after(2)).unwrap().unwrap(), v4(1));
        sleep(Duration::from_millis(600)).await;
        // The failed refresh has put off the next one.
        let asked = server.asked();
        assert_eq!(resolver.cached("node.test", clock::now()).unwrap().unwrap(), v4(1));
        assert_eq!(server.asked(), asked);
    }
    server.says("node.test", A, Say::NoSuchName);
    let _ = resolver.cached("node.test", after(2));
    sleep(Duration::from_millis(100)).await;
    check_unknown(resolver.resolve("node.test").await, "node.test");
}

#[tokio::test]
async fn workers_share_what_they_know() {
    let server = Server::start().await;
    server.has("node.test", &[v4(1), v4(2)], 60);
    let names = server.names(|_| ());
    let workers: Vec<_> = (0..4)
        .map(|seed| {
            let names = Arc::clone(&names);
            thread::spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                let resolver = Resolver::new(names, seed);
                runtime.block_on(resolver.resolve("node.test")).unwrap()
            })
        })
        .collect();
    let joined = tokio::task::spawn_blocking(|| {
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut addrs = joined.await.unwrap();
    addrs.sort_unstable();
    assert_eq!(addrs, [v4(1), v4(1), v4(2), v4(2)]);
    // A worker that ends with its question open leaves it to another one.
    assert!(server.asked() <= 4, "{}", server.asked());
    assert!(Resolver::new(names, 0).cached("node.test", clock::now()).is_some());
}

#[tokio::test]
async fn a_question_of_a_worker_that_ended_is_asked_by_another() {
    let server = Server::start().await;
    server.says("node.test", A, Say::Nothing);
    let names = server.names(|_| ());
    let theirs = Arc::clone(&names);
    let worker = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let resolver = Resolver::new(theirs, 0);
        let wait = Duration::from_millis(50);
        runtime.block_on(async { timeout(wait, resolver.resolve("node.test")).await.is_err() })
    });
    let ours = Resolver::new(names, 0);
    while server.asked() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    server.has("node.test", &[v4(1)], 60);
    let addr = timeout(Duration::from_secs(2), ours.resolve("node.test")).await.unwrap();
    assert_eq!(addr.unwrap(), v4(1));
    assert!(worker.join().unwrap(), "the worker's own question was answered");
}

#[test]
fn the_table_of_names_is_bounded_and_keeps_the_hosts_file() {
    let table = Table::new(hosts::parse("10.0.0.9 db"), true);
    let now = clock::now();
    for at in 0..10_000 {
        table.entry(&format!("n{at}.test"), now);
    }
    assert!(table.len() <= 4096);
    assert!(table.with("db", |_| ()).is_some() && table.with("localhost", |_| ()).is_some());
    assert!(table.with("n9999.test", |_| ()).is_some());
}
