//! Servers that speak HTTP/2 and are no etcd, or one that lost its mind.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::seen::{Tried, options};

type Fields = &'static [(&'static str, &'static str)];

const GOOD: Fields = &[("grpc-status", "0")];

/// What a server answers to everything.
#[derive(Clone)]
struct Said {
    status: u16,
    fields: Fields,
    trailers: Option<Fields>,
    body: Vec<u8>,
}

struct Frames(VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn map(fields: Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.insert(*name, value.parse().unwrap());
    }
    map
}

fn answer(said: &Said) -> Response<Frames> {
    let mut frames = VecDeque::from([Frame::data(Bytes::from(said.body.clone()))]);
    frames.extend(said.trailers.map(|trailers| Frame::trailers(map(trailers))));
    let mut response = Response::new(Frames(frames));
    *response.status_mut() = said.status.try_into().unwrap();
    *response.headers_mut() = map(said.fields);
    response
}

/// Serves until the process ends; returns its URL.
fn server(said: Said) -> String {
    let (tell, port) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let said = said.clone();
                let service = service_fn(move |_: Request<Incoming>| {
                    let response = answer(&said);
                    async move { Ok::<_, Infallible>(response) }
                });
                let builder = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    format!("http://127.0.0.1:{}", port.recv().unwrap())
}

#[test]
fn nonsense_is_refused_with_the_reason() {
    let body = |body: &[u8]| Said {
        status: 200,
        fields: &[("content-type", "application/grpc")],
        trailers: Some(GOOD),
        body: body.to_vec(),
    };
    // A status: version 9.9.9 of leader 5.
    let good = b"\0\0\0\0\x09\x12\x059.9.9\x20\x05";
    let cases = [
        (body(b"\0\xff\xff\xff\xff"), "an answer of 4294967295 bytes is larger than we take"),
        (body(b"\x01\0\0\0\x01x"), "answers compressed"),
        (body(b"\0\0\0\0\x04\xff\xff\xff\xff"), "Protobuf"),
        (body(b"\0\0\0\0\x09abc"), "ends in the middle"),
        (body(b""), "there is no answer"),
        (body(&[&good[..], &good[..]].concat()), "answers twice"),
        (Said { trailers: None, ..body(good) }, "ends in the middle"),
        (Said { trailers: Some(&[("grpc-status", "x")]), ..body(good) }, "status of gRPC"),
        (Said { status: 404, ..body(b"") }, "answers 404 Not Found, not as etcd does"),
        (
            Said { fields: &[("grpc-status", "14"), ("grpc-message", "no%20leader")], ..body(b"") },
            "no leader",
        ),
        (body(b"\0\0\0\0\x07\x12\x053.3.9"), "there is no leader"),
        (body(b"\0\0\0\0\x09\x12\x053.3.9\x20\x05"), "is etcd 3.3.9, and 3.4 or later is needed"),
        // Says that it is an etcd, and the same again when asked for keys.
        (body(good), "decode Protobuf message: RangeResponse"),
        (body(b"\0\0\0\0\x02\x20\x05"), "an answer without a header"),
    ];
    let tried: Vec<_> = cases
        .into_iter()
        .map(|(said, why)| (Tried::new(options(&[server(said)]), None), why))
        .collect();
    for (tried, why) in tried {
        tried.until("it is told", |seen| seen.lost.is_some());
        let lost = tried.seen.lock().unwrap().lost.clone().unwrap();
        assert!(lost.contains(why), "{lost}: not {why}");
        assert_eq!(tried.seen.lock().unwrap().alls(), 0);
    }
}
