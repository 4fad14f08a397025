//! Clients that mean harm: whatever they send, memory stays bounded and others are served.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    rig::{Gateway, get},
    wire::{self, Raw},
};

/// What a flood may add, in KiB: windows, buffers and requests of one connection.
const GROWTH_KIB_MAX: u64 = 24 << 10;

/// Fails unless memory is bounded and requests are served.
async fn check(gateway: &Gateway, before_kib: u64) {
    let mut client = gateway.client().await;
    assert_eq!(client.send_request(get(gateway, "/echo")).await.unwrap().status(), 200);
    let after = gateway.memory_kib();
    assert!(after < before_kib + GROWTH_KIB_MAX, "{before_kib} -> {after} KiB");
}

/// A gateway that has served, and its memory.
async fn warm() -> (Gateway, u64) {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    for _ in 0..200 {
        assert_eq!(client.send_request(get(&gateway, "/echo")).await.unwrap().status(), 200);
    }
    let memory = gateway.memory_kib();
    (gateway, memory)
}

#[tokio::test]
async fn resets_faster_than_they_are_looked_at_end_the_connection() {
    let (gateway, before) = warm().await;
    let head = gateway.head("GET", "/never");
    let mut ended = 0;
    for _ in 0..20 {
        let mut raw = Raw::connect(&gateway).await;
        let mut flood = Vec::new();
        for stream in (1..2000).step_by(2) {
            flood.extend(wire::headers(stream, wire::END_HEADERS | wire::END_STREAM, &head));
            flood.extend(wire::frame(wire::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        let _ = raw.flood(&flood).await;
        let goaway = raw.until(|frame| frame.kind == wire::GOAWAY).await;
        let calm = goaway.last().is_none_or(|frame| frame.payload[4..8] == 11_u32.to_be_bytes());
        assert!(calm, "{goaway:?}");
        ended += 1;
    }
    assert_eq!(ended, 20);
    check(&gateway, before).await;
}

#[tokio::test]
async fn resets_one_by_one_hold_nothing() {
    let (gateway, before) = warm().await;
    let head = gateway.head("GET", "/never");
    let mut raw = Raw::connect(&gateway).await;
    let began = Instant::now();
    let mut stream = 1;
    while began.elapsed() < Duration::from_secs(3) {
        let open = wire::headers(stream, wire::END_HEADERS | wire::END_STREAM, &head);
        if !raw.flood(&open).await {
            break;
        }
        // Long enough for the gateway to have taken the request.
        sleep(Duration::from_millis(1)).await;
        if !raw.flood(&wire::frame(wire::RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await {
            break;
        }
        stream += 2;
    }
    assert!(stream > 500, "{stream}");
    let log = gateway.logged(" 499 ").await;
    assert!(log.contains("GET /never HTTP/2.0"), "{log}");
    check(&gateway, before).await;
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let (gateway, before) = warm().await;
    let mut raw = Raw::connect(&gateway).await;
    raw.send(&wire::headers(1, 0, &gateway.head("GET", "/echo"))).await;
    let piece = wire::frame(wire::CONTINUATION, 0, 1, &wire::field("x", "y").repeat(3000));
    let mut sent = 0;
    while sent < 64 << 20 && raw.flood(&piece).await {
        sent += piece.len();
    }
    assert!(sent < 16 << 20, "{sent} bytes of one head were taken");
    check(&gateway, before).await;
}

#[tokio::test]
async fn empty_continuations_are_cut_off() {
    let (gateway, before) = warm().await;
    let mut raw = Raw::connect(&gateway).await;
    raw.send(&wire::headers(1, 0, &gateway.head("GET", "/echo"))).await;
    let pieces = wire::frame(wire::CONTINUATION, 0, 1, &[]).repeat(1000);
    let mut sent = 0;
    while sent < 10_000 && raw.flood(&pieces).await {
        sent += 1;
    }
    assert!(sent < 10_000, "{sent} thousand frames were taken");
    check(&gateway, before).await;
}

#[tokio::test]
async fn pings_and_settings_that_nobody_reads_pile_up_nowhere() {
    let (gateway, before) = warm().await;
    let ping = wire::frame(wire::PING, 0, 0, &[7; 8]).repeat(1000);
    let settings = wire::frame(wire::SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]).repeat(1000);
    for flood in [ping, settings] {
        let mut raw = Raw::connect(&gateway).await;
        let mut sent = 0;
        // The answers are not read: at some point the gateway has to stop reading, too.
        while sent < 64 << 20 && raw.flood(&flood).await {
            sent += flood.len();
        }
        assert!(sent < 64 << 20, "the flood was never held up");
        check(&gateway, before).await;
    }
}

#[tokio::test]
async fn a_client_that_never_opens_its_window_is_reset() {
    let (gateway, before) = warm().await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    let mut raw = Raw::connect_with(&gateway, &[0, 4, 0, 0, 0, 0]).await;
    let head = gateway.head("GET", "/echo/huge");
    for stream in (1..40).step_by(2) {
        raw.send(&wire::headers(stream, wire::END_HEADERS | wire::END_STREAM, &head)).await;
    }
    let mut reset = 0;
    while reset < 20 {
        let frame = raw.find(|frame| frame.kind == wire::RST_STREAM).await.unwrap();
        assert_eq!(frame.payload, 8_u32.to_be_bytes(), "CANCEL");
        reset += 1;
    }
    check(&gateway, before).await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let (gateway, before) = warm().await;
    let mut raw = Raw::connect(&gateway).await;
    let head = gateway.head("GET", "/never");
    for stream in (1..400).step_by(2) {
        raw.send(&wire::headers(stream, wire::END_HEADERS | wire::END_STREAM, &head)).await;
    }
    // REFUSED_STREAM, beginning with the 129th.
    let refused = raw.find(|frame| frame.kind == wire::RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, &refused.payload[..]), (257, &7_u32.to_be_bytes()[..]));
    check(&gateway, before).await;
}

#[tokio::test]
async fn garbage_behind_the_preface_ends_the_connection() {
    let (gateway, before) = warm().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        &[0xff; 64][..],
        &wire::frame(wire::DATA, 0, 1, b"for no stream"),
        &wire::headers(2, wire::END_HEADERS, &gateway.head("GET", "/echo")),
        &wire::headers(1, wire::END_HEADERS, &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff]),
        &wire::frame(wire::SETTINGS, 0, 0, &[0; 5]),
    ] {
        let mut raw = Raw::connect(&gateway).await;
        raw.send(garbage).await;
        while raw.next().await.is_some() {}
    }
    check(&gateway, before).await;
}
