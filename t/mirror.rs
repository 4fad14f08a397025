//! Requests that go to a second server too: what it gets, and that nothing it does is felt.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Gateway, PATIENCE, Prefix, answer, ask, until};

/// A request as a server got it, and by which of its connections.
struct Got {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

/// Reads one request whose body, if any, has a length; `None` at the end of the connection.
fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut piece = [0; 65536];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                bytes.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// A server on `listener` that tells what it gets and answers it, until `end`.
fn serve(listener: TcpListener, end: Arc<AtomicBool>) -> mpsc::Receiver<Got> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().flatten().enumerate() {
            if end.load(Ordering::SeqCst) {
                return;
            }
            let (mut stream, tell, end) = (stream, tell.clone(), Arc::clone(&end));
            thread::spawn(move || {
                let mut bytes = Vec::new();
                while let Some((head, body)) = read_request(&mut stream, &mut bytes) {
                    if end.load(Ordering::SeqCst) {
                        return;
                    }
                    let _ = tell.send(Got { connection, head, body });
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            });
        }
    });
    told
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn server() -> (u16, mpsc::Receiver<Got>) {
    let (listener, port) = listen();
    (port, serve(listener, Arc::default()))
}

/// A server that takes connections and does nothing with them while the result lives.
fn silent() -> (u16, mpsc::Receiver<TcpStream>) {
    let (listener, port) = listen();
    let (keep, kept) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if keep.send(stream).is_err() {
                return;
            }
        }
    });
    (port, kept)
}

/// A gateway of one worker whose route `/m*` goes to `port`, and to `mirror` too, an expression
/// of Lua for the URL in front of the path; `timeout` is that of the mirror.
fn gateway(port: u16, mirror: &str, timeout: &str, upstream: &str) -> Gateway {
    let prefix = Prefix::new(
        "nginx_config: {worker_processes: 1, error_log_level: notice, http: {client_max_body_size: 0}}",
    );
    let config = prefix.read("conf/config.yaml");
    let mine = format!("plugin_attr: {{proxy-mirror: {{timeout: {{{timeout}}}}}, ");
    prefix.write("conf/config.yaml", &config.replace("plugin_attr: {", &mine));
    prefix.objects(&format!(
        "routes:
  - id: m
    uri: /m*
    plugins:
      serverless-pre-function:
        phase: rewrite
        functions:
          - |
            return function(conf, ctx)
                local var, url = ctx.var, {mirror}
                var.upstream_mirror_host = url
                var.upstream_mirror_uri = url .. var.uri .. var.is_args .. (var.args or '')
                assert(require('resty.apisix.client').enable_mirror() == true)
            end
      serverless-post-function:
        phase: before_proxy
        functions:
          - return function() ngx.req.set_header('X-Late', 'yes') end
    upstream:
      nodes: {{\"127.0.0.1:{port}\": 1}}
      {upstream}"
    ));
    prefix.start()
}

fn to(port: u16) -> String {
    format!("'http://127.0.0.1:{port}'")
}

/// Sends a request on a connection that is kept; gives the status.
fn again(stream: &mut TcpStream, path: &str) -> u16 {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let (head, _) = read_request(stream, &mut bytes).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn client(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", gateway.prefix.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The value of a metric of the gateway's own.
fn metric(gateway: &Gateway, name: &str) -> Option<u64> {
    let (_, text) = answer(gateway.prefix.metrics, "/apisix/prometheus/metrics")?;
    text.lines().find_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse().ok())
}

#[test]
fn the_mirror_gets_what_the_upstream_gets() {
    let ((port, upstream), (second, mirror)) = (server(), server());
    let gateway = gateway(port, &to(second), "", "");
    let body = |bytes: usize| "0123456789abcdef".repeat(bytes / 16);
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut connections = BTreeSet::new();
    let cases = [
        ("GET", "/m", "", String::new()),
        ("DELETE", "/m/a%20b/%C3%A9%25?x=%201&y", "X-One: 1\r\nX-One: 2\r\n", String::new()),
        ("POST", "/m?", "Content-Length: 16\r\nContent-Type: a/b\r\n", body(16)),
        ("PATCH", "/m/p", "Content-Length: 1000000\r\n", body(1_000_000)),
        ("PUT", "/m/c", "Transfer-Encoding: chunked\r\n", chunked(&body(48))),
        ("POST", "/m/d", "Transfer-Encoding: chunked\r\n", chunked(&body(320_000))),
        (
            "GET",
            "/m/w",
            "Upgrade: x\r\nTE: trailers\r\nX-Forwarded-For: 1.1.1.1\r\n",
            String::new(),
        ),
    ];
    for (method, path, more, body) in &cases {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: t:80\r\nConnection: close\r\n{more}\r\n");
        assert_eq!(ask(gateway.prefix.port, &(head + body)).unwrap().0, 200, "{}", gateway.log());
        let one = upstream.recv_timeout(PATIENCE).unwrap();
        let two = mirror.recv_timeout(PATIENCE).unwrap();
        assert_eq!(one.head, two.head);
        assert!(one.body == two.body, "{method} {path}: {} {}", one.body.len(), two.body.len());
        assert!(two.head.starts_with(&format!("{method} /m")), "{}", two.head);
        assert!(two.head.contains("\r\nHost: t:80\r\n") && two.head.contains("\r\nX-Late: yes"));
        assert_eq!(two.body.is_empty(), body.is_empty());
        connections.insert(two.connection);
        // The mirror's answer is to be read before the next request wants its connection.
        thread::sleep(Duration::from_millis(50));
    }
    assert!(connections.len() < cases.len(), "its connections are kept: {connections:?}");
    assert!(!gateway.log().contains("[error]"), "{}", gateway.log());
}

#[test]
fn a_request_without_the_mark_goes_to_one_server() {
    let ((port, upstream), (second, mirror)) = (server(), server());
    let gateway = gateway(port, &to(second), "", "");
    gateway.prefix.objects(&format!(
        "routes:\n  - {{uri: /one, upstream: {{nodes: {{\"127.0.0.1:{port}\": 1}}}}}}"
    ));
    gateway.comes("/one", 200, "ok");
    assert!(upstream.recv_timeout(PATIENCE).unwrap().head.starts_with("GET /one "));
    assert!(mirror.recv_timeout(Duration::from_millis(300)).is_err());
}

#[test]
fn host_is_that_of_the_upstream_in_all_its_forms() {
    let ((port, upstream), (second, mirror)) = (server(), server());
    for (form, host) in [
        ("pass_host: node", format!("127.0.0.1:{port}")),
        ("{pass_host: rewrite, upstream_host: other.test}", "other.test".to_owned()),
        ("pass_host: pass", "test".to_owned()),
    ] {
        let form = form.trim_matches(['{', '}']).replace(", ", "\n      ");
        let gateway = gateway(port, &to(second), "", &form);
        assert_eq!(gateway.get("/m").0, 200);
        for got in [&upstream, &mirror] {
            let head = got.recv_timeout(PATIENCE).unwrap().head;
            assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{head}");
        }
    }
}

#[test]
fn what_cannot_be_mirrored_is_told_and_served() {
    let (port, _upstream) = server();
    let (closed, dead) = listen();
    drop(closed);
    let gateway = gateway(port, "ctx.var.arg_to", "connect: 500ms", "");
    for (to, line) in [
        (
            format!("http://127.0.0.1:{dead}"),
            format!("mirror http://127.0.0.1:{dead}: connect() to"),
        ),
        ("grpc://127.0.0.1:1".to_owned(), "gRPC cannot be mirrored".to_owned()),
        ("file:".to_owned(), "not a URL of http or https".to_owned()),
        (
            "http://no-such-host.invalid".to_owned(),
            "mirror http://no-such-host.invalid: ".to_owned(),
        ),
        // It takes the first message of TLS for half a head, and says nothing.
        (format!("https://127.0.0.1:{port}"), format!("mirror https://127.0.0.1:{port}: ")),
    ] {
        assert_eq!(gateway.get(&format!("/m?to={to}")).0, 200);
        gateway.logs(&line);
    }
}

#[test]
fn a_silent_mirror_delays_nobody_and_is_left_alone_in_time() {
    let ((port, _upstream), (second, _kept)) = (server(), silent());
    for (timeout, line) in [("", None), ("read: 300ms, send: 300ms", Some("timed out"))] {
        let gateway = gateway(port, &to(second), timeout, "");
        let mut client = client(&gateway);
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(again(&mut client, "/m"), 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        match line {
            None => assert!(until(|| metric(&gateway, "moongate_mirrors{") == Some(20))),
            Some(line) => {
                assert!(until(|| gateway.log().matches(line).count() == 20), "{}", gateway.log());
                assert!(until(|| metric(&gateway, "moongate_mirrors{") == Some(0)));
            }
        }
    }
}

#[test]
fn who_does_not_read_a_large_body_is_left_alone_in_time() {
    let ((port, _upstream), (second, _kept)) = (server(), silent());
    let large = "x".repeat(30 << 20);
    let request = format!(
        "POST /m HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{large}",
        large.len()
    );
    let deaf_mirror = gateway(port, &to(second), "read: 300ms, send: 300ms", "");
    assert_eq!(ask(deaf_mirror.prefix.port, &request).unwrap().0, 200);
    deaf_mirror.logs("timed out");
    assert!(until(|| metric(&deaf_mirror, "moongate_mirrors{") == Some(0)));
    drop(deaf_mirror);
    let short = "timeout: {connect: 5, send: 0.3, read: 0.3}\n      retries: 0";
    let deaf_node = gateway(second, &to(port), "", short);
    assert_eq!(ask(deaf_node.prefix.port, &request).unwrap().0, 504, "{}", deaf_node.log());
}

#[test]
fn so_many_are_on_their_way_and_no_more() {
    const MAX: u64 = 1024;
    let ((port, _upstream), (second, _kept)) = (server(), silent());
    let gateway = gateway(port, &to(second), "", "");
    let mut stream = client(&gateway);
    let begun = Instant::now();
    for at in 0..MAX + 200 {
        if at == 600 {
            // A connection carries 1000.
            stream = client(&gateway);
        }
        assert_eq!(again(&mut stream, "/m"), 200, "the {at}th");
    }
    let lines_max = begun.elapsed().as_secs() + 2;
    assert!(until(|| metric(&gateway, "moongate_mirrors{") == Some(MAX)));
    assert_eq!(metric(&gateway, "moongate_mirrors_dropped_total"), Some(200));
    let line = "1 requests were not mirrored: this worker has 1024 on their way already";
    gateway.logs(line);
    let lines = gateway.log().matches("requests were not mirrored").count() as u64;
    assert!(lines <= lines_max, "{lines} lines, at most {lines_max}");
}

#[test]
fn a_mirror_that_dies_and_comes_back_is_not_felt() {
    let (port, _upstream) = server();
    let (listener, second) = listen();
    let end = Arc::new(AtomicBool::new(false));
    let first = serve(listener, Arc::clone(&end));
    let gateway = gateway(port, &to(second), "", "");
    let mut client = client(&gateway);
    let mut back = None;
    for at in 0..1000 {
        match at {
            300 => {
                end.store(true, Ordering::SeqCst);
                // Wakes who accepts; its connections end with the next request they get.
                drop(TcpStream::connect(("127.0.0.1", second)));
                assert!(until(|| TcpStream::connect(("127.0.0.1", second)).is_err()));
            }
            600 => {
                let listener = (0..100).find_map(|_| {
                    thread::sleep(Duration::from_millis(50));
                    TcpListener::bind(("127.0.0.1", second)).ok()
                });
                back = listener.map(|listener| serve(listener, Arc::default()));
            }
            _ => {}
        }
        assert_eq!(again(&mut client, "/m"), 200, "the {at}th\n{}", gateway.log());
    }
    let back = back.expect("the port is free again");
    // What was on its way when it died is lost, what comes behind its return is not.
    assert!(until(|| first.try_iter().count() == 0));
    let mut came = 0;
    assert!(until(|| {
        came += back.try_iter().count();
        came >= 390
    }));
    gateway.logs(&format!("mirror http://127.0.0.1:{second}: "));
}

#[test]
fn a_drain_does_not_wait_for_a_silent_mirror() {
    let ((port, _upstream), (second, _kept)) = (server(), silent());
    let mut gateway = gateway(port, &to(second), "", "");
    assert_eq!(gateway.get("/m").0, 200);
    let stopped = gateway.prefix.run(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(gateway.ends_well());
    gateway.logs("1 mirrored requests cut at the end");
}
