//! Bodies: streams of frames, whatever protocol they come by.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use crate::{
    error::{Kind, Result},
    fields::Fields,
};

/// One piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Bytes, never empty.
    Data(Bytes),
    /// Trailer fields; nothing follows.
    Trailers(Fields),
}

/// Where a streamed body comes from: a connection of ours, or hyper's.
pub trait Source {
    /// The next frame; `None` after the last. Cancel-safe: a frame is never lost.
    ///
    /// # Errors
    ///
    /// When the peer breaks off, times out, or breaks the framing.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>>;

    /// Called when the consumer lost interest before the end: the source gives up its connection.
    fn abandon(&mut self) {}
}

/// A body on its way.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Everything at once.
    Full(Bytes),
    /// Frame by frame.
    Stream(Box<dyn Source>),
}

impl Body {
    /// The next frame; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`Source::poll_frame`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Self::Stream(source) => source.poll_frame(cx),
        }
    }

    /// The next frame; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`Source::poll_frame`].
    pub async fn frame(&mut self) -> Option<Result<Frame>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Whether nothing is left to read, as far as is known without reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
        }
    }

    /// Reads everything, up to `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`Kind::BodyTooLarge`], or what the source says.
    pub async fn collect(&mut self, bytes_max: u64) -> Result<Bytes> {
        if let Self::Full(bytes) = self {
            return Ok(std::mem::take(bytes));
        }
        let mut all = BytesMut::new();
        while let Some(frame) = self.frame().await {
            if let Frame::Data(data) = frame? {
                if all.len() as u64 + data.len() as u64 > bytes_max {
                    return Err(Kind::BodyTooLarge { bytes_max }.into());
                }
                all.extend_from_slice(&data);
            }
        }
        *self = Self::Empty;
        Ok(all.freeze())
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// The body of a request: not read, read into memory by a plugin, or gone upstream.
#[derive(Debug, Default)]
pub struct RequestBody {
    /// What is still to come from the client.
    pub incoming: Body,
    /// What a plugin read or set. Sent upstream instead of `incoming`.
    pub held: Option<Bytes>,
    /// Bytes the client announced, if it did.
    pub length: Option<u64>,
    /// Whether the client sends a body at all.
    pub present: bool,
    /// Bytes of body received so far.
    pub received: u64,
}

impl RequestBody {
    /// Reads the whole body into memory, once; later calls return the same bytes.
    ///
    /// # Errors
    ///
    /// [`Kind::BodyTooLarge`], or what the client connection says.
    pub async fn hold(&mut self, bytes_max: u64) -> Result<&Bytes> {
        if self.held.is_none() {
            let body = self.incoming.collect(bytes_max).await?;
            self.received += body.len() as u64;
            self.held = Some(body);
        }
        Ok(self.held.get_or_insert_default())
    }

    /// Replaces the body; what the client still sends is read and dropped later.
    pub fn replace(&mut self, body: Bytes) {
        self.length = Some(body.len() as u64);
        self.present = true;
        self.held = Some(body);
    }
}
