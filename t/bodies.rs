//! Request bodies: streamed, read whole first, kept for another try, read by plugins.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::harness::{Gateway, PATIENCE, Prefix, ask, until, upstream};

/// A body of this many bytes; each part of it looks different.
fn body(bytes: usize) -> String {
    let mut body = String::with_capacity(bytes + 8);
    while body.len() < bytes {
        write!(body, "{:07};", body.len()).unwrap();
    }
    body.truncate(bytes);
    body
}

fn head(path: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{more}\r\n")
}

/// The body in chunks of 10,000 bytes, with trailers.
fn chunked(body: &str, trailers: &str) -> String {
    let mut out = String::new();
    for chunk in body.as_bytes().chunks(10_000) {
        write!(out, "{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()).unwrap();
    }
    out + "0\r\n" + trailers + "\r\n"
}

/// A request whose body has a length, and the same in chunks.
fn both(path: &str, body: &str) -> [String; 2] {
    let length = head(path, &format!("Content-Length: {}\r\n", body.len())) + body;
    [length, head(path, "Transfer-Encoding: chunked\r\n") + &chunked(body, "")]
}

/// A node that hands out each request as it came and answers `ok` when it saw `end`.
fn recorder(end: &'static str) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut all = Vec::new();
            let mut piece = [0; 65536];
            while !String::from_utf8_lossy(&all).contains(end) {
                match stream.read(&mut piece) {
                    Ok(read @ 1..) => all.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let _ = tell.send(String::from_utf8_lossy(&all).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (port, told)
}

/// A node that takes some of the request and closes.
fn quitter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1000]);
        }
    });
    port
}

fn buffering(nodes: &[u16], more: &str) -> String {
    let nodes: Vec<String> = nodes.iter().map(|port| format!("\"127.0.0.1:{port}\": 1")).collect();
    let nodes = nodes.join(", ");
    format!(
        "routes:\n  - {{id: b, uri: /b, proxy_request_buffering: on, {more} upstream: {{nodes: {{{nodes}}}}}}}\n"
    )
}

#[test]
fn a_buffered_body_arrives_whole_and_with_its_length() {
    let gateway = Gateway::with(&buffering(&[upstream("one")], ""));
    for bytes in [1, 8192, 8193, 1_000_000, 9_999_999] {
        for request in both("/b", &body(bytes)) {
            let (status, _, answer) = ask(gateway.prefix.port, &request).unwrap();
            assert_eq!((status, answer), (200, format!("one: POST /b HTTP/1.1, {bytes} bytes\n")));
        }
    }
    assert!(gateway.log().contains("buffered to a temporary file in"), "{}", gateway.log());
    let left = fs::read_dir(gateway.prefix.path.join("tmp")).unwrap().count();
    assert_eq!(left, 0, "a file without a name leaves nothing behind");
}

#[test]
fn what_is_in_the_file_is_what_was_sent() {
    let (port, seen) = recorder("THE END");
    let gateway = Gateway::with(&buffering(&[port], ""));
    let body = body(3_000_000) + "THE END";
    for request in both("/b", &body) {
        assert_eq!(ask(gateway.prefix.port, &request).unwrap().0, 200);
        let (head, got) = {
            let all = seen.recv_timeout(PATIENCE).unwrap();
            let (head, got) = all.split_once("\r\n\r\n").unwrap();
            (head.to_owned(), got.to_owned())
        };
        assert!(head.contains("\r\nContent-Length: 3000007"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        assert!(got == body, "{} bytes came of {}", got.len(), body.len());
    }
}

#[test]
fn the_node_is_not_connected_before_the_body_is_there() {
    let (port, seen) = recorder("last");
    let gateway = Gateway::with(&buffering(&[port], ""));
    let mut client = TcpStream::connect(("127.0.0.1", gateway.prefix.port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all((head("/b", "Content-Length: 20004\r\n") + &body(20_000)).as_bytes()).unwrap();
    // The test of what does not happen has to wait a moment.
    assert!(seen.recv_timeout(Duration::from_millis(300)).is_err());
    client.write_all(b"last").unwrap();
    assert!(seen.recv_timeout(PATIENCE).unwrap().ends_with("last"));
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn another_node_gets_the_same_body() {
    let (port, seen) = recorder("THE END");
    // PUT may be repeated although the first node has seen a part of it.
    let gateway = Gateway::with(&buffering(&[quitter(), port], ""));
    let body = body(2_000_000) + "THE END";
    for _ in 0..4 {
        let request = both("/b", &body)[1].replacen("POST", "PUT", 1);
        assert_eq!(ask(gateway.prefix.port, &request).unwrap().0, 200, "{}", gateway.log());
        let all = seen.recv_timeout(PATIENCE).unwrap();
        assert!(all.ends_with(&body) && all.contains("Content-Length: 2000007"));
    }
    assert!(gateway.log().contains("prematurely closed"), "{}", gateway.log());
}

#[test]
fn without_room_for_the_file_only_that_request_fails() {
    let prefix = Prefix::new("");
    prefix.objects(&buffering(&[upstream("one")], ""));
    prefix.write("tmp", "in the way");
    let gateway = prefix.start();
    for request in both("/b", &body(100_000)) {
        assert_eq!(ask(gateway.prefix.port, &request).unwrap().0, 500);
    }
    gateway.logs("the temporary file for a request body failed");
    let request = &both("/b", &body(100))[0];
    assert_eq!(ask(gateway.prefix.port, request).unwrap().0, 200);
}

#[test]
fn a_buffered_body_has_the_bound_that_others_have() {
    let prefix = Prefix::new("nginx_config: {http: {client_max_body_size: 20k}}");
    prefix.objects(&buffering(&[upstream("one")], ""));
    let gateway = prefix.start();
    for (bytes, status) in [(20_480, 200), (20_481, 413)] {
        for request in both("/b", &body(bytes)) {
            assert_eq!(ask(gateway.prefix.port, &request).unwrap().0, status, "{bytes} bytes");
        }
    }
}

/// A plugin that reads the body from wherever it is and answers with what it found.
const READER: &str = r#"
return { name = "reader", version = 0.1, priority = 10, schema = { type = "object" },
    access = function(conf, ctx)
        ngx.req.read_body()
        local file = ngx.req.get_body_file()
        local source = file and assert(io.open(file, "rb"))
        local bytes, crc = 0, nil
        if source then
            local first = source:read(16)
            bytes = source:seek("end")
            source:seek("set", bytes - 16)
            return 200, "file " .. bytes .. " " .. first .. source:read(16)
        end
        local body = ngx.req.get_body_data() or ""
        return 200, "memory " .. #body .. " " .. body:sub(1, 16) .. body:sub(-16)
    end }
"#;

#[test]
fn a_plugin_reads_a_body_that_is_too_large_for_memory_from_its_file() {
    let prefix = Prefix::new("moongate: {add_plugins: [reader]}");
    prefix.write("plugins/reader.lua", READER);
    prefix.objects("routes:\n  - {id: r, uri: /r, plugins: {reader: {}}}\n");
    let gateway = prefix.start();
    for (bytes, place) in [(1000, "memory"), (1_000_000, "memory"), ((64 << 20) + 1, "file")] {
        let body = body(bytes);
        let expected = format!("{place} {bytes} {}{}", &body[..16], &body[bytes - 16..]);
        for request in both("/r", &body) {
            let (status, _, answer) = ask(gateway.prefix.port, &request).unwrap();
            assert_eq!((status, answer), (200, expected.clone()), "{}", gateway.log());
        }
    }
}

#[test]
fn a_client_that_leaves_while_a_plugin_reads_is_no_error_of_the_plugin() {
    let prefix = Prefix::new("moongate: {add_plugins: [reader]}");
    prefix.write("plugins/reader.lua", READER);
    prefix.objects("routes:\n  - {id: r, uri: /r, plugins: {reader: {}}}\n");
    let gateway = prefix.start();
    let mut client = TcpStream::connect(("127.0.0.1", gateway.prefix.port)).unwrap();
    client.write_all((head("/r", "Content-Length: 100\r\n") + "half").as_bytes()).unwrap();
    drop(client);
    gateway.logs("the request body cannot be read: client closed the connection");
    assert!(until(|| gateway.prefix.read("logs/access.log").contains(" 499 ")));
    assert!(!gateway.log().contains("runtime error"), "{}", gateway.log());
}

#[test]
fn trailers_go_upstream_but_not_those_that_could_harm() {
    let (port, seen) = recorder("X-Last: yes\r\n\r\n");
    let objects = format!(
        "routes:\n  - {{id: t, uri: /t, upstream: {{nodes: {{\"127.0.0.1:{port}\": 1}}}}}}"
    );
    let gateway = Gateway::with(&objects);
    let trailers = "X-Sum: 42\r\nX-Hop: 1\r\nTransfer-Encoding: x\r\nContent-Length: 5\r\n\
                    Host: inner\r\nAuthorization: Basic eA==\r\nX-Forwarded-For: 1.1.1.1\r\n\
                    Cookie: a=b\r\nX-Last: yes\r\n";
    let more = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: X-Hop\r\n";
    let request = head("/t", more).replacen("Connection: close\r\n", "", 1);
    let request = request.replacen("Connection: X-Hop", "Connection: close, X-Hop", 1);
    let sent = request + &chunked("hello", trailers);
    assert_eq!(ask(gateway.prefix.port, &sent).unwrap().0, 200);
    let all = seen.recv_timeout(PATIENCE).unwrap();
    let (head, rest) = all.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nTrailer: X-Sum") && head.contains("chunked"), "{head}");
    assert_eq!(rest, "5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Last: yes\r\n\r\n");
}

#[test]
fn one_failed_connect_is_one_line_in_the_log() {
    let dead = |count: usize| {
        let ports: Vec<u16> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
            .collect();
        ports
    };
    for nodes in [1, 3] {
        let gateway = Gateway::with(&buffering(&dead(nodes), ""));
        let request = &both("/b", "hello")[0];
        assert_eq!(ask(gateway.prefix.port, request).unwrap().0, 502);
        assert!(until(|| gateway.prefix.read("logs/access.log").contains(" 502 ")));
        let log = gateway.log();
        assert_eq!(log.matches("connect() to").count(), nodes, "{log}");
    }
}

fn streaming(port: u16) -> String {
    format!("routes:\n  - {{id: s, uri: /s, upstream: {{nodes: {{\"127.0.0.1:{port}\": 1}}}}}}\n")
}

#[test]
fn a_small_body_that_is_there_leaves_together_with_its_head() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::with(&streaming(listener.local_addr().unwrap().port()));
    // The node waits in `read` on connections that stay, so that it sees most heads that come
    // alone, each of which would leave its body for the next read.
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut piece = vec![0; 65536];
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    let _ = tell.send(String::from_utf8_lossy(&piece[..read]).into_owned());
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            });
        }
    });
    let request = &both("/s", "a body of few bytes")[0];
    for _ in 0..200 {
        assert_eq!(ask(gateway.prefix.port, request).unwrap().0, 200);
        let read = told.recv_timeout(PATIENCE).unwrap();
        assert!(read.ends_with("\r\n\r\na body of few bytes"), "{read}");
    }
}

#[test]
fn a_body_that_is_not_there_yet_is_not_waited_for() {
    for early in ["", "early "] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Gateway::with(&streaming(listener.local_addr().unwrap().port()));
        let mut client = TcpStream::connect(("127.0.0.1", gateway.prefix.port)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = format!("Content-Length: {}\r\n", early.len() + 4);
        client.write_all((head("/s", &length) + early).as_bytes()).unwrap();

        let (mut node, _) = listener.accept().unwrap();
        node.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut all, mut piece) = (Vec::new(), [0; 65536]);
        let ending = |all: &[u8], end: &str| all.ends_with(end.as_bytes());
        while !ending(&all, &format!("\r\n\r\n{early}")) {
            let read = node.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&piece[..read]);
        }
        client.write_all(b"late").unwrap();
        while !ending(&all, &format!("\r\n\r\n{early}late")) {
            let read = node.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&piece[..read]);
        }
        node.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn a_small_body_is_sent_once_more_whole() {
    let (port, seen) = recorder("THE END");
    let nodes = format!("{{\"127.0.0.1:{}\": 1, \"127.0.0.1:{port}\": 1}}", quitter());
    let gateway =
        Gateway::with(&format!("routes:\n  - {{id: s, uri: /s, upstream: {{nodes: {nodes}}}}}\n"));
    for _ in 0..4 {
        // PUT may be repeated although the first node has seen all of it.
        let request = both("/s", "from start to THE END")[0].replacen("POST", "PUT", 1);
        assert_eq!(ask(gateway.prefix.port, &request).unwrap().0, 200, "{}", gateway.log());
        let all = seen.recv_timeout(PATIENCE).unwrap();
        assert!(all.ends_with("\r\n\r\nfrom start to THE END"), "{all}");
    }
    assert!(gateway.log().contains("prematurely closed"), "{}", gateway.log());
}
