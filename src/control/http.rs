//! The listeners that are not the clients': status (7085), Control API (9090), metrics (9091).
//!
//! They run on one thread of their own, so that a scrape never holds up a worker.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::{api, board::Board, start};
use crate::{accept::listener, config::local::Local};

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn text(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert("content-type", kind);
    }
    response.headers_mut().insert("server", http::HeaderValue::from_static(crate::SERVER));
    response
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    text(status, "application/json", format!("{body}\n"))
}

pub(super) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "text/html", crate::rescue::html(404))
}

/// Answers one request to the status listener.
fn status(board: &Board, request: &Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/status" => json_answer(StatusCode::OK, &json!({"status": "ok"})),
        "/status/ready" => {
            let (status, body) = board.ready();
            json_answer(status, &body)
        }
        _ => not_found(),
    }
}

/// Which listener a request came to.
#[derive(Clone)]
enum Face {
    Status,
    Control,
    Metrics(Arc<str>),
}

async fn answer(
    board: Arc<Board>,
    face: Face,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    Ok(match face {
        Face::Status => status(&board, &request),
        Face::Control => api::answer(board, peer, request).await,
        Face::Metrics(uri) if request.uri().path() == &*uri => {
            text(StatusCode::OK, "text/plain; version=0.0.4", board.all_metrics())
        }
        Face::Metrics(_) => not_found(),
    })
}

/// Where metrics are exported: `plugin_attr.prometheus`.
fn export(local: &Local) -> Option<(SocketAddr, Arc<str>)> {
    if !local.plugins.iter().any(|plugin| plugin == "prometheus") {
        return None;
    }
    let attr = local.plugin_attr.get("prometheus");
    let of = |name: &str| attr.and_then(|attr| attr.get(name));
    if of("enable_export_server") == Some(&Value::Bool(false)) {
        return None;
    }
    let addr = of("export_addr");
    let ip = addr.and_then(|addr| addr.get("ip")?.as_str()?.parse().ok());
    let port = addr.and_then(|addr| u16::try_from(addr.get("port")?.as_u64()?).ok());
    let uri = of("export_uri").and_then(Value::as_str).unwrap_or("/apisix/prometheus/metrics");
    let ip = ip.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    Some((SocketAddr::new(ip, port.unwrap_or(9091)), Arc::from(uri)))
}

/// The listeners that `local` asks for.
fn faces(local: &Local) -> Vec<(SocketAddr, Face)> {
    let mut faces = vec![(SocketAddr::from(local.status), Face::Status)];
    faces.extend(local.control.map(|addr| (SocketAddr::from(addr), Face::Control)));
    faces.extend(export(local).map(|(addr, uri)| (addr, Face::Metrics(uri))));
    faces
}

/// Looks whether the listeners can be opened, before anything is served. With `takeover` the
/// process that is to end still has them.
///
/// # Errors
///
/// When a port is taken.
pub(super) fn probe(local: &Local, takeover: bool) -> Result<(), String> {
    for (addr, _) in faces(local) {
        listener::probe(addr, takeover).map_err(|error| start::taken(addr, &error))?;
    }
    Ok(())
}

/// Opens the listeners and serves them on a thread of their own.
///
/// # Errors
///
/// When a port is taken.
pub(super) fn serve(board: Arc<Board>, local: &Local) -> Result<(), String> {
    let mut sockets = Vec::new();
    for (addr, face) in faces(local) {
        let socket = listener::listen(addr).map_err(|error| start::taken(addr, &error))?;
        sockets.push((socket, face));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let run = move || {
        let local = tokio::task::LocalSet::new();
        for (socket, face) in sockets {
            local.spawn_local(accept(Arc::clone(&board), socket, face));
        }
        runtime.block_on(local);
    };
    thread::Builder::new()
        .name("control-http".into())
        .spawn(run)
        .map_err(|error| error.to_string())?;
    Ok(())
}

async fn accept(board: Arc<Board>, socket: std::net::TcpListener, face: Face) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (board, face) = (Arc::clone(&board), face.clone());
        tokio::task::spawn_local(async move {
            let service =
                service_fn(move |request| answer(Arc::clone(&board), face.clone(), peer, request));
            // What a client of these listeners breaks is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
