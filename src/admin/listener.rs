//! The port of the Admin API: hyper's HTTP/1 in front of [`Admin::serve`].

use std::{
    cell::Cell, convert::Infallible, io, net::IpAddr, pin::pin, rc::Rc, sync::Arc, thread,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Body as _, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time,
};

use super::{Admin, BODY_BYTES_MAX, BodyError};

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take for a head.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Bytes of a head, and of a body that were received and not yet read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take for a body.
const BODY_TIME: Duration = Duration::from_secs(120);

/// Bytes of a body too large that are read all the same.
const DRAINED_MAX: usize = 16 * 1024 * 1024;

/// How long a client whose request is refused may take for the body that nobody wants.
const UNWANTED_TIME: Duration = Duration::from_secs(5);

/// After how long the port is tried again when the system has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `sockets` on a thread of its own, for as long as the process lives.
///
/// # Errors
///
/// The thread cannot be made, or a socket cannot be used.
pub fn spawn(admin: Arc<Admin>, sockets: Vec<std::net::TcpListener>) -> io::Result<()> {
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        let local = tokio::task::LocalSet::new();
        let room = Rc::new(Semaphore::new(CONNECTIONS_MAX));
        for socket in sockets {
            local.spawn_local(accept(Arc::clone(&admin), socket, Rc::clone(&room)));
        }
        runtime.block_on(local);
    };
    thread::Builder::new().name("admin-http".into()).spawn(run).map(drop)
}

async fn accept(admin: Arc<Admin>, socket: std::net::TcpListener, room: Rc<Semaphore>) {
    let Ok(listener) = TcpListener::from_std(socket) else { return };
    loop {
        let Ok(place) = room.acquire().await else { return };
        let Ok((stream, address)) = listener.accept().await else {
            drop(place);
            time::sleep(PAUSE).await;
            continue;
        };
        place.forget();
        let (admin, room) = (Arc::clone(&admin), Rc::clone(&room));
        tokio::task::spawn_local(async move {
            let _ = stream.set_nodelay(true);
            serve(&admin, stream, address.ip()).await;
            room.add_permits(1);
        });
    }
}

/// Serves one connection, on whatever carries its bytes.
pub async fn serve<S>(admin: &Arc<Admin>, stream: S, address: IpAddr)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = Cell::new(Some(body));
        let read = async |bytes_max| match body.take() {
            Some(body) => collect(&parts, body, bytes_max).await,
            None => Ok(Bytes::new()),
        };
        let mut response = admin.serve(address, &parts, read).await;
        if let Some(unwanted) = body.take()
            && !is_drained(&parts, unwanted).await
        {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response.map(Full::new))
    });
    // What a client of this listener breaks is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Whether the body of a request that was refused before it was read is out of the way. hyper closes
/// a connection with one in it, without having said so in the answer.
async fn is_drained(parts: &Parts, body: Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let told = body.size_hint().lower();
    if parts.headers.contains_key("expect") || told > BODY_BYTES_MAX as u64 {
        return false;
    }
    let mut body = pin!(body);
    let read = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            read += frame.ok()?.data_ref().map_or(0, Bytes::len);
            if read > BODY_BYTES_MAX {
                return None;
            }
        }
        Some(())
    };
    matches!(time::timeout(UNWANTED_TIME, read).await, Ok(Some(())))
}

/// Reads a body. One that is too large is refused, and what its client sends all the same is read
/// up to a bound, since a closed connection would take the answer away with it.
async fn collect(parts: &Parts, body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let told = body.size_hint().lower();
    let waits = parts.headers.contains_key("expect");
    if told > bytes_max as u64 && (waits || told > DRAINED_MAX as u64) {
        return Err(BodyError::TooLarge(told));
    }
    let read = time::timeout(BODY_TIME, take(body, bytes_max));
    match read.await.unwrap_or_else(|_| Err(BodyError::Broken("it took too long".to_owned()))) {
        Err(BodyError::TooLarge(read)) => Err(BodyError::TooLarge(told.max(read))),
        other => other,
    }
}

async fn take(body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read <= bytes_max {
            bytes.extend_from_slice(&data);
        } else if read > DRAINED_MAX.max(bytes_max) {
            break;
        } else {
            bytes = BytesMut::new();
        }
    }
    if read > bytes_max { Err(BodyError::TooLarge(read as u64)) } else { Ok(bytes.freeze()) }
}
