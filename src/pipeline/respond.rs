//! Sending the response: header_filter, framing, body_filter frame by frame.

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

use bytes::Bytes;

use super::{content, gzip::Packed, pace, stream};
use crate::{
    error::{Error, Kind, Result},
    exchange::{Body, Exchange, Frame, Origin},
    fields::Fields,
    gate::Gate,
    log::error_log::Level,
    lua::log_line,
    phase, rescue,
};

/// Where a response goes: a driver's half of the connection to the client.
pub trait Sink {
    /// Takes the head from `x.response`; it may stay in memory until [`Sink::flush`].
    fn head(&mut self, x: &mut Exchange, bodiless: bool) -> impl Future<Output = Result<()>>;

    /// Takes a piece of body, never an empty one.
    fn data(&mut self, x: &mut Exchange, data: Bytes) -> impl Future<Output = Result<()>>;

    /// Sends what is still in memory: the next piece is not there yet.
    fn flush(&mut self, x: &mut Exchange) -> impl Future<Output = Result<()>>;

    /// Ends the response and sends what is still in memory.
    fn end(
        &mut self,
        x: &mut Exchange,
        trailers: Option<Fields>,
    ) -> impl Future<Output = Result<()>>;

    /// Whether bodies may be packed for whoever reads them.
    fn packs(&self) -> bool {
        true
    }
}

/// Sends a response whose head is in `x.response`.
///
/// # Errors
///
/// When the client or the upstream broke off in the middle.
pub(super) async fn send<S: Sink>(
    gate: &Gate,
    x: &mut Exchange,
    mut body: Body,
    sink: &mut S,
) -> Result<()> {
    if x.response.head_sent {
        if x.response.packing.is_asked() {
            return Box::pin(stream::rest(x, body, &mut Packed(sink))).await;
        }
        return stream::rest(x, body, sink).await;
    }
    decorate(gate, x);
    if phase::header_filter(x).await.is_err() {
        body = plugin_failed(gate, x);
    }
    if x.inner.is_some() {
        content::add_headers(x);
    }
    let bodiless = is_bodiless(x);
    if bodiless {
        if phase::filters_body(x) {
            x.chunk.eof = true;
            // The head decides; what a filter makes of no body is not sent.
            let _ = phase::body_filter(x).await;
        }
        sink.head(x, true).await?;
        return sink.end(x, None).await;
    }
    if x.response.packing.is_asked() {
        // On the heap: hardly any answer has use for the room.
        return Box::pin(send_body(gate, x, body, &mut Packed(sink))).await;
    }
    send_body(gate, x, body, sink).await
}

/// Sends the head, which is ready, and the body.
async fn send_body<S: Sink>(
    gate: &Gate,
    x: &mut Exchange,
    mut body: Body,
    sink: &mut S,
) -> Result<()> {
    if phase::filters_body(x) {
        return Filtered { failed: false }.send(gate, x, body, sink).await;
    }
    sink.head(x, false).await?;
    loop {
        match next(x, &mut body, sink).await?.transpose()? {
            Some(Frame::Data(data)) => pace::data(x, sink, data).await?,
            Some(Frame::Trailers(fields)) => return sink.end(x, Some(fields)).await,
            None => return sink.end(x, None).await,
        }
    }
}

/// Sends the head of a 101.
pub(super) async fn send_switch<S: Sink>(
    gate: &Gate,
    x: &mut Exchange,
    sink: &mut S,
) -> Result<()> {
    decorate(gate, x);
    x.response.length = None;
    phase::header_filter(x).await?;
    sink.head(x, true).await?;
    sink.flush(x).await
}

/// Fields that every response has, set before the plugins' turn.
pub(super) fn decorate(gate: &Gate, x: &mut Exchange) {
    let local = gate.local.borrow();
    let server = if local.enable_server_tokens { crate::SERVER } else { "APISIX" };
    // Constants of ours; always valid.
    let _ = x.response.fields.set("Server", server);
    let failed = x.upstream.attempts.last().is_some_and(|attempt| attempt.status >= 500);
    if (failed || local.show_upstream_status_in_response_header) && !x.upstream.attempts.is_empty()
    {
        let status =
            crate::exchange::vars::get(x, b"upstream_status").map(std::borrow::Cow::into_owned);
        if let Some(status) = status {
            // Digits and commas; always valid.
            let _ = x.response.fields.set("X-APISIX-Upstream-Status", status);
        }
    }
    if x.inner.is_some() {
        content::set_headers(x);
    }
}

fn plugin_failed(gate: &Gate, x: &mut Exchange) -> Body {
    let body = rescue::response(x, &Kind::Plugin.into());
    decorate(gate, x);
    body
}

/// Whether the response has no body whatever its fields say (RFC 9112, section 6.3).
pub(super) fn is_bodiless(x: &Exchange) -> bool {
    // The client's own method: what a plugin made of it is between us and the upstream.
    x.head.method() == b"HEAD" || matches!(x.response.status, 100..=199 | 204 | 304)
}

/// The next frame. Flushes the sink if there is none yet, and notices a client that leaves.
async fn next<S: Sink>(
    x: &mut Exchange,
    body: &mut Body,
    sink: &mut S,
) -> Result<Option<Result<Frame>>> {
    let ready = poll_fn(|cx| Poll::Ready(body.poll_frame(cx))).await;
    if let Poll::Ready(frame) = ready {
        return Ok(frame);
    }
    sink.flush(x).await?;
    poll_fn(|cx| {
        if let Poll::Ready(frame) = body.poll_frame(cx) {
            return Poll::Ready(Ok(frame));
        }
        if x.peer_is_gone(cx) {
            return Poll::Ready(Err(Error::from(Kind::ClientGone)));
        }
        Poll::Pending
    })
    .await
}

/// A body that passes through `body_filter`.
struct Filtered {
    failed: bool,
}

impl Filtered {
    /// The head leaves after the first piece was filtered: a filter that changes the body
    /// shows it there, and then the old length does not hold any more.
    async fn send<S: Sink>(
        mut self,
        gate: &Gate,
        x: &mut Exchange,
        mut body: Body,
        sink: &mut S,
    ) -> Result<()> {
        let whole = matches!(body, Body::Full(_) | Body::Empty);
        let mut announced = None;
        let mut sent = 0_u64;
        loop {
            let frame = next_quietly(x, &mut body, sink, announced.is_some()).await?;
            let (data, trailers, eof) = match frame.transpose()? {
                Some(Frame::Data(data)) => (data, None, whole),
                Some(Frame::Trailers(fields)) => (Bytes::new(), Some(fields), true),
                None => (Bytes::new(), None, true),
            };
            let data = self.filter(x, data, eof).await?;
            if announced.is_none() {
                if self.failed {
                    body = plugin_failed(gate, x);
                    sink.head(x, false).await?;
                    return finish(x, body, sink).await;
                }
                // A length that a plugin took away stays away, as in nginx.
                if x.chunk.changed && x.response.length.is_some() {
                    x.response.length = eof.then_some(data.len() as u64);
                }
                announced = Some(x.response.length);
                sink.head(x, false).await?;
            } else if self.failed {
                return Err(Kind::Plugin.into());
            }
            sent += data.len() as u64;
            if !data.is_empty() {
                pace::data(x, sink, data).await?;
            }
            if eof || x.chunk.eof {
                return ended(x, sink, trailers, announced.flatten(), sent).await;
            }
        }
    }

    async fn filter(&mut self, x: &mut Exchange, data: Bytes, eof: bool) -> Result<Bytes> {
        x.chunk.data = data;
        x.chunk.eof = eof;
        if phase::body_filter(x).await.is_err() {
            self.failed = true;
        }
        Ok(std::mem::take(&mut x.chunk.data))
    }
}

async fn finish<S: Sink>(x: &mut Exchange, mut body: Body, sink: &mut S) -> Result<()> {
    while let Some(frame) = body.frame().await {
        if let Frame::Data(data) = frame? {
            pace::data(x, sink, data).await?;
        }
    }
    sink.end(x, None).await
}

async fn ended<S: Sink>(
    x: &mut Exchange,
    sink: &mut S,
    trailers: Option<Fields>,
    announced: Option<u64>,
    sent: u64,
) -> Result<()> {
    if announced.is_some_and(|length| length != sent) {
        let line = format!(
            "[lua] body_filter made {sent} bytes of a body announced with {}: clear Content-Length in header_filter",
            announced.unwrap_or(0)
        );
        log_line(Level::Error, x, &line);
        x.response.origin = Origin::Gateway;
        return Err(Kind::Plugin.into());
    }
    sink.end(x, trailers).await
}

/// As `next`, but before the head is out there is nothing to flush.
async fn next_quietly<S: Sink>(
    x: &mut Exchange,
    body: &mut Body,
    sink: &mut S,
    head_out: bool,
) -> Result<Option<Result<Frame>>> {
    if head_out {
        return next(x, body, sink).await;
    }
    Ok(body.frame().await)
}
