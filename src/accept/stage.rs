//! Where the two halves of one HTTP/2 stream meet: the pipeline puts the response down
//! here, hyper picks it up.
//!
//! Both halves are polled by the same task, in turns until neither has moved anything, so
//! nothing here wakes anybody. Room is for one frame: a client that does not read holds the
//! pipeline up, and the pipeline the upstream.

use std::{
    cell::{Cell, RefCell},
    convert::identity,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Response,
    header::{CONTENT_LENGTH, HeaderName, HeaderValue},
};
use hyper::body::{Body, Frame, Incoming};

use crate::{
    error::{Error, Kind, Result},
    exchange::{Exchange, Leaving, Peer},
    fields::Fields,
    gate::Gate,
    http1,
    log::error_log::Level,
    lua::log_line,
    pipeline::{self, Sink},
    sys::{conn::Conn, deadline::Deadline},
};

/// Bytes of a frame's own head, counted into `$bytes_sent`.
const FRAME_HEAD_BYTES: u64 = 9;

/// What lies between the pipeline and hyper.
#[derive(Default)]
pub(super) struct Stage {
    /// Of the worker; a stream that is refused has none.
    gate: Option<Rc<Gate>>,
    head: RefCell<Option<Response<()>>>,
    frame: RefCell<Option<Frame<Bytes>>>,
    /// What nobody read of the request's body.
    rest: Cell<Option<Incoming>>,
    /// Nothing follows what lies here.
    ended: Cell<bool>,
    /// The pipeline broke off: the stream is to be reset.
    broken: Cell<bool>,
    /// Hyper is done with the stream: it was sent whole, or reset.
    gone: Cell<bool>,
    /// Something changed since the last look: the other half has to be polled.
    moved: Cell<bool>,
}

impl Stage {
    /// A stage for one stream of this worker.
    pub(super) fn new(gate: &Rc<Gate>) -> Rc<Self> {
        Rc::new(Self { gate: Some(Rc::clone(gate)), ..Self::default() })
    }

    /// A stage whose stream is reset at once.
    pub(super) fn refused() -> Rc<Self> {
        let stage = Self::default();
        stage.broken.set(true);
        Rc::new(stage)
    }

    /// Whether anything changed since the last call.
    pub(super) fn take_moved(&self) -> bool {
        self.moved.replace(false)
    }

    /// The pipeline will put nothing more here.
    pub(super) fn close(&self, broken: bool) {
        if broken {
            self.broken.set(true);
            self.moved.set(true);
        }
    }

    /// Hyper will pick nothing more up.
    pub(super) fn leave(&self) {
        self.gone.set(true);
        self.moved.set(true);
    }

    /// Keeps what nobody read of the request's body.
    pub(super) fn put_rest(&self, rest: Incoming) {
        self.rest.set(Some(rest));
    }

    /// What nobody read of the request's body, unless the stream was reset.
    pub(super) fn take_rest(&self) -> Option<Incoming> {
        self.rest.take().filter(|rest| self.is_taken() && !rest.is_end_stream())
    }

    fn is_free(&self) -> bool {
        self.frame.borrow().is_none()
    }

    /// Whether hyper took all of a whole response.
    fn is_taken(&self) -> bool {
        self.ended.get() && self.is_free() && self.head.borrow().is_none()
    }

    fn put_head(&self, head: Response<()>) {
        self.head.replace(Some(head));
        self.moved.set(true);
    }

    fn put(&self, frame: Frame<Bytes>) {
        self.frame.replace(Some(frame));
        self.moved.set(true);
    }
}

impl Peer for Stage {
    fn poll_gone(&self, _cx: &mut Context<'_>) -> Poll<()> {
        if self.gone.get() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn send<'x>(self: Rc<Self>, x: &'x mut Exchange, last: bool) -> Leaving<'x> {
        Box::pin(async move {
            let Some(gate) = self.gate.clone() else { return Err(Kind::ClientGone.into()) };
            let timeout = gate.local.borrow().send_timeout;
            let mut sink = H2Sink::new(self, timeout);
            pipeline::stream::send(&gate, x, &mut sink, last).await?;
            if !last {
                // What lies on the stage is hyper's when the frame is gone.
                let room = |stage: &Self| match stage.gone.get() {
                    true => Some(false),
                    false => (stage.is_free() && stage.head.borrow().is_none()).then_some(true),
                };
                sink.wait(x, room).await?;
            }
            Ok(())
        })
    }

    fn take_over(&self) -> std::result::Result<(Rc<Conn>, BytesMut), &'static str> {
        Err("http v2 not supported yet")
    }
}

/// The response broke off; hyper resets the stream.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response broke off")
    }
}

impl std::error::Error for BrokenOff {}

/// Hyper's end before the response: waits for the head.
pub(super) struct Answer(pub(super) Rc<Stage>);

impl Future for Answer {
    type Output = std::result::Result<Response<Pick>, BrokenOff>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = &self.0;
        if stage.broken.get() {
            return Poll::Ready(Err(BrokenOff));
        }
        match stage.head.take() {
            None => Poll::Pending,
            Some(head) => {
                stage.moved.set(true);
                Poll::Ready(Ok(head.map(|()| Pick(Rc::clone(stage)))))
            }
        }
    }
}

/// Hyper's end of the body: picks up frames.
pub(super) struct Pick(Rc<Stage>);

impl Body for Pick {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, BrokenOff>>> {
        let stage = &self.0;
        if stage.broken.get() {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        if let Some(frame) = stage.frame.take() {
            stage.moved.set(true);
            return Poll::Ready(Some(Ok(frame)));
        }
        if stage.ended.get() { Poll::Ready(None) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        !self.0.broken.get() && self.0.ended.get() && self.0.is_free()
    }
}

/// The pipeline's end: writes one response.
pub(super) struct H2Sink {
    stage: Rc<Stage>,
    /// Held back until the first piece of body, so that a response without one is one frame.
    head: Option<Response<()>>,
    bodiless: bool,
    timeout: Duration,
    deadline: Deadline,
}

impl H2Sink {
    /// A sink that waits for a client that does not read for at most `timeout`.
    pub(super) fn new(stage: Rc<Stage>, timeout: Duration) -> Self {
        Self { stage, head: None, bodiless: false, timeout, deadline: Deadline::default() }
    }

    fn release_head(&mut self) {
        if let Some(head) = self.head.take() {
            self.stage.put_head(head);
        }
    }

    /// Waits until `ready` says `Some`; its value tells whether all is well.
    async fn wait(
        &mut self,
        x: &mut Exchange,
        ready: impl Fn(&Stage) -> Option<bool>,
    ) -> Result<()> {
        let stage = &self.stage;
        let waited = match ready(stage) {
            Some(well) => Some(well),
            None => {
                let look = poll_fn(|_| ready(stage).map_or(Poll::Pending, Poll::Ready));
                self.deadline.limit(self.timeout, look).await
            }
        };
        if waited.is_some_and(identity) {
            return Ok(());
        }
        x.client_gone = true;
        Err(match waited {
            Some(_) => Kind::ClientGone.into(),
            None => Kind::ClientTimeout(self.timeout).into(),
        })
    }

    async fn put(&mut self, x: &mut Exchange, frame: Frame<Bytes>) -> Result<()> {
        let room = |stage: &Stage| match stage.gone.get() {
            true => Some(false),
            false => stage.is_free().then_some(true),
        };
        self.wait(x, room).await?;
        self.stage.put(frame);
        Ok(())
    }
}

impl Sink for H2Sink {
    async fn head(&mut self, x: &mut Exchange, bodiless: bool) -> Result<()> {
        self.bodiless = bodiless;
        if x.response.head_sent {
            return Ok(());
        }
        if x.response.status < 200 {
            // A stream cannot switch protocols that way, and its client did not ask for it.
            log_line(Level::Error, x, "upstream switched protocols for a request of HTTP/2");
            self.head = Some(bad_gateway(x));
            self.bodiless = true;
            self.end(x, None).await?;
            return Err(Kind::Unsupported("switching protocols within HTTP/2").into());
        }
        self.head = Some(head(x));
        x.response.head_sent = true;
        Ok(())
    }

    async fn data(&mut self, x: &mut Exchange, data: Bytes) -> Result<()> {
        if self.bodiless {
            return Ok(());
        }
        self.release_head();
        let bytes = data.len() as u64;
        self.put(x, Frame::data(data)).await?;
        x.response.body_bytes_sent += bytes;
        x.response.bytes_sent += bytes + FRAME_HEAD_BYTES;
        Ok(())
    }

    async fn flush(&mut self, _x: &mut Exchange) -> Result<()> {
        self.release_head();
        Ok(())
    }

    async fn end(&mut self, x: &mut Exchange, trailers: Option<Fields>) -> Result<()> {
        let trailers = trailers.filter(|fields| !self.bodiless && !fields.is_empty());
        if let Some(fields) = trailers {
            self.release_head();
            let frame = Frame::trailers(map_of(x, &fields, |_| true));
            self.put(x, frame).await?;
        }
        self.stage.ended.set(true);
        self.release_head();
        self.stage.moved.set(true);
        self.wait(x, |stage| stage.gone.get().then(|| stage.is_taken())).await
    }
}

/// The head of a response as hyper wants it; `Date` is hyper's business.
fn head(x: &mut Exchange) -> Response<()> {
    let status = x.response.status;
    let fields = std::mem::take(&mut x.response.fields);
    let mut map = map_of(x, &fields, |name| {
        !http1::is_hop_by_hop(name) && !name.eq_ignore_ascii_case(b"content-length")
    });
    x.response.fields = fields;
    if status != 204
        && let Some(length) = x.response.length
    {
        map.insert(CONTENT_LENGTH, length.into());
    }
    with_status(status, map)
}

fn bad_gateway(x: &mut Exchange) -> Response<()> {
    x.response.status = 502;
    x.response.fields.clear();
    x.response.length = None;
    with_status(502, HeaderMap::new())
}

fn with_status(status: u16, map: HeaderMap) -> Response<()> {
    let mut head = Response::new(());
    // Three digits, as a plugin or an upstream may choose them; 1xx never comes here.
    *head.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    *head.headers_mut() = map;
    head
}

/// Those of `fields` that pass, with names in lower case. What HTTP/2 cannot carry is left
/// out and logged: a response without it is better than none.
fn map_of(x: &mut Exchange, fields: &Fields, passes: impl Fn(&[u8]) -> bool) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len() + 2);
    let mut bytes = FRAME_HEAD_BYTES;
    for (name, value) in fields.iter().filter(|(name, _)| passes(name)) {
        let pair = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        let added = match pair {
            (Ok(name), Ok(value)) => map.try_append(name, value).is_ok(),
            _ => false,
        };
        if added {
            bytes += (name.len() + value.len()) as u64;
        } else {
            let name = name.escape_ascii().to_string();
            log_line(
                Level::Warn,
                x,
                &format!("response header \"{name}\" cannot be sent by HTTP/2"),
            );
        }
    }
    x.response.bytes_sent += bytes;
    map
}

/// A request's fields out of hyper's.
///
/// # Errors
///
/// [`Kind::BadRequest`] for fields that we do not pass on.
pub(super) fn fields_of(map: &HeaderMap) -> Result<Fields> {
    let passing = map.iter().filter(|(name, _)| http1::may_trail(name.as_str()));
    Fields::from_parts(passing.map(|(name, value)| (name.as_str(), value.as_bytes())))
        .map_err(|error| Error::from(Kind::BadRequest("invalid trailers")).because(error))
}
