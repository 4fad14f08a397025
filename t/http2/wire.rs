//! Frames of HTTP/2 written and read by hand.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::rig::Gateway;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// How long a frame may take to come.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 9);
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A HEADERS frame.
pub(super) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

/// A field without indexing, name and value as they are.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127);
        out.push(u8::try_from(text.len()).unwrap());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// A connection that does what it is told.
pub(super) struct Raw {
    pub(super) stream: TcpStream,
}

impl Raw {
    /// Connects, with empty settings.
    pub(super) async fn connect(gateway: &Gateway) -> Self {
        Self::connect_with(gateway, &[]).await
    }

    /// Connects, with these settings.
    pub(super) async fn connect_with(gateway: &Gateway, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", gateway.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self { stream };
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, settings)).await;
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        raw
    }

    /// Sends bytes that must arrive.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes; false once the peer does not take them any more.
    pub(super) async fn flood(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(Duration::from_secs(2), self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next frame; `None` at the end of the connection. Pings are answered.
    pub(super) async fn next(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.stream.read_exact(&mut head)).await.expect("a frame").ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        timeout(PATIENCE, self.stream.read_exact(&mut payload)).await.expect("a payload").ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let received = Received { kind: head[3], flags: head[4], stream, payload };
        if received.kind == PING && received.flags & ACK == 0 {
            // The other end may be gone already; the next read tells.
            let _ = self.stream.write_all(&frame(PING, ACK, 0, &received.payload)).await;
        }
        Some(received)
    }

    /// Reads until a frame is what `wanted` says; `None` at the end of the connection.
    pub(super) async fn find(&mut self, wanted: impl Fn(&Received) -> bool) -> Option<Received> {
        loop {
            let received = self.next().await?;
            if wanted(&received) {
                return Some(received);
            }
        }
    }

    /// All frames up to the one that `wanted` says, or to the end.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Received) -> bool) -> Vec<Received> {
        let mut all = Vec::new();
        while let Some(received) = self.next().await {
            let last = wanted(&received);
            all.push(received);
            if last {
                break;
            }
        }
        all
    }
}
