//! The frame around head and body: 16 bytes, big-endian, then head, body and attachment.
//!
//! ```text
//! 0    2     3        4            8           10  14       15        16
//! magic type stream   total length head length id  version  reserved  head body attachment
//! ```

use super::head::Response;
use crate::codec::{Broken, Framing};

/// Bytes in front of the head.
pub const HEADER_BYTES: usize = 16;

/// The first two bytes of every frame.
pub const MAGIC: u16 = 0x0930;

/// The version in the header of the frames we write; a server answers with the same.
pub const VERSION: u8 = 1;

/// Bytes of a head: its length has two bytes.
pub const HEAD_BYTES_MAX: usize = 0xffff;

const TYPE_UNARY: u8 = 0;
const TYPE_STREAM: u8 = 1;

/// A unary frame in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Request id in the header.
    pub id: u32,
    /// Version in the header: 0 for old peers, else 1.
    pub version: u8,
    /// The protobuf head.
    pub head: &'a [u8],
    /// Body and attachment; the head tells where the attachment begins.
    pub rest: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a whole frame apart.
    ///
    /// # Errors
    /// It is no unary frame, or its lengths contradict each other or the number of bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Broken> {
        let total = length(bytes)?
            .ok_or_else(|| Broken(format!("a frame of {} bytes has no header", bytes.len())))?;
        if total != bytes.len() {
            return Err(Broken(format!("a frame of {} bytes says it has {total}", bytes.len())));
        }
        let head_bytes = usize::from(u16::from_be_bytes(array(bytes, 8)));
        let Some((head, rest)) =
            bytes.get(HEADER_BYTES..).and_then(|rest| rest.split_at_checked(head_bytes))
        else {
            return Err(Broken(format!("a frame of {total} bytes has a head of {head_bytes}")));
        };
        if head.is_empty() {
            return Err(Broken("the frame has no head".to_owned()));
        }
        let id = u32::from_be_bytes(array(bytes, 10));
        let [version] = array(bytes, 14);
        Ok(Self { id, version, head, rest })
    }

    /// Appends the frame. The head must not be longer than [`HEAD_BYTES_MAX`], nor the frame
    /// longer than four bytes can tell; whoever makes a call has checked both.
    pub fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(self.head.len() <= HEAD_BYTES_MAX, "a head is too long");
        let total = HEADER_BYTES + self.head.len() + self.rest.len();
        out.reserve(total);
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&[TYPE_UNARY, 0]);
        out.extend_from_slice(&u32::try_from(total).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&u16::try_from(self.head.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[self.version, 0]);
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.rest);
    }

    /// Body and attachment, with the attachment's size from the head.
    ///
    /// # Errors
    /// The attachment would be longer than what is there.
    pub fn split(&self, attachment_size: u32) -> Result<(&'a [u8], &'a [u8]), Broken> {
        let size = usize::try_from(attachment_size).unwrap_or(usize::MAX);
        let body = self.rest.len().checked_sub(size);
        body.and_then(|body| self.rest.split_at_checked(body)).ok_or_else(|| {
            Broken(format!("an attachment of {size} bytes is not in {}", self.rest.len()))
        })
    }
}

/// Frames of tRPC on a connection.
#[derive(Debug, Clone, Copy)]
pub struct Frames;

impl Framing for Frames {
    fn name(&self) -> &'static str {
        "trpc"
    }

    fn length(&self, head: &[u8], max: usize) -> Result<Option<usize>, Broken> {
        match length(head)? {
            Some(total) if total > max => {
                Err(Broken(format!("a frame of {total} bytes, {max} are allowed")))
            }
            other => Ok(other),
        }
    }

    fn id(&self, frame: &[u8]) -> Result<Option<u32>, Broken> {
        if length(frame)?.is_none() {
            return Err(Broken(format!("a frame of {} bytes has no header", frame.len())));
        }
        // A server that cannot read a request's head still repeats the header's id, so that
        // is where to look first.
        let id = match u32::from_be_bytes(array(frame, 10)) {
            0 => Response::decode(Frame::parse(frame)?.head)?.request_id,
            id => id,
        };
        Ok((id != 0).then_some(id))
    }

    fn ping(&self, _id: u32, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// Length of the frame that `bytes` begin with, `None` if the header is not there yet. What
/// can be refused is refused with the first byte that shows it.
fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let magic = MAGIC.to_be_bytes();
    if bytes.iter().zip(magic).any(|(found, wanted)| *found != wanted) {
        return Err(Broken("the bytes begin no tRPC frame".to_owned()));
    }
    match bytes.get(2) {
        None | Some(&TYPE_UNARY) => {}
        Some(&TYPE_STREAM) => {
            return Err(Broken("a stream frame; streams are not supported".to_owned()));
        }
        Some(other) => return Err(Broken(format!("a frame of unknown type {other}"))),
    }
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    let total = u32::from_be_bytes(array(bytes, 4));
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    let head = usize::from(u16::from_be_bytes(array(bytes, 8)));
    if total < HEADER_BYTES + head {
        return Err(Broken(format!("a frame of {total} bytes has a head of {head}")));
    }
    Ok(Some(total))
}

/// `N` bytes at `at`, zeros where there are none; callers have checked that there are.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(found) = bytes.get(at..at + N) {
        out.copy_from_slice(found);
    }
    out
}
