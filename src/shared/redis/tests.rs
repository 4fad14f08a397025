//! Against a scripted server, and against Debian's `redis-server` where it is installed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command as Process, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Address, CALLS_MAX, Clients, Command, Error, Job, Options, Place, Reply, Script, Target,
};

const SECOND: Duration = Duration::from_secs(1);

/// A server that answers what `answer` says: none is silence, `close` ends the connection.
struct Fake {
    port: u16,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

enum Says {
    Text(&'static str),
    Owned(String),
    Pieces(&'static [&'static str]),
    Silence,
    TheEnd,
}

impl Fake {
    fn start(answer: impl Fn(&[String]) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let fake = Self { port, connections: Arc::clone(&connections), seen: Arc::clone(&seen) };
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || serve(stream.unwrap(), &*answer, &seen));
            }
        });
        fake
    }

    fn target(&self) -> Arc<Target> {
        target(self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&[String]) -> Says, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(words) = read_command(&mut reader) {
        seen.lock().unwrap().push(words.join(" "));
        let written = match answer(&words) {
            Says::Text(text) => writer.write_all(text.as_bytes()),
            Says::Owned(text) => writer.write_all(text.as_bytes()),
            Says::Pieces(pieces) => pieces.iter().try_for_each(|piece| {
                thread::sleep(Duration::from_millis(20));
                writer.write_all(piece.as_bytes())
            }),
            Says::Silence => Ok(()),
            Says::TheEnd => return,
        };
        if written.is_err() {
            return;
        }
    }
}

fn read_command(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let number = |reader: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let count = number(reader)?;
    (0..count)
        .map(|_| {
            let mut bytes = vec![0; number(reader)? + 2];
            reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8(bytes).ok()
        })
        .collect()
}

fn options(place: Place) -> Options {
    Options { place, username: None, password: None, database: 0, tls: None }
}

fn address(port: u16) -> Address {
    Address { host: "127.0.0.1".to_owned(), port }
}

/// The clients are leaked: they must outlive the target, and a test ends the process anyway.
fn open(options: &Options) -> Arc<Target> {
    Box::leak(Box::<Clients>::default()).target(options).unwrap()
}

fn target(port: u16) -> Arc<Target> {
    open(&options(Place::Single(address(port))))
}

fn job(words: &[&str]) -> Job {
    Job::Command(Command::new(words).unwrap())
}

fn run<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

fn ask(target: &Target, words: &[&str], limit: Duration) -> Result<Reply, Error> {
    run(target.call(&job(words), limit))
}

fn text(text: &str) -> Reply {
    Reply::Bytes(text.as_bytes().to_vec())
}

#[test]
fn a_script_that_the_server_does_not_know_is_sent_with_its_text() {
    let fake = Fake::start(|words| match words[0].as_str() {
        "EVALSHA" => Says::Text("-NOSCRIPT No matching script. Please use EVAL.\r\n"),
        _ => Says::Text(":7\r\n"),
    });
    let script = Job::Script(Script::new(b"d1g357", b"return 7", 1, &["k", "a"]));
    assert_eq!(run(fake.target().call(&script, SECOND)), Ok(Reply::Int(7)));
    assert_eq!(fake.seen(), ["EVALSHA d1g357 1 k a", "EVAL return 7 1 k a"]);
}

#[test]
fn an_answer_in_pieces_is_read_whole() {
    const PIECES: &[&str] =
        &["*3\r", "\n$5\r\nhe", "llo\r\n:", "1\r\n*2\r\n$-1\r\n-ERR n", "o\r\n"];
    let fake = Fake::start(|_| Says::Pieces(PIECES));
    let inner = Reply::List(vec![Reply::Null, Reply::Error("ERR no".to_owned())]);
    let whole = Reply::List(vec![text("hello"), Reply::Int(1), inner]);
    assert_eq!(ask(&fake.target(), &["ANY"], SECOND), Ok(whole));
}

#[test]
fn many_calls_share_one_connection_and_each_gets_its_own_answer() {
    let fake = Fake::start(|words| Says::Owned(format!("${}\r\n{}\r\n", words[1].len(), words[1])));
    let target = fake.target();
    run(async {
        let calls: Vec<_> = (0..500)
            .map(|n| {
                let target = Arc::clone(&target);
                tokio::task::spawn_local(async move {
                    let word = n.to_string();
                    let reply = target.call(&job(&["ECHO", &word]), 10 * SECOND).await;
                    assert_eq!(reply, Ok(text(&word)));
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    });
    assert_eq!(fake.connections(), 1);
    assert_eq!(target.calls(), 0);
}

#[test]
fn a_frozen_server_costs_no_more_than_the_deadline() {
    let fake = Fake::start(|_| Says::Silence);
    let target = fake.target();
    for limit in [Duration::from_millis(200), Duration::from_millis(50)] {
        let started = Instant::now();
        let error = ask(&target, &["GET", "a"], limit).unwrap_err();
        assert!(started.elapsed() < limit + Duration::from_millis(150), "{error}");
        assert_eq!(error, Error::Timeout(limit));
    }
    // The connection without answers was given up.
    assert!(fake.connections() >= 2);
}

#[test]
fn a_server_that_refuses_to_talk_while_connecting_costs_no_more_than_the_deadline() {
    let fake = Fake::start(|_| Says::Silence);
    let password = Some("x".to_owned());
    let target = open(&Options { password, ..options(Place::Single(address(fake.port))) });
    let started = Instant::now();
    let error = ask(&target, &["GET", "a"], Duration::from_millis(100)).unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(250));
    assert!(error.to_string().ends_with("not connected within 100 ms"), "{error}");
}

#[test]
fn a_server_that_is_gone_is_told_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = target(port);
    for _ in 0..3 {
        let started = Instant::now();
        let error = ask(&target, &["GET", "a"], 5 * SECOND).unwrap_err();
        assert!(matches!(&error, Error::Unavailable(why) if why.contains("refused")), "{error}");
        assert!(started.elapsed() < SECOND);
    }
}

#[test]
fn a_connection_that_ended_is_replaced_and_nothing_is_sent_twice() {
    let fake = Fake::start(|words| match words[0].as_str() {
        "QUITE" => Says::TheEnd,
        _ => Says::Text("+OK\r\n"),
    });
    let target = fake.target();
    assert_eq!(ask(&target, &["SET", "a", "1"], SECOND), Ok(text("OK")));
    let error = ask(&target, &["QUITE"], SECOND).unwrap_err();
    assert!(matches!(error, Error::Broken(_)), "{error}");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(ask(&target, &["SET", "b", "1"], SECOND), Ok(text("OK")));
    assert_eq!(fake.seen(), ["SET a 1", "QUITE", "SET b 1"]);
    assert_eq!(fake.connections(), 2);
}

#[test]
fn an_error_of_the_server_is_told_in_its_words() {
    let fake =
        Fake::start(|_| Says::Text("-OOM command not allowed when used memory > 'maxmemory'.\r\n"));
    let error = ask(&fake.target(), &["SET", "a", "1"], SECOND).unwrap_err();
    assert!(error.is_code("OOM"));
    assert_eq!(error.to_string(), "OOM command not allowed when used memory > 'maxmemory'.");
}

#[test]
fn calls_above_the_bound_are_refused() {
    let fake = Fake::start(|_| Says::Silence);
    let target = fake.target();
    run(async {
        let calls: Vec<_> = (0..CALLS_MAX)
            .map(|_| {
                let target = Arc::clone(&target);
                tokio::task::spawn_local(async move {
                    target.call(&job(&["GET", "a"]), 60 * SECOND).await
                })
            })
            .collect();
        while target.calls() < CALLS_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(target.call(&job(&["GET", "a"]), SECOND).await, Err(Error::Busy));
        calls.iter().for_each(tokio::task::JoinHandle::abort);
    });
    assert_eq!(target.calls(), 0);
}

#[test]
fn the_same_fields_are_one_target() {
    let clients = Clients::default();
    let first = options(Place::Single(address(1)));
    let one = clients.target(&first).unwrap();
    assert!(Arc::ptr_eq(&one, &clients.target(&first).unwrap()));
    let other = Options { database: 1, ..first.clone() };
    assert!(!Arc::ptr_eq(&one, &clients.target(&other).unwrap()));
    assert!(
        !format!("{:?}", Options { password: Some("secret".to_owned()), ..first })
            .contains("secret")
    );
}

/// A cluster of one master that sends the key `foo` (slot 12182) elsewhere with `how`.
fn redirected(how: &'static str) -> (Fake, Fake, Result<Reply, Error>) {
    let there = Fake::start(|words| match words[0].as_str() {
        "ASKING" => Says::Text("+OK\r\n"),
        _ => Says::Text("$3\r\nbar\r\n"),
    });
    let port = there.port;
    let own = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&own);
    let here = Fake::start(move |words| match words[0].as_str() {
        // Its name is empty: it is where it was asked.
        "CLUSTER" => Says::Owned(format!(
            "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{}\r\n",
            known.load(Ordering::SeqCst)
        )),
        _ => Says::Owned(format!("-{how} 12182 127.0.0.1:{port}\r\n")),
    });
    own.store(usize::from(here.port), Ordering::SeqCst);
    let target = open(&options(Place::Cluster(vec![address(here.port)])));
    let reply = ask(&target, &["GET", "foo"], SECOND);
    (here, there, reply)
}

#[test]
fn a_key_that_moved_is_asked_for_where_it_is() {
    let (here, there, reply) = redirected("MOVED");
    assert_eq!(reply, Ok(text("bar")));
    assert_eq!(here.seen()[..2], ["CLUSTER SLOTS", "GET foo"]);
    assert_eq!(there.seen()[..1], ["GET foo"]);
}

#[test]
fn a_key_that_moves_just_now_is_asked_for_there_once() {
    let (_, there, reply) = redirected("ASK");
    assert_eq!(reply, Ok(text("bar")));
    assert_eq!(there.seen(), ["ASKING", "GET foo"]);
}

#[test]
fn a_cluster_that_is_gone_is_told_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = open(&options(Place::Cluster(vec![address(port)])));
    let started = Instant::now();
    let error = ask(&target, &["GET", "a"], 5 * SECOND).unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("refused")), "{error}");
    assert!(started.elapsed() < 2 * SECOND);
}

/// Debian's server, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// None where it is not installed.
    fn start(port: Option<u16>, options: &[&str]) -> Option<Self> {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.unwrap_or_else(free);
        let number = port.to_string();
        let fixed = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let started =
            Process::new("redis-server").args(fixed).args(options).stdout(Stdio::null()).spawn();
        let Ok(child) = started else {
            eprintln!("redis-server is not installed: not tested against it");
            return None;
        };
        let server = Self { child, port };
        let until = Instant::now() + 5 * SECOND;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "redis-server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Process::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _code = self.child.wait();
    }
}

#[test]
fn a_real_server_answers_commands_pipelines_and_scripts() {
    let Some(server) = Server::start(None, &[]) else { return };
    let target = target(server.port);
    assert_eq!(ask(&target, &["SET", "a", "1", "NX"], SECOND), Ok(text("OK")));
    assert_eq!(ask(&target, &["SET", "a", "1", "NX"], SECOND), Ok(Reply::Null));
    let commands = ["INCR", "LPUSH", "GET"];
    let commands = commands.iter().map(|name| {
        let words: &[&str] = if *name == "LPUSH" { &[name, "a", "x"] } else { &[name, "a"] };
        Command::new(words).unwrap()
    });
    let replies = run(target.call(&Job::Several(commands.collect()), SECOND)).unwrap();
    let Reply::List(replies) = replies else { panic!("{replies:?}") };
    assert_eq!((&replies[0], &replies[2]), (&Reply::Int(2), &text("2")));
    assert!(matches!(&replies[1], Reply::Error(why) if why.starts_with("WRONGTYPE")));

    let source = b"return {KEYS[1], ARGV[1]}";
    let digest = "0a1ec4a8b93bd4d7e1ee6bb4ac7e6b2ffbc1b02e";
    let script = Job::Script(Script::new(digest.as_bytes(), source, 1, &["k", "v"]));
    let both = Reply::List(vec![text("k"), text("v")]);
    assert_eq!(run(target.call(&script, SECOND)), Ok(both));
}

#[test]
fn a_real_server_that_restarts_is_found_again() {
    let Some(server) = Server::start(None, &["--requirepass", "secret"]) else { return };
    let port = server.port;
    let password = Some("secret".to_owned());
    let target = open(&Options { password, ..options(Place::Single(address(port))) });
    assert_eq!(ask(&target, &["SET", "a", "1"], SECOND), Ok(text("OK")));
    drop(server);
    thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    assert!(ask(&target, &["SET", "a", "1"], 3 * SECOND).is_err());
    assert!(started.elapsed() < 2 * SECOND);
    let _server = Server::start(Some(port), &["--requirepass", "secret"]);
    let until = Instant::now() + 5 * SECOND;
    while ask(&target, &["SET", "a", "1"], SECOND) != Ok(text("OK")) {
        assert!(Instant::now() < until, "it is not found again");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_real_server_that_was_frozen_is_used_again() {
    let Some(server) = Server::start(None, &[]) else { return };
    let target = target(server.port);
    assert_eq!(ask(&target, &["SET", "a", "1"], SECOND), Ok(text("OK")));
    server.signal("-STOP");
    for _ in 0..20 {
        let started = Instant::now();
        assert!(ask(&target, &["SET", "a", "2"], Duration::from_millis(100)).is_err());
        assert!(started.elapsed() < Duration::from_millis(300), "{:?}", started.elapsed());
    }
    server.signal("-CONT");
    let until = Instant::now() + 5 * SECOND;
    while ask(&target, &["SET", "a", "3"], SECOND) != Ok(text("OK")) {
        assert!(Instant::now() < until, "it is not used again");
        thread::sleep(Duration::from_millis(20));
    }
}
