//! The protobuf wire format, as far as the two heads of tRPC and the size check need it.
//!
//! A [`Reader`] walks over borrowed bytes and copies nothing. What it does not know it skips,
//! groups included, with bounded nesting.

use crate::codec::Broken;

/// Groups within groups that are skipped; protobuf libraries stop at 100 levels too.
const GROUPS_MAX: usize = 100;

/// A varint has at most this many bytes.
const VARINT_BYTES_MAX: usize = 10;

/// How a field's value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A varint, as 64 bits.
    Varint(u64),
    /// Eight bytes.
    Fixed64,
    /// Four bytes.
    Fixed32,
    /// Bytes with their length in front: strings, messages, packed lists.
    Bytes(&'a [u8]),
    /// A group begins; its fields follow.
    GroupStart,
    /// A group ends.
    GroupEnd,
}

/// Reads field after field.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's number and value, or `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > 0x1fff_ffff {
            return Err(Broken(format!("protobuf field number {} is out of range", tag >> 3)));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            3 => Value::GroupStart,
            4 => Value::GroupEnd,
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            other => return Err(Broken(format!("field {number} has unknown wire type {other}"))),
        };
        Ok(Some((number, value)))
    }

    /// Skips what follows the start of group `number`, up to and with its end.
    pub(super) fn skip_group(&mut self, number: u32) -> Result<(), Broken> {
        let mut open = vec![number];
        while let Some(&inner) = open.last() {
            match self.field()? {
                None => return Err(Broken(format!("group {inner} has no end"))),
                Some((number, Value::GroupStart)) if open.len() < GROUPS_MAX => open.push(number),
                Some((_, Value::GroupStart)) => {
                    return Err(Broken(format!("groups nest deeper than {GROUPS_MAX}")));
                }
                Some((number, Value::GroupEnd)) if number == inner => drop(open.pop()),
                Some((number, Value::GroupEnd)) => {
                    return Err(Broken(format!("group {inner} ends as {number}")));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A varint of at most 64 bits.
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for at in 0..VARINT_BYTES_MAX {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err(Broken("a number ends too early".to_owned()));
            };
            self.rest = rest;
            // The tenth byte has room for one bit; libraries drop what is above.
            value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken(format!("a number has more than {VARINT_BYTES_MAX} bytes")))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(Broken(format!(
                "a value of {length} bytes is cut after {}",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(taken)
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number field, unless it is zero, which is what absence says.
pub(super) fn put_u32(out: &mut Vec<u8>, number: u32, value: u32) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, u64::from(value));
    }
}

/// Appends an `int32` field, unless it is zero. Negative ones have ten bytes: protobuf extends
/// the sign to 64 bits.
pub(super) fn put_i32(out: &mut Vec<u8>, number: u32, value: i32) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, i64::from(value) as u64);
    }
}

/// Appends a field of bytes, unless it is empty.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    if !value.is_empty() {
        put_bytes_always(out, number, value);
    }
}

/// Appends a field of bytes, even an empty one, as entries of maps have them.
pub(super) fn put_bytes_always(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
