//! HTTP/2 from a client to the built gateway, as a child process.
//!
//! `rig` starts the gateway and an upstream; `wire` writes frames by hand for what no
//! well-behaved client would send.

mod hostile;
mod rig;
mod wire;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Frame;
use tokio::{task::JoinSet, time::timeout};

use rig::{Gateway, get, text};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_request_arrives_upstream_and_its_answer_comes_back() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let request = Request::get(gateway.uri("/echo/a%20b?q=1"))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-own", "kept")
        .body(rig::empty())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
    let headers = response.headers().clone();
    for name in ["connection", "transfer-encoding", "keep-alive"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    for name in ["date", "server", "content-length"] {
        assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
    }
    let echoed = text(response).await;
    let lower = echoed.to_ascii_lowercase();
    assert!(echoed.starts_with("GET /echo/a%20b?q=1 HTTP/1.1\r\n"), "{echoed}");
    let host = format!("\r\nhost: 127.0.0.1:{}\r\n", gateway.port);
    for line in [&host[..], "\r\ncookie: a=1; b=2\r\n", "\r\nx-own: kept\r\n"] {
        assert!(lower.contains(line), "{line:?} in {echoed}");
    }
    assert!(!lower.contains("\r\nte:"), "{echoed}");
    let log = gateway.logged("HTTP/2.0").await;
    assert!(log.contains("\"GET /echo/a%20b?q=1 HTTP/2.0\" 200"), "{log}");
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    for (method, path, status) in
        [(Method::HEAD, "/echo", 200), (Method::GET, "/none", 204), (Method::GET, "/zero", 200)]
    {
        let request =
            Request::builder().method(method).uri(gateway.uri(path)).body(rig::empty()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().contains_key("content-length"), status != 204, "{path}");
        assert!(hyper::body::Body::is_end_stream(response.body()), "{path}");
    }
}

#[tokio::test]
async fn refusals_have_the_status_that_http_1_gives() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let nowhere = client.send_request(get(&gateway, "/nowhere")).await.unwrap();
    assert_eq!(nowhere.status(), 404);
    assert!(text(nowhere).await.contains("404 Route Not Found"));
    let dead = client.send_request(get(&gateway, "/dead")).await.unwrap();
    assert_eq!(dead.status(), 502);
    let bad = client.send_request(get(&gateway, "/echo/%zz")).await.unwrap();
    assert_eq!(bad.status(), 400);
    let long = format!("/echo?{}", "x".repeat(9000));
    assert_eq!(client.send_request(get(&gateway, &long)).await.unwrap().status(), 414);
    let mut wide = get(&gateway, "/echo");
    wide.headers_mut().insert("x-wide", "x".repeat(9000).parse().unwrap());
    assert_eq!(client.send_request(wide).await.unwrap().status(), 431);
    let mut large = get(&gateway, "/echo");
    for n in 0..6 {
        let name: http::HeaderName = format!("x-{n}").parse().unwrap();
        large.headers_mut().insert(name, "x".repeat(6000).parse().unwrap());
    }
    let large = client.send_request(large).await;
    assert!(large.is_err() || large.unwrap().status() == 431);
    let mut connect = get(&gateway, "/echo");
    *connect.method_mut() = Method::CONNECT;
    *connect.uri_mut() = "example.com:443".parse().unwrap();
    assert_eq!(client.send_request(connect).await.unwrap().status(), 405);
    assert_eq!(client.send_request(get(&gateway, "/echo")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_refused_by_its_length_is_still_answered() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let body = Full::new(Bytes::from(vec![b'x'; 2 << 20])).boxed();
    let request = Request::post(gateway.uri("/nowhere")).body(body).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 404);
    let body = Full::new(Bytes::from(vec![b'x'; 5 << 20])).boxed();
    let request = Request::post(gateway.uri("/echo")).body(body).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(client.send_request(get(&gateway, "/echo")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_upload_that_nobody_reads_ends_without_a_reset() {
    let gateway = Gateway::start("").await;
    let mut raw = wire::Raw::connect(&gateway).await;
    // POST without END_STREAM, answered 404 at once; the body follows.
    raw.send(&wire::headers(1, wire::END_HEADERS, &gateway.head("POST", "/nowhere"))).await;
    let ended = raw.find(|frame| frame.stream == 1 && frame.flags & wire::END_STREAM != 0).await;
    assert!(ended.is_some());
    raw.send(&wire::frame(wire::DATA, wire::END_STREAM, 1, &[b'x'; 1000])).await;
    raw.send(&wire::headers(
        3,
        wire::END_HEADERS | wire::END_STREAM,
        &gateway.head("GET", "/echo"),
    ))
    .await;
    let frames = raw.until(|frame| frame.stream == 3 && frame.flags & wire::END_STREAM != 0).await;
    assert!(!frames.iter().any(|frame| frame.kind == wire::RST_STREAM), "{frames:?}");
}

#[tokio::test]
async fn a_port_speaks_both_protocols_at_once() {
    let gateway = Gateway::start("").await;
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let mut two = gateway.client().await;
        let mut one = gateway.client_of_http_1().await;
        let (second, first) = (gateway.uri("/echo/2"), gateway.uri("/echo/1"));
        all.spawn(async move {
            for _ in 0..50 {
                let request = Request::get(&second).body(rig::empty()).unwrap();
                let response = two.send_request(request).await.unwrap();
                assert!(text(response).await.starts_with("GET /echo/2"));
            }
        });
        all.spawn(async move {
            for _ in 0..50 {
                let mut request = Request::get(&first).body(rig::empty()).unwrap();
                request.headers_mut().insert("host", "h".parse().unwrap());
                // An offer to switch to h2c is not taken.
                request.headers_mut().insert("upgrade", "h2c".parse().unwrap());
                request
                    .headers_mut()
                    .insert("connection", "upgrade, http2-settings".parse().unwrap());
                request.headers_mut().insert("http2-settings", "AAMAAABk".parse().unwrap());
                let response = one.send_request(request).await.unwrap();
                assert_eq!(
                    (response.status(), response.version()),
                    (StatusCode::OK, Version::HTTP_11)
                );
                assert!(text(response).await.starts_with("GET /echo/1"));
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn no_request_fails_under_many_streams() {
    let gateway = Gateway::start("").await;
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let client = gateway.client().await;
        for _ in 0..50 {
            let (mut client, uri) = (client.clone(), gateway.uri("/echo"));
            all.spawn(async move {
                for _ in 0..5 {
                    client.ready().await.unwrap();
                    let request = Request::get(&uri).body(rig::empty()).unwrap();
                    let response = client.send_request(request).await.unwrap();
                    assert!(text(response).await.starts_with("GET /echo "));
                }
            });
        }
    }
    let mut done = 0;
    while let Some(result) = timeout(SOON * 6, all.join_next()).await.unwrap() {
        result.unwrap();
        done += 1;
    }
    assert_eq!(done, 1000);
}

#[tokio::test]
async fn trailers_come_through_as_grpc_needs_them() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let body = rig::Frames(receiver).boxed();
    let request = Request::post(gateway.uri("/grpc.Service/Method"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = tokio::spawn(client.send_request(request));
    for piece in ["first ", "second ", "third"] {
        sender.send(Frame::data(Bytes::from(piece))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-request-trailer", "42".parse().unwrap());
    trailers.insert("authorization", "not from behind".parse().unwrap());
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let response = response.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let all = response.into_body().collect().await.unwrap();
    let trailers = all.trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["grpc-message"], "fine");
    assert_eq!(trailers["x-seen"], "x-request-trailer: 42", "what the node got behind the body");
    assert_eq!(all.to_bytes(), "first second third");
}

#[tokio::test]
async fn a_body_does_not_wait_for_the_leave_that_never_comes() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let request = Request::post(gateway.uri("/echo"))
        .header("expect", "100-continue")
        .body(Full::new(Bytes::from("sent without leave")).boxed())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let echoed = text(response).await.to_ascii_lowercase();
    assert!(!echoed.contains("\r\nexpect:"), "{echoed}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_unharmed() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).take(3 << 20).collect();
    let request = Request::post(gateway.uri("/mirror"))
        .body(Full::new(Bytes::from(body.clone())).boxed())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], body.len().to_string());
    let mirrored = response.into_body().collect().await.unwrap().to_bytes();
    assert!(mirrored == body, "{} of {} bytes", mirrored.len(), body.len());
}

#[tokio::test]
async fn a_client_that_resets_its_stream_ends_the_work_for_it() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    // One stream waits for the head of an answer, the other for more of a body.
    for (path, status) in [("/never", "499"), ("/drip", "200")] {
        let request = get(&gateway, path);
        let sent = client.send_request(request);
        match path {
            "/never" => drop(timeout(Duration::from_millis(200), sent).await),
            _ => drop(sent.await.unwrap()),
        }
        let cut = gateway.upstream.cut().await;
        assert_eq!(cut, path);
        let log = gateway.logged(path).await;
        assert!(log.contains(&format!("{path} HTTP/2.0\" {status} ")), "{log}");
    }
    assert_eq!(client.send_request(get(&gateway, "/echo")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_resets_only_its_stream() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let response = client.send_request(get(&gateway, "/broken")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
    let switched = client.send_request(get(&gateway, "/switch")).await.unwrap();
    assert_eq!(switched.status(), 502);
    assert_eq!(client.send_request(get(&gateway, "/echo")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn stopping_finishes_what_runs_and_says_goaway() {
    let mut gateway = Gateway::start("").await;
    let mut busy = gateway.client().await;
    let mut idle = wire::Raw::connect(&gateway).await;
    let slow = tokio::spawn(busy.send_request(get(&gateway, "/slow")));
    gateway.upstream.seen("/slow").await;
    gateway.signal("QUIT");
    let goaway = idle.find(|frame| frame.kind == wire::GOAWAY).await.unwrap();
    assert_eq!(goaway.payload[4..8], [0; 4], "NO_ERROR");
    let response = timeout(SOON, slow).await.unwrap().unwrap().unwrap();
    assert_eq!(text(response).await, "slow but sure");
    drop((busy, idle));
    let began = Instant::now();
    assert!(gateway.ended().await.success());
    assert!(began.elapsed() < SOON);
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let gateway = Gateway::start("keepalive_timeout: 1s").await;
    let mut raw = wire::Raw::connect(&gateway).await;
    raw.send(&wire::headers(
        1,
        wire::END_HEADERS | wire::END_STREAM,
        &gateway.head("GET", "/echo"),
    ))
    .await;
    assert!(raw.find(|frame| frame.flags & wire::END_STREAM != 0).await.is_some());
    let began = Instant::now();
    assert!(raw.find(|frame| frame.kind == wire::GOAWAY).await.is_some());
    assert!(raw.find(|_| false).await.is_none(), "closed");
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(800) && waited < SOON, "{waited:?}");
}

#[tokio::test]
async fn what_a_plugin_answers_needs_no_upstream() {
    let gateway = Gateway::start("").await;
    let mut client = gateway.client().await;
    let request = Request::get(gateway.uri("/mock")).body(Empty::new().boxed()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "from a plugin");
}
