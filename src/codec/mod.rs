//! Protocols that upstreams speak instead of HTTP: pure encoders and decoders, no I/O.
//!
//! A plugin names a protocol, gives it options and the source of an interface description, and
//! gets a [`Dialect`]. A request asks the dialect for a [`Call`]; the multiplexed upstream writes
//! the call under an id of its choosing, finds the answer by that id with the protocol's
//! [`Framing`], and the call turns the answer's frame into an HTTP answer. So a protocol knows
//! nothing of sockets, and the upstream nothing of a protocol.
//!
//! [`sign`] and [`saml`] stand apart: what is signed, and by whom, of HTTP messages and of SAML's.

pub mod registry;
pub mod saml;
pub mod sign;
pub mod tars;
#[cfg(test)]
pub(crate) mod testing;
pub mod trpc;

use std::{fmt, rc::Rc, time::Duration};

/// Options and interface description of one plugin conf, checked: made once, used by many calls.
pub trait Dialect {
    /// How frames of this protocol are told apart.
    fn framing(&self) -> &'static dyn Framing;

    /// The call that `input` asks for.
    ///
    /// # Errors
    /// What a client must change: an unknown function, a field with a wrong type.
    fn call(&self, input: &Input<'_>) -> Result<Rc<dyn Call>, Refusal>;
}

/// What a client sent, as far as a dialect may look at it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The servant or service, if the request names it; else the dialect's option.
    pub service: Option<&'a str>,
    /// The function, if the request names it; else the dialect's option.
    pub function: Option<&'a str>,
    /// Arguments.
    pub arguments: Arguments<'a>,
    /// Names and values that travel beside the arguments (TARS context, tRPC metadata), already
    /// chosen from the request's headers.
    pub metadata: &'a [(&'a str, &'a [u8])],
    /// How long the caller will wait for the answer.
    pub timeout: Duration,
}

/// Where a client put its arguments.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// A JSON text. Empty text stands for an empty object.
    Json(&'a [u8]),
    /// Names and values of a query or form, decoded.
    Pairs(&'a [(&'a str, &'a str)]),
}

/// A call that is ready to be sent, and knows how to read its answer.
pub trait Call {
    /// Appends the whole frame to `out`, with `id` as its request id. May be asked again with
    /// another id, for a retry.
    fn write(&self, id: u32, out: &mut Vec<u8>);

    /// Whether the other side will send no answer.
    fn one_way(&self) -> bool;

    /// What the client gets for the answer in `frame`, or, for a call that is one way, for none.
    ///
    /// # Errors
    /// The frame is not what the protocol or the interface description says.
    fn answer(&self, frame: Option<&[u8]>) -> Result<Answer, Broken>;
}

/// How the frames of a protocol that multiplexes calls over one connection are told apart.
pub trait Framing {
    /// The protocol's name, as in `core.upstream.set_protocol`.
    fn name(&self) -> &'static str;

    /// Length in bytes of the frame that `head` begins with, or `None` if more bytes are needed
    /// to know. A length over `max` is an error, so that no one waits for it.
    ///
    /// # Errors
    /// These bytes begin no frame: the connection cannot be used any more.
    fn length(&self, head: &[u8], max: usize) -> Result<Option<usize>, Broken>;

    /// The id of the call that a whole frame answers; `None` for a frame that answers none, such
    /// as a push.
    ///
    /// # Errors
    /// The frame cannot be read: the connection cannot be used any more.
    fn id(&self, frame: &[u8]) -> Result<Option<u32>, Broken>;

    /// Appends a frame that any server of the protocol answers, to learn whether it lives, and
    /// tells whether the protocol has one.
    fn ping(&self, id: u32, out: &mut Vec<u8>) -> bool;
}

/// An HTTP answer made from a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header fields beside `Content-Length`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a dialect does not make a call of what a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status: 400 for bad arguments, 404 for a function that is not there.
    pub status: u16,
    /// For the client: the path of the field, what was expected.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Bytes from the other side that the protocol does not allow, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}
