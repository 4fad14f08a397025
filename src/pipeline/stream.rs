//! An answer that leaves piece by piece while the plugin that makes it still runs: `ngx.flush`,
//! `ngx.eof`, and a body too large to wait for its end.
//!
//! The driver calls [`send`] from [`Peer::send`](crate::exchange::Peer::send) in the middle of
//! the access phase. The filters run for the head and for each piece, as for any other response.

use bytes::Bytes;

use super::{
    content,
    gzip::Packed,
    pace,
    respond::{Sink, decorate, is_bodiless},
};
use crate::{
    error::{Kind, Result},
    exchange::{Body, Exchange, Origin},
    gate::Gate,
    phase,
};

/// Sends the head, if it has not left, and what was printed; with `last` the response ends.
///
/// # Errors
///
/// When the client is gone, or a filter raised.
pub async fn send<S: Sink>(gate: &Gate, x: &mut Exchange, sink: &mut S, last: bool) -> Result<()> {
    let printed = Bytes::from(std::mem::take(&mut x.response.printed));
    if !x.response.head_sent {
        if last && !phase::filters_body(x) {
            x.response.length = Some(printed.len() as u64);
        }
        finish_head(gate, x).await?;
    }
    if x.response.packing.is_asked() {
        return Box::pin(pieces(x, &mut Packed(sink), printed, last)).await;
    }
    pieces(x, sink, printed, last).await
}

/// Sends the head, if it has not left, and a piece.
async fn pieces<S: Sink>(x: &mut Exchange, sink: &mut S, printed: Bytes, last: bool) -> Result<()> {
    let bodiless = is_bodiless(x);
    sink.head(x, bodiless).await?;
    if piece(x, sink, printed, last).await? {
        x.response.body_fixed = true;
        x.response.body_sent = true;
        return sink.end(x, None).await;
    }
    sink.flush(x).await
}

/// What a head needs that nobody has completed yet.
async fn finish_head(gate: &Gate, x: &mut Exchange) -> Result<()> {
    if x.response.status == 0 {
        x.response.status = 200;
    }
    // What HEAD asks for is the head that GET would get.
    let has_body = !matches!(x.response.status, 100..=199 | 204 | 304);
    if has_body {
        let spot = x.inner.as_ref().and_then(|inner| inner.spot.clone());
        content::set_type(x, spot.as_deref());
    }
    x.response.origin = Origin::Gateway;
    x.response.head_fixed = false;
    decorate(gate, x);
    phase::header_filter(x).await?;
    if x.inner.is_some() {
        content::add_headers(x);
    }
    Ok(())
}

/// Sends what follows the pieces that have left before.
///
/// # Errors
///
/// As [`send`].
pub(super) async fn rest<S: Sink>(x: &mut Exchange, body: Body, sink: &mut S) -> Result<()> {
    let bodiless = is_bodiless(x);
    sink.head(x, bodiless).await?;
    if x.response.body_lost {
        return Err(Kind::Plugin.into());
    }
    if x.response.body_sent {
        return Ok(());
    }
    let data = match body {
        Body::Full(data) => data,
        _ => Bytes::new(),
    };
    piece(x, sink, data, true).await?;
    sink.end(x, None).await
}

/// Sends a piece; whether it is the last, as it was or because a filter says so.
async fn piece<S: Sink>(x: &mut Exchange, sink: &mut S, data: Bytes, eof: bool) -> Result<bool> {
    if data.is_empty() && !eof {
        return Ok(false);
    }
    x.chunk.eof = eof;
    let data = if phase::filters_body(x) {
        x.chunk.data = data;
        phase::body_filter(x).await?;
        std::mem::take(&mut x.chunk.data)
    } else {
        data
    };
    if !data.is_empty() {
        pace::data(x, sink, data).await?;
    }
    Ok(x.chunk.eof || eof)
}
