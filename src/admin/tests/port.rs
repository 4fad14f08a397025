//! The listener: the table once more, over real connections, and what only a connection can do.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use super::{super::listener, ADMIN_KEY, Bench, VIEWER_KEY, table::cases};

#[path = "../../../t/admin/client.rs"]
mod client;

use client::Client;

fn start() -> SocketAddr {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    listener::spawn(Arc::new(Bench::new().admin), vec![socket]).unwrap();
    address
}

#[test]
fn every_case_is_answered_over_http() {
    let mut client = Client::connect(start(), ADMIN_KEY, VIEWER_KEY).unwrap();
    let mut wrong = Vec::new();
    for case in cases::all() {
        client.clean().unwrap();
        if let Err(why) = case.run(&mut |ask| client.send(ask).unwrap()) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// What comes back for these bytes until the connection ends.
fn raw(bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(start()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_body_too_large_is_refused_before_it_is_sent() {
    let head = format!(
        "PUT /apisix/admin/routes/1 HTTP/1.1\r\nhost: a\r\nx-api-key: {ADMIN_KEY}\r\n\
         expect: 100-continue\r\ncontent-length: 999999999999\r\nconnection: close\r\n\r\n"
    );
    let answer = raw(head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("request size 999999999999 is greater than"), "{answer}");
}

#[test]
fn a_body_of_unknown_length_is_bounded() {
    let mut bytes = format!(
        "PUT /apisix/admin/routes/1 HTTP/1.1\r\nhost: a\r\nx-api-key: {ADMIN_KEY}\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..25 {
        bytes.extend_from_slice(b"10000\r\n");
        bytes.extend_from_slice(&[b' '; 0x10000]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(&bytes);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("is greater than the maximum size 1572864"), "{answer}");
}

/// Sends the request and then, in pieces, its body; returns what comes back until the connection
/// ends or as much as two answers came.
fn refused(body: &[u8]) -> String {
    let mut stream = TcpStream::connect(start()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "PUT /apisix/admin/routes/1 HTTP/1.1\r\nhost: a\r\nx-api-key: wrong\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4096];
    std::thread::sleep(Duration::from_millis(100));
    // What cannot be sent was refused with the connection.
    if stream.write_all(body).is_ok() {
        let next = b"HEAD /apisix/admin HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(next);
    }
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    text
}

#[test]
fn a_refused_request_does_not_break_its_connection_and_a_broken_one_is_announced() {
    let answers = refused(&[b' '; 100_000]);
    assert!(answers.starts_with("HTTP/1.1 401 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
    let answers = refused(&vec![b' '; 20 << 20]);
    assert!(answers.is_empty() || answers.contains("connection: close"), "{answers}");
    assert!(!answers.contains("HTTP/1.1 200 "), "{answers}");
}

#[test]
fn what_is_no_http_is_not_answered_with_more_than_that() {
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        let answer = raw(bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}
