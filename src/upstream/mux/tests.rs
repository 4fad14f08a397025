//! Against servers on the loopback interface that do what a line says, in the protocol of
//! [`crate::codec::testing`].

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    rc::Rc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, LocalSet, spawn_local},
    time::sleep,
};

use super::{Failed, Limits, Mux, Ticket};
use crate::{
    clock,
    codec::testing::{TextCall, TextFraming, frame},
    error::Kind,
    upstream::{Node, pool::KeepAlive},
};

fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A server, and what came to it.
struct Server {
    node: Node,
    seen: Rc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: Cell<usize>,
    open: Cell<usize>,
    calls: RefCell<Vec<(u32, String)>>,
    /// Reads of a connection that brought something.
    reads: Cell<usize>,
}

impl Seen {
    fn texts(&self) -> Vec<String> {
        self.calls.borrow().iter().map(|(_, text)| text.clone()).collect()
    }
}

/// What a server does with the frames it read together: the bytes to answer, or nothing to
/// close the connection.
type Script = Rc<dyn Fn(&Seen, &[(u32, String)]) -> Option<Vec<u8>>>;

fn node_of(addr: std::net::SocketAddr) -> Node {
    Node {
        addr,
        addr_text: addr.to_string().into(),
        tls: None,
        host: None,
        keep: KeepAlive::default(),
        connect_timeout: ms(2000),
        send_timeout: ms(2000),
        read_timeout: ms(2000),
    }
}

async fn server(script: impl Fn(&Seen, &[(u32, String)]) -> Option<Vec<u8>> + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = node_of(listener.local_addr().unwrap());
    let (seen, script): (Rc<Seen>, Script) = (Rc::default(), Rc::new(script));
    let shared = Rc::clone(&seen);
    let task = spawn_local(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            shared.connections.update(|count| count + 1);
            connections.spawn_local(serve(stream, Rc::clone(&shared), Rc::clone(&script)));
        }
    });
    Server { node, seen, task }
}

async fn serve(mut stream: TcpStream, seen: Rc<Seen>, script: Script) {
    seen.open.update(|count| count + 1);
    let mut buf = BytesMut::with_capacity(64 << 10);
    while let Ok(1..) = stream.read_buf(&mut buf).await {
        seen.reads.update(|count| count + 1);
        let mut calls = Vec::new();
        while buf.len() >= 8 {
            let length = u32::from_be_bytes(buf[..4].try_into().unwrap()) as usize;
            if buf.len() < length {
                break;
            }
            let whole = buf.split_to(length);
            let id = u32::from_be_bytes(whole[4..8].try_into().unwrap());
            calls.push((id, String::from_utf8(whole[8..].to_vec()).unwrap()));
        }
        seen.calls.borrow_mut().extend(calls.iter().cloned());
        match script(&seen, &calls) {
            Some(answer) if stream.write_all(&answer).await.is_ok() => {}
            _ => break,
        }
    }
    seen.open.update(|count| count - 1);
}

/// Says back what it was told, in upper case.
fn echo(_: &Seen, calls: &[(u32, String)]) -> Option<Vec<u8>> {
    Some(calls.iter().flat_map(|(id, text)| frame(*id, text.to_uppercase().as_bytes())).collect())
}

fn silent(_: &Seen, _: &[(u32, String)]) -> Option<Vec<u8>> {
    Some(Vec::new())
}

fn begin(mux: &Mux, node: &Node, text: &str) -> Ticket {
    try_begin(mux, node, text).unwrap()
}

fn try_begin(mux: &Mux, node: &Node, text: &str) -> Result<Ticket, Failed> {
    mux.begin(node, &TextFraming, &TextCall(text.as_bytes().to_vec()), clock::now())
}

async fn wait(mut ticket: Ticket) -> Result<Option<Bytes>, Failed> {
    let polled = tokio::time::timeout(ms(30_000), poll_fn(|cx| ticket.poll(cx)));
    polled.await.expect("the call ends")
}

async fn answer(ticket: Ticket) -> String {
    let frame = wait(ticket).await.unwrap().unwrap();
    String::from_utf8(frame[8..].to_vec()).unwrap()
}

async fn ask(mux: &Mux, node: &Node, text: &str) -> String {
    answer(begin(mux, node, text)).await
}

async fn failure(ticket: Ticket) -> (Kind, bool) {
    let failed = wait(ticket).await.unwrap_err();
    (failed.error.kind().clone(), failed.sent)
}

/// Waits until `true`.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is() {
            return;
        }
        sleep(ms(10)).await;
    }
    panic!("never {what}");
}

fn closed(node: &Node) -> Kind {
    Kind::UpstreamClosed { node: node.addr.to_string(), reused: false }
}

fn few() -> Limits {
    Limits { busy: usize::MAX, ..Limits::default() }
}

#[test]
fn answers_come_in_any_order_split_anywhere_and_many_at_once() {
    local(async {
        // Answers in the reverse order, all together; and then the same byte by byte.
        let together = server(|_, calls| {
            Some(calls.iter().rev().flat_map(|(id, text)| frame(*id, text.as_bytes())).collect())
        });
        let together = together.await;
        let mux = Mux::new(few());
        let tickets: Vec<_> =
            (0..50).map(|n| begin(&mux, &together.node, &format!("call {n}"))).collect();
        for (n, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(answer(ticket).await, format!("call {n}"));
        }
        assert_eq!(together.seen.connections.get(), 1);
        // What gathered before the connection was made left in few pieces.
        assert!(together.seen.reads.get() <= 3, "{}", together.seen.reads.get());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = node_of(listener.local_addr().unwrap());
        let ticket = begin(&mux, &node, "split");
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut sent = [0; 13];
        stream.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent.to_vec(), frame(1, b"split"));
        let two = [frame(0, b"a push"), frame(1, b"in pieces")].concat();
        for byte in two {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(answer(ticket).await, "in pieces");
    });
}

#[test]
fn answers_of_any_length_come_whole() {
    local(async {
        let server = server(echo).await;
        let mux = Mux::new(few());
        let lengths = [0, 1, 8183, 8184, 8185, 70_000, 3 << 20];
        let tickets: Vec<_> = lengths
            .iter()
            .map(|length| (length, begin(&mux, &server.node, &"x".repeat(*length))))
            .collect();
        for (length, ticket) in tickets {
            assert!(answer(ticket).await == "X".repeat(*length), "of {length}");
        }
    });
}

#[test]
fn ten_thousand_calls_at_once_go_over_four_connections() {
    local(async {
        let server = server(echo).await;
        let mux = Mux::new(Limits::default());
        let done = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..10_000)
            .map(|n| {
                let (mux, node, done) = (mux.clone(), server.node.clone(), Rc::clone(&done));
                spawn_local(async move {
                    let text = format!("number {n}");
                    assert_eq!(ask(&mux, &node, &text).await, text.to_uppercase());
                    done.set(done.get() + 1);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(done.get(), 10_000);
        assert_eq!((server.seen.connections.get(), mux.len()), (4, 4));
        assert_eq!(server.seen.calls.borrow().len(), 10_000);
    });
}

#[test]
fn another_connection_is_opened_only_when_those_there_are_busy() {
    local(async {
        let server = server(|seen, calls| {
            // The fifth call sets free those before it.
            if seen.calls.borrow().len() < 5 { Some(Vec::new()) } else { echo(seen, calls) }
        });
        let server = server.await;
        let mux = Mux::new(Limits { busy: 2, lines_max: 2, ..Limits::default() });
        let first = begin(&mux, &server.node, "a");
        until("connected", || server.seen.connections.get() == 1).await;
        let second = begin(&mux, &server.node, "b");
        sleep(ms(20)).await;
        assert_eq!(mux.len(), 1, "one call keeps no connection busy");
        let third = begin(&mux, &server.node, "c");
        assert_eq!(mux.len(), 2);
        until("connected", || server.seen.connections.get() == 2).await;
        let fourth = begin(&mux, &server.node, "d");
        until("told", || server.seen.calls.borrow().len() == 4).await;
        let fifth = begin(&mux, &server.node, "e");
        assert_eq!(answer(fifth).await, "E");
        assert_eq!((mux.len(), server.seen.connections.get()), (2, 2));
        let ids: Vec<u32> = server.seen.calls.borrow().iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 2, 3, 1, 2], "three on the old one, two on the new one");
        drop((first, second, third, fourth));
    });
}

#[test]
fn a_connection_that_dies_fails_its_own_calls_only() {
    local(async {
        let dying = server(|_, calls| {
            let dies = calls.iter().any(|(_, text)| text == "die");
            (!dies).then(Vec::new)
        });
        let (dying, good) = (dying.await, server(echo).await);
        let mux = Mux::new(few());
        let caught: Vec<_> = (0..5).map(|_| begin(&mux, &dying.node, "wait")).collect();
        until("told", || dying.seen.calls.borrow().len() == 5).await;
        let elsewhere = begin(&mux, &good.node, "elsewhere");
        let last = begin(&mux, &dying.node, "die");
        for ticket in caught.into_iter().chain([last]) {
            assert_eq!(failure(ticket).await, (closed(&dying.node), true));
        }
        assert_eq!(answer(elsewhere).await, "ELSEWHERE");
        // The next call makes a connection of its own.
        let next = begin(&mux, &dying.node, "again");
        until("connected again", || dying.seen.connections.get() == 2).await;
        drop(next);
    });
}

#[test]
fn frames_that_are_none_close_the_connection_and_an_answer_that_is_none_does_not() {
    let lengths: [&[u8]; 4] =
        [&[0, 0, 0, 0], &[0, 0, 0, 7, 1, 1, 1], &[0xff; 64], &[0x7f, 0xff, 0xff, 0xff]];
    for bad in lengths {
        local(async move {
            let hostile = server(move |_, _| Some(bad.to_vec())).await;
            let mux = Mux::new(few());
            let two = [begin(&mux, &hostile.node, "a"), begin(&mux, &hostile.node, "b")];
            for ticket in two {
                let failed = wait(ticket).await.unwrap_err();
                let node = hostile.node.addr.to_string();
                let why = "a frame that breaks the protocol";
                assert_eq!(*failed.error.kind(), Kind::BadAnswer { node, why });
                assert!(std::error::Error::source(&failed.error).is_some());
            }
            until("closed", || hostile.seen.open.get() == 0).await;
            assert!(mux.is_empty());
        });
    }
    local(async {
        // Unknown ids, answers twice, pushes: dropped, each for itself.
        let odd = server(|_, calls| {
            let answers = calls.iter().flat_map(|(id, text)| {
                [
                    frame(id + 1000, b"?"),
                    frame(0, b"push"),
                    frame(*id, text.as_bytes()),
                    frame(*id, b"twice"),
                ]
            });
            Some(answers.collect::<Vec<_>>().concat())
        });
        let odd = odd.await;
        let mux = Mux::new(few());
        for text in ["one", "hostile", "three"] {
            assert_eq!(ask(&mux, &odd.node, text).await, text);
        }
        assert_eq!(odd.seen.connections.get(), 1);
    });
}

#[test]
fn who_cannot_connect_has_sent_nothing() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = node_of(listener.local_addr().unwrap());
        drop(listener);
        let mux = Mux::new(few());
        let (one, two) = (begin(&mux, &node, "a"), begin(&mux, &node, "!b"));
        for ticket in [one, two] {
            let refused = Kind::Connect { node: node.addr.to_string() };
            assert_eq!(failure(ticket).await, (refused, false));
        }
        assert!(mux.is_empty());

        // One place in the queue; the kernel drops what comes after it.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let deaf = socket.listen(0).unwrap();
        let addr = deaf.local_addr().unwrap();
        let mut filling = Vec::new();
        // One late answer could be a busy machine's.
        let mut late = 0;
        while late < 2 {
            let stream = tokio::time::timeout(ms(200), TcpStream::connect(addr)).await;
            late = if stream.is_err() { late + 1 } else { 0 };
            filling.extend(stream.map(Result::unwrap));
            assert!(filling.len() < 20, "the queue never fills");
        }
        let node = Node { connect_timeout: ms(100), ..node_of(addr) };
        let late = Kind::UpstreamTimeout { what: "connect", node: addr.to_string() };
        assert_eq!(failure(begin(&mux, &node, "a")).await, (late.clone(), false));
        // The caller may have less patience than the connection.
        let ticket = begin(&mux, &Node { connect_timeout: ms(60_000), ..node }, "b");
        let failed = ticket.time_out(ms(1), clock::now());
        assert_eq!((failed.error.kind().clone(), failed.sent), (late, false));
        drop(filling);
    });
}

#[test]
fn a_call_that_is_given_up_is_not_sent_and_its_answer_goes_nowhere() {
    local(async {
        let server = server(echo).await;
        let mux = Mux::new(few());
        let gone: Vec<_> =
            (0..3).map(|n| begin(&mux, &server.node, &format!("gone {n}"))).collect();
        let stays = begin(&mux, &server.node, "stays");
        drop(gone);
        assert_eq!(answer(stays).await, "STAYS");
        assert_eq!(server.seen.texts(), ["stays"], "no connection was there yet: nothing had left");

        let slow = begin(&mux, &server.node, "slow");
        tokio::task::yield_now().await;
        until("sent", || server.seen.calls.borrow().len() == 2).await;
        drop(slow);
        assert_eq!(ask(&mux, &server.node, "next").await, "NEXT");
        assert_eq!(server.seen.connections.get(), 1);
    });
}

#[test]
fn a_late_answer_is_dropped_and_a_node_that_never_answers_is_left() {
    local(async {
        let server = server(silent).await;
        let mux = Mux::new(Limits { silent_max: ms(60_000), ..few() });
        let late = Kind::UpstreamTimeout { what: "read", node: server.node.addr.to_string() };
        // The time that passes is told, not waited for: a busy machine adds nothing.
        let give_up = async |within: Duration| {
            let ticket = begin(&mux, &server.node, "x");
            let before = server.seen.calls.borrow().len();
            until("told", || server.seen.calls.borrow().len() > before).await;
            let failed = ticket.time_out(within, clock::now() + within);
            (failed.error.kind().clone(), failed.sent)
        };
        assert_eq!(give_up(ms(1)).await, (late.clone(), true));
        assert_eq!(give_up(ms(1)).await, (late.clone(), true));
        assert_eq!(server.seen.connections.get(), 1, "impatience is no proof");
        assert_eq!(give_up(ms(60_001)).await, (late.clone(), true));
        until("closed", || server.seen.open.get() == 0).await;
        assert_eq!(give_up(ms(1)).await, (late, true));
        assert_eq!(server.seen.connections.get(), 2);
    });
}

#[test]
fn connections_with_nothing_but_silence_make_room() {
    local(async {
        let server = server(silent).await;
        let limits = Limits { silent_max: ms(20), lines_max: 2, ..few() };
        let mux = Mux::new(limits);
        let mut waiting = Vec::new();
        for at in 1..=3 {
            waiting.push(begin(&mux, &server.node, "waits"));
            until("told", || server.seen.connections.get() == at).await;
            let brief = begin(&mux, &server.node, "brief");
            sleep(ms(40)).await;
            let failed = brief.time_out(ms(1), clock::now());
            assert!(matches!(failed.error.kind(), Kind::UpstreamTimeout { what: "read", .. }));
            assert!(mux.len() <= 2);
        }
        let late = Kind::UpstreamTimeout { what: "read", node: server.node.addr.to_string() };
        assert_eq!(failure(waiting.remove(0)).await, (late, true));
        drop(waiting);
        until("closed", || server.seen.open.get() == 0).await;
    });
}

#[test]
fn a_one_way_call_is_over_when_it_has_left() {
    local(async {
        let server = server(|_, calls| {
            // A server that answers all the same.
            Some(calls.iter().flat_map(|(id, _)| frame(*id, b"unasked")).collect())
        });
        let server = server.await;
        let mux = Mux::new(few());
        let (one, two) = (begin(&mux, &server.node, "!one"), begin(&mux, &server.node, "two"));
        assert!(wait(one).await.unwrap().is_none());
        assert_eq!(answer(two).await, "unasked");
        assert!(wait(begin(&mux, &server.node, "!three")).await.unwrap().is_none());
        until("told", || server.seen.texts() == ["!one", "two", "!three"]).await;
    });
}

#[test]
fn ids_wrap_around_and_pass_over_those_that_live() {
    local(async {
        let server = server(|_, calls| {
            let answers = calls.iter().filter(|(_, text)| text != "stays");
            Some(answers.flat_map(|(id, text)| frame(*id, text.as_bytes())).collect())
        });
        let server = server.await;
        let mux = Mux::new(few());
        let stays = begin(&mux, &server.node, "stays");
        assert_eq!(stays.id, 1);
        stays.line.set_next_id(i32::MAX as u32);
        let ids: Vec<u32> = {
            let tickets: Vec<_> = (0..3).map(|_| begin(&mux, &server.node, "goes")).collect();
            let ids = tickets.iter().map(|ticket| ticket.id).collect();
            for ticket in tickets {
                assert_eq!(answer(ticket).await, "goes");
            }
            ids
        };
        assert_eq!(ids, [i32::MAX as u32, 2, 3]);
        drop(stays);
    });
}

#[test]
fn there_is_room_for_so_many_calls_and_bytes() {
    local(async {
        let server = server(silent).await;
        let limits = Limits { calls_max: 2, lines_max: 2, frame_bytes_max: 100, ..few() };
        let mux = Mux::new(limits);
        let held: Vec<_> = (0..4).map(|_| begin(&mux, &server.node, "held")).collect();
        let failed = try_begin(&mux, &server.node, "one more").unwrap_err();
        let busy = Kind::UpstreamBusy { node: server.node.addr.to_string() };
        assert_eq!((failed.error.kind(), failed.sent), (&busy, false));
        drop(held);
        let failed = try_begin(&mux, &server.node, &"x".repeat(93)).unwrap_err();
        assert_eq!(*failed.error.kind(), Kind::BodyTooLarge { bytes_max: 100 });
        drop(begin(&mux, &server.node, &"x".repeat(92)));

        let mux = Mux::new(Limits { queue_bytes_max: 50, lines_max: 1, ..few() });
        let held = begin(&mux, &server.node, &"x".repeat(60));
        let failed = try_begin(&mux, &server.node, "x").unwrap_err();
        assert_eq!((failed.error.kind(), failed.sent), (&busy, false));
        until("sent", || server.seen.calls.borrow().len() == 1).await;
        drop((held, begin(&mux, &server.node, "x")));
    });
}

#[test]
fn a_node_that_reads_nothing_is_left_after_the_send_timeout() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Node { send_timeout: ms(100), ..node_of(listener.local_addr().unwrap()) };
        let mux = Mux::new(few());
        let large: Vec<_> = (0..3).map(|_| begin(&mux, &node, &"x".repeat(5 << 20))).collect();
        let (stream, _) = listener.accept().await.unwrap();
        let late = Kind::UpstreamTimeout { what: "send", node: node.addr.to_string() };
        let mut sent = Vec::new();
        for ticket in large {
            let (kind, begun) = failure(ticket).await;
            assert_eq!(kind, late);
            sent.push(begun);
        }
        assert!(sent[0], "a part of the first one left");
        assert!(!sent[2], "nothing of the last one did, so another node may have it");
        drop(stream);
    });
}

#[test]
fn idle_connections_are_pinged_kept_and_closed() {
    local(async {
        let times = Limits { ping_after: ms(40), ping_within: ms(30_000), ..few() };
        let living = server(echo).await;
        let mux = Mux::new(times);
        let start = clock::now();
        assert_eq!(ask(&mux, &living.node, "a").await, "A");
        let pings = || living.seen.texts().iter().filter(|text| text.is_empty()).count();
        until("pinged twice", || pings() >= 2).await;
        let most = clock::now().duration_since(start).as_millis() / 40;
        assert!(pings() as u128 <= most, "{} of {most}", pings());
        assert_eq!(ask(&mux, &living.node, "b").await, "B");
        assert_eq!(living.seen.connections.get(), 1);

        // One that answers calls but no pings is closed; the next call connects again.
        let mux = Mux::new(Limits { ping_within: ms(500), ..times });
        let dead = server(|seen, calls| {
            if calls.iter().all(|(_, text)| text.is_empty()) {
                Some(Vec::new())
            } else {
                echo(seen, calls)
            }
        });
        let dead = dead.await;
        assert_eq!(ask(&mux, &dead.node, "a").await, "A");
        until("closed", || dead.seen.open.get() == 0).await;
        assert_eq!(ask(&mux, &dead.node, "b").await, "B");
        assert_eq!(dead.seen.connections.get(), 2);

        for idle in [0, 50] {
            let keep = KeepAlive { idle_timeout: ms(idle), ..KeepAlive::default() };
            let brief = server(echo).await;
            let node = Node { keep, ..brief.node.clone() };
            assert_eq!(ask(&mux, &node, "a").await, "A");
            until("closed", || brief.seen.open.get() == 0).await;
            assert!(brief.seen.texts().iter().filter(|text| text.is_empty()).count() <= 1);
        }
    });
}

#[test]
fn a_drained_or_dropped_mux_closes_what_is_idle_and_finishes_what_runs() {
    local(async {
        let server = server(|_, calls| {
            let answers = calls.iter().filter(|(_, text)| text == "go");
            let all = answers.flat_map(|_| [frame(1, b"one"), frame(2, b"two")].concat());
            Some(all.collect())
        });
        let server = server.await;
        let mux = Mux::new(few());
        let (one, two) = (begin(&mux, &server.node, "wait"), begin(&mux, &server.node, "go"));
        mux.drain();
        assert_eq!((answer(one).await, answer(two).await), ("one".into(), "two".into()));
        until("closed", || server.seen.open.get() == 0).await;
        assert!(mux.is_empty());

        let (one, two) = (begin(&mux, &server.node, "wait"), begin(&mux, &server.node, "go"));
        drop(mux);
        assert_eq!((answer(one).await, answer(two).await), ("one".into(), "two".into()));
        until("closed", || server.seen.open.get() == 0).await;
        server.task.abort();
    });
}
