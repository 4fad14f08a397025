//! JSON to items and back, in one pass each and without a tree in between.
//!
//! [`Encoder`] is driven by the JSON parser and appends items; members of a struct that came in
//! another order than that of their tags are put in order when the struct ends. [`Decoder`]
//! walks over items and appends JSON. Both know where they are only when something is wrong: the
//! path of a value is put together while an error travels up.

mod decode;
mod encode;
mod fail;
mod seed;
mod text;

pub use decode::{Decoder, JSON_BYTES_FREE, JSON_BYTES_MAX, JSON_FACTOR_MAX};
pub use encode::Encoder;
pub use fail::Fail;
pub use text::Charset;

/// How values look in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Of `long`.
    pub int64: Int64,
    /// Of `vector<byte>`.
    pub bytes: Bytes,
    /// Whether enums come out by name; both ways are taken.
    pub enum_names: bool,
    /// Whether a field that nobody knows is refused.
    pub reject_unknown: bool,
    /// Of strings on the wire.
    pub charset: Charset,
    /// Whether text that is not of the character set comes out with replacement characters.
    pub replace_invalid: bool,
}

impl Default for Style {
    fn default() -> Self {
        Style {
            int64: Int64::Auto,
            bytes: Bytes::Base64,
            enum_names: false,
            reject_unknown: false,
            charset: Charset::Utf8,
            replace_invalid: false,
        }
    }
}

/// When a `long` comes out as a string. Both ways are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Int64 {
    /// Where a JavaScript number would lose digits: beyond 2^53 - 1.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a `vector<byte>` comes out. Both ways are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// A string in base64 with padding.
    Base64,
    /// An array of numbers from 0 to 255.
    Array,
}

/// The largest integer that every JSON reader keeps exactly.
const SAFE_MAX: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
