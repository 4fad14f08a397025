//! The HTTP/1 codec: bytes to heads and bodies, and back. Used by the server and by the
//! upstream client alike.
//!
//! It does no I/O, keeps no time and knows no configuration but [`HeadLimits`]. Drivers
//! own the buffers: they call [`parse_request`] or [`parse_response`] whenever bytes have
//! arrived, then feed what follows the head to a [`BodyDecoder`].
//!
//! The one rule behind all others: **a message that two programs could read differently is
//! refused**. Requests are held to the letter of RFC 9112; answers of upstreams may be
//! sloppy where only one reading exists (a bare LF as line end, a missing reason, blanks
//! after a chunk size), for they are written anew before they go on.

mod body;
mod encode;
mod error;
mod head;
mod hop;
mod request;
mod response;
mod scan;
mod target;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Decoded};
pub use encode::{
    CHUNK_END, CONTINUE, chunk_head, last_chunk, reason, request_head, response_head,
};
pub use error::{BodyError, EncodeError, HeadError};
pub use head::{Framing, HeadLimits, Progress};
pub use hop::{is_hop_by_hop, may_trail, nominated, remove_hop_by_hop, remove_nominated};
pub use request::{RequestHead, parse_request};
pub use response::{ResponseHead, parse_response};
pub use target::Form;
