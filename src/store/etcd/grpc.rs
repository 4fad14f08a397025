//! As much of gRPC as etcd needs: single calls, and one stream in both directions.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. Messages are not compressed.
//! Nothing here knows of time; who calls says how long it waits.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http2::SendRequest,
};
use prost::Message;
use tokio::sync::mpsc;

use super::fail::Fail;
use crate::limits::ETCD_MESSAGE_BYTES_MAX;

/// Length and flag before each message.
const PREFIX_BYTES: usize = 5;

/// Messages that a stream has not sent yet.
const WAITING_MAX: usize = 8;

/// What we send: one message, or one and what comes later.
#[derive(Debug)]
pub(super) struct Outgoing {
    first: Option<Bytes>,
    more: Option<mpsc::Receiver<Bytes>>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.more {
            None => Poll::Ready(None),
            Some(more) => more.poll_recv(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }
}

/// A connection that calls go over; clones share it.
pub(super) type Sender = SendRequest<Outgoing>;

/// Which call, and as whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'t> {
    /// Scheme and authority: `http://127.0.0.1:2379`.
    pub(super) base: &'t str,
    /// `/etcdserverpb.KV/Range`
    pub(super) path: &'static str,
    /// What etcd gave us for name and password.
    pub(super) token: Option<&'t HeaderValue>,
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    // A write above 4 GiB would have ended long before.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Fails only if the buffer cannot grow, which this one can.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

async fn send(sender: &mut Sender, target: Target<'_>, body: Outgoing) -> Result<Incoming, Fail> {
    sender.ready().await.map_err(|error| Fail::NotSent(cause(&error)))?;
    let mut request = Request::post(format!("{}{}", target.base, target.path))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, concat!("moongate/", env!("CARGO_PKG_VERSION")))
        // A member that lost the others is to say so at once.
        .header("hasleader", "true");
    if let Some(token) = target.token {
        request = request.header("token", token);
    }
    let request = request.body(body).map_err(|error| Fail::NotSent(error.to_string()))?;
    let response =
        sender.send_request(request).await.map_err(|error| Fail::Broken(cause(&error)))?;
    if response.status() != 200 {
        return Err(Fail::Nonsense(format!("answers {}, not as etcd does", response.status())));
    }
    match status(response.headers())? {
        Some(Err(refused)) => Err(refused),
        _ => Ok(response.into_body()),
    }
}

/// The innermost reason, which says the most.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// The outcome that headers or trailers tell, if they do.
fn status(headers: &HeaderMap) -> Result<Option<Result<(), Fail>>, Fail> {
    let Some(code) = headers.get("grpc-status") else { return Ok(None) };
    let code = code.to_str().ok().and_then(|code| code.parse().ok());
    let code: u32 =
        code.ok_or_else(|| Fail::Nonsense("answers without a status of gRPC".to_owned()))?;
    if code == 0 {
        return Ok(Some(Ok(())));
    }
    let text = headers.get("grpc-message").map(|text| unescaped(text.as_bytes()));
    let text = text.filter(|text| !text.is_empty()).unwrap_or_else(|| format!("gRPC code {code}"));
    Ok(Some(Err(Fail::Refused { code, text })))
}

/// `%20` is a space.
fn unescaped(text: &[u8]) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let pair = (hex(after.first()), hex(after.get(1)));
        if let (b'%', (Some(high), Some(low))) = (first, pair) {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The messages of an answer.
#[derive(Debug)]
pub(super) struct Messages {
    body: Incoming,
    came: BytesMut,
    /// Whether etcd said that all went well, which is the last it says.
    ended: bool,
}

impl Messages {
    /// The next message; none after the last.
    ///
    /// Nothing is lost when it is dropped before it is done.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Fail> {
        loop {
            if let Some(message) = self.whole()? {
                let message = M::decode(message);
                return message.map(Some).map_err(|error| Fail::Nonsense(error.to_string()));
            }
            let frame = match self.body.frame().await {
                None if self.came.is_empty() && self.ended => return Ok(None),
                None => return Err(Fail::Broken("the answer ends in the middle".to_owned())),
                Some(Err(error)) => return Err(Fail::Broken(cause(&error))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => self.came.extend_from_slice(&data),
                Err(frame) => {
                    if let Some(trailers) = frame.trailers_ref()
                        && let Some(status) = status(trailers)?
                    {
                        status?;
                        self.ended = true;
                    }
                }
            }
        }
    }

    /// Takes the first message out of what came, if all of it did.
    fn whole(&mut self) -> Result<Option<Bytes>, Fail> {
        let Some((&[squeezed, a, b, c, d], _)) = self.came.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if squeezed != 0 {
            return Err(Fail::Nonsense("answers compressed, which nobody asked for".to_owned()));
        }
        if length > ETCD_MESSAGE_BYTES_MAX {
            return Err(Fail::TooLong(length));
        }
        if self.came.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.came.advance(PREFIX_BYTES);
        Ok(Some(self.came.split_to(length).freeze()))
    }
}

/// Asks once, and reads the one answer.
pub(super) async fn call<M: Message + Default>(
    sender: &mut Sender,
    target: Target<'_>,
    question: &impl Message,
) -> Result<M, Fail> {
    let body = Outgoing { first: Some(framed(question)), more: None };
    let body = send(sender, target, body).await?;
    let mut messages = Messages { body, came: BytesMut::new(), ended: false };
    let answer = messages.next().await?;
    let answer = answer.ok_or_else(|| Fail::Broken("there is no answer".to_owned()))?;
    // What comes after it decides whether it counts.
    match messages.next::<M>().await? {
        None => Ok(answer),
        Some(_) => Err(Fail::Nonsense("answers twice".to_owned())),
    }
}

/// A stream in both directions; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    say: mpsc::Sender<Bytes>,
    /// What etcd says.
    pub(super) messages: Messages,
}

impl Stream {
    /// Says one more thing. One that does not fit, since nothing was sent for long, is left out.
    pub(super) fn say(&self, message: &impl Message) {
        let _ = self.say.try_send(framed(message));
    }
}

/// Begins a stream with a first message.
pub(super) async fn open(
    sender: &mut Sender,
    target: Target<'_>,
    first: &impl Message,
) -> Result<Stream, Fail> {
    let (say, more) = mpsc::channel(WAITING_MAX);
    let body = Outgoing { first: Some(framed(first)), more: Some(more) };
    let body = send(sender, target, body).await?;
    Ok(Stream { say, messages: Messages { body, came: BytesMut::new(), ended: false } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_is_unescaped() {
        assert_eq!(unescaped(b"a%20b%3A %zz%4"), "a b: %zz%4");
        assert_eq!(unescaped(b"%ff"), "\u{FFFD}");
    }

    #[test]
    fn a_status_is_read_and_nonsense_is_not() {
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), Ok(None));
        headers.insert("grpc-status", HeaderValue::from_static("0"));
        assert_eq!(status(&headers), Ok(Some(Ok(()))));
        headers.insert("grpc-status", HeaderValue::from_static("11"));
        headers.insert("grpc-message", HeaderValue::from_static("has%20been"));
        let text = "has been".to_owned();
        assert_eq!(status(&headers), Ok(Some(Err(Fail::Refused { code: 11, text }))));
        headers.insert("grpc-status", HeaderValue::from_static("x"));
        assert!(matches!(status(&headers), Err(Fail::Nonsense(_))));
    }

    #[test]
    fn a_message_is_framed_with_its_length() {
        let message = super::super::proto::LeaseGrantRequest { ttl: 5 };
        assert_eq!(&framed(&message)[..], [0, 0, 0, 0, 2, 8, 5]);
    }
}
