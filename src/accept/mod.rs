//! Connections from clients: taking them, speaking HTTP with them, letting them go.

pub mod h1;
mod h1_sink;
mod h2;
pub mod listener;
mod stage;

use std::{
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    exchange::ConnInfo,
    gate::Gate,
    sys::conn::{Conn, Io},
};

static SERIAL: AtomicU64 = AtomicU64::new(1);
static REQUEST: AtomicU64 = AtomicU64::new(1);

/// The number of the next request of this process.
fn next_request() -> u64 {
    REQUEST.fetch_add(1, Ordering::Relaxed)
}

/// Serves one accepted connection until it ends.
pub async fn serve(gate: Rc<Gate>, stream: tokio::net::TcpStream) {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let info = |http2| ConnInfo {
        serial,
        peer,
        peer_text: peer.ip().to_string().into(),
        local,
        tls: false,
        http2,
    };
    let conn = Conn::new(Io::Tcp(stream), Some(peer));
    if let Some((conn, early)) = h1::serve(&gate, conn, Rc::new(info(false))).await {
        // On the heap, so that connections of HTTP/1 do not hold the room for it.
        Box::pin(h2::serve(&gate, conn, early, info(true))).await;
    }
}
