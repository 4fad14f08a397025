//! The protobuf head of a unary frame: `RequestProtocol` and `ResponseProtocol`.
//!
//! Both are read without copying and keep the order of metadata, so that what is read and
//! written again has the same bytes. Fields this version of the protocol does not know are
//! skipped; a known field with another wire type is an error, because then the other side does
//! not speak this protocol.

use super::wire::{self, Reader, Value};
use crate::codec::Broken;

/// Metadata: names and raw values, in the order of the wire.
pub type Metadata<'a> = Vec<(&'a str, &'a [u8])>;

/// What a call says about itself (`trpc.RequestProtocol`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Version of the head; 0.
    pub version: u32,
    /// 0 unary, 1 one-way.
    pub call_type: u32,
    /// Request id, as in the frame's header.
    pub request_id: u32,
    /// Milliseconds that are left for the whole chain; 0 for no limit.
    pub timeout_ms: u32,
    /// Who calls.
    pub caller: &'a [u8],
    /// The service that is called.
    pub callee: &'a [u8],
    /// `/{package}.{service}/{method}`, or the method's alias.
    pub func: &'a [u8],
    /// Bits: 1 dyeing, 2 trace, 4 multi-env, 8 grid, 16 set name.
    pub message_type: u32,
    /// Metadata.
    pub trans_info: Metadata<'a>,
    /// 0 protobuf, 2 JSON.
    pub content_type: u32,
    /// How the body is compressed.
    pub content_encoding: u32,
    /// Bytes behind the body.
    pub attachment_size: u32,
}

/// What an answer says about itself (`trpc.ResponseProtocol`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response<'a> {
    /// Version of the head; 0.
    pub version: u32,
    /// 0 unary, 1 one-way.
    pub call_type: u32,
    /// Request id; a server that could not read the request's head leaves it out.
    pub request_id: u32,
    /// The framework's code, 0 for success.
    pub ret: i32,
    /// The service's own code, 0 for success.
    pub func_ret: i32,
    /// Text for either code.
    pub error_msg: &'a [u8],
    /// As in [`Request::message_type`].
    pub message_type: u32,
    /// Metadata.
    pub trans_info: Metadata<'a>,
    /// As in [`Request::content_type`].
    pub content_type: u32,
    /// How the body is compressed.
    pub content_encoding: u32,
    /// Bytes behind the body.
    pub attachment_size: u32,
}

impl<'a> Request<'a> {
    /// Reads a head.
    ///
    /// # Errors
    /// It is cut, or a field has the wrong wire type, or a metadata name is not UTF-8.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut head = Self::default();
        each(bytes, |number, value| {
            match number {
                1 => head.version = number_of(number, value)?,
                2 => head.call_type = number_of(number, value)?,
                3 => head.request_id = number_of(number, value)?,
                4 => head.timeout_ms = number_of(number, value)?,
                5 => head.caller = bytes_of(number, value)?,
                6 => head.callee = bytes_of(number, value)?,
                7 => head.func = bytes_of(number, value)?,
                8 => head.message_type = number_of(number, value)?,
                9 => head.trans_info.push(entry(bytes_of(number, value)?)?),
                10 => head.content_type = number_of(number, value)?,
                11 => head.content_encoding = number_of(number, value)?,
                12 => head.attachment_size = number_of(number, value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(head)
    }

    /// Appends the head in its canonical form: by field number, defaults left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::put_u32(out, 1, self.version);
        wire::put_u32(out, 2, self.call_type);
        wire::put_u32(out, 3, self.request_id);
        wire::put_u32(out, 4, self.timeout_ms);
        wire::put_bytes(out, 5, self.caller);
        wire::put_bytes(out, 6, self.callee);
        wire::put_bytes(out, 7, self.func);
        wire::put_u32(out, 8, self.message_type);
        put_metadata(out, 9, &self.trans_info);
        wire::put_u32(out, 10, self.content_type);
        wire::put_u32(out, 11, self.content_encoding);
        wire::put_u32(out, 12, self.attachment_size);
    }
}

impl<'a> Response<'a> {
    /// Reads a head.
    ///
    /// # Errors
    /// As [`Request::decode`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut head = Self::default();
        each(bytes, |number, value| {
            match number {
                1 => head.version = number_of(number, value)?,
                2 => head.call_type = number_of(number, value)?,
                3 => head.request_id = number_of(number, value)?,
                4 => head.ret = number_of(number, value)?.cast_signed(),
                5 => head.func_ret = number_of(number, value)?.cast_signed(),
                6 => head.error_msg = bytes_of(number, value)?,
                7 => head.message_type = number_of(number, value)?,
                8 => head.trans_info.push(entry(bytes_of(number, value)?)?),
                9 => head.content_type = number_of(number, value)?,
                10 => head.content_encoding = number_of(number, value)?,
                // 11 was never given out.
                12 => head.attachment_size = number_of(number, value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(head)
    }

    /// Appends the head in its canonical form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::put_u32(out, 1, self.version);
        wire::put_u32(out, 2, self.call_type);
        wire::put_u32(out, 3, self.request_id);
        wire::put_i32(out, 4, self.ret);
        wire::put_i32(out, 5, self.func_ret);
        wire::put_bytes(out, 6, self.error_msg);
        wire::put_u32(out, 7, self.message_type);
        put_metadata(out, 8, &self.trans_info);
        wire::put_u32(out, 9, self.content_type);
        wire::put_u32(out, 10, self.content_encoding);
        wire::put_u32(out, 12, self.attachment_size);
    }
}

/// Calls `take` for each field but groups, which are skipped.
fn each<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.field()? {
        match value {
            Value::GroupStart => reader.skip_group(number)?,
            Value::GroupEnd => return Err(Broken(format!("group {number} ends but never began"))),
            value => take(number, value)?,
        }
    }
    Ok(())
}

/// A number of 32 bits. As in every protobuf library, only the low 32 bits of a longer one
/// count: that is also how a negative `int32` is read.
fn number_of(number: u32, value: Value<'_>) -> Result<u32, Broken> {
    match value {
        Value::Varint(value) => Ok(value as u32),
        _ => Err(Broken(format!("field {number} of the head is no number"))),
    }
}

fn bytes_of(number: u32, value: Value<'_>) -> Result<&[u8], Broken> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Broken(format!("field {number} of the head is not bytes"))),
    }
}

/// An entry of a `map<string, bytes>`.
fn entry(bytes: &[u8]) -> Result<(&str, &[u8]), Broken> {
    let (mut name, mut content) = (&b""[..], &b""[..]);
    each(bytes, |number, value| {
        match number {
            1 => name = bytes_of(number, value)?,
            2 => content = bytes_of(number, value)?,
            _ => {}
        }
        Ok(())
    })?;
    let name = std::str::from_utf8(name)
        .map_err(|_| Broken("the name of a metadata value is not UTF-8".to_owned()))?;
    Ok((name, content))
}

fn put_metadata(out: &mut Vec<u8>, number: u32, metadata: &[(&str, &[u8])]) {
    let mut entry = Vec::new();
    for (name, value) in metadata {
        entry.clear();
        wire::put_bytes_always(&mut entry, 1, name.as_bytes());
        wire::put_bytes_always(&mut entry, 2, value);
        wire::put_bytes_always(out, number, &entry);
    }
}
