//! What the codec refuses, and the words for it.
//!
//! The texts complete both "client sent …" and "upstream sent …".

use std::fmt;

/// Why a head is not one we take. The connection cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// The first line is longer than [`line_max`](super::HeadLimits::line_max).
    StartLineTooLong,
    /// A field line is longer than [`line_max`](super::HeadLimits::line_max).
    FieldTooLong,
    /// The head is longer than [`bytes_max`](super::HeadLimits::bytes_max).
    TooLarge,
    /// More than [`fields_max`](super::HeadLimits::fields_max) fields.
    TooManyFields,
    /// A line that ends without CR.
    BareLf,
    /// A CR that no LF follows.
    BareCr,
    /// An empty line before the first line, beyond the one that is forgiven.
    EmptyLine,
    /// A field value continued on the next line.
    ObsFold,
    /// White space between a field name and its colon.
    SpaceBeforeColon,
    /// A field line without colon.
    NoColon,
    /// A field name that is not a token.
    FieldName,
    /// A control byte in a field value.
    FieldValue,
    /// A first line that is not `method SP target SP version`.
    RequestLine,
    /// A method that is not a token.
    Method,
    /// A target in none of the four forms, or one its method cannot have.
    Target,
    /// A version other than 1.0 and 1.1.
    Version,
    /// Content-Length and Transfer-Encoding in one message.
    LengthAndCoding,
    /// Several Content-Length values.
    LengthRepeated,
    /// A Content-Length that is not a plain decimal number within 63 bits.
    LengthMalformed,
    /// Several Transfer-Encoding fields, or chunked not once and last.
    CodingMalformed,
    /// A transfer coding we do not know.
    CodingUnknown,
    /// Transfer-Encoding in a message of HTTP/1.0.
    CodingOnOldVersion,
    /// No Host in a request of HTTP/1.1.
    HostMissing,
    /// Several Host fields.
    HostRepeated,
    /// A host or port with bytes or a form that it cannot have.
    HostMalformed,
    /// A first line that is not `version SP status [SP reason]`.
    StatusLine,
}

impl HeadError {
    /// What was wrong, as a noun phrase.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::StartLineTooLong => "a too long request line",
            Self::FieldTooLong => "a too long header line",
            Self::TooLarge => "a too large header",
            Self::TooManyFields => "too many header lines",
            Self::BareLf => "a header line without CR",
            Self::BareCr => "a CR without LF in the header",
            Self::EmptyLine => "an empty line before the header",
            Self::ObsFold => "a folded header line",
            Self::SpaceBeforeColon => "white space before the colon of a header line",
            Self::NoColon => "a header line without colon",
            Self::FieldName => "an invalid header name",
            Self::FieldValue => "a control character in a header value",
            Self::RequestLine => "an invalid request line",
            Self::Method => "an invalid method",
            Self::Target => "an invalid request target",
            Self::Version => "an unsupported HTTP version",
            Self::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            Self::LengthRepeated => "several Content-Length values",
            Self::LengthMalformed => "an invalid Content-Length",
            Self::CodingMalformed => "an invalid Transfer-Encoding",
            Self::CodingUnknown => "an unknown Transfer-Encoding",
            Self::CodingOnOldVersion => "Transfer-Encoding with HTTP/1.0",
            Self::HostMissing => "no Host header with HTTP/1.1",
            Self::HostRepeated => "several Host headers",
            Self::HostMalformed => "an invalid host",
            Self::StatusLine => "an invalid status line",
        }
    }

    /// The status that answers a request refused for this; a bad answer of an upstream is
    /// always 502.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::StartLineTooLong => 414,
            Self::FieldTooLong | Self::TooLarge | Self::TooManyFields => 431,
            Self::CodingUnknown => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// Why a body is not one we take. The connection cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk size that is not 1 to 16 hexadecimal digits within 63 bits.
    ChunkSize,
    /// A control byte in a chunk extension, or white space where none may be.
    ChunkExtension,
    /// A chunk's first line is too long, or extensions outweigh the data by far.
    ChunkOverhead,
    /// Chunk data not followed by CR LF.
    ChunkEnd,
    /// A chunk line that ends without CR.
    BareLf,
    /// A trailer section that is not one.
    Trailers(HeadError),
    /// The connection ended within the body.
    Truncated,
}

impl BodyError {
    /// What was wrong, as a noun phrase.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::ChunkSize => "an invalid chunk size",
            Self::ChunkExtension => "an invalid chunk extension",
            Self::ChunkOverhead => "too long chunk extensions",
            Self::ChunkEnd => "a chunk that does not end where it says",
            Self::BareLf => "a chunk line without CR",
            Self::Trailers(error) => error.why(),
            Self::Truncated => "an incomplete body",
        }
    }

    /// The status that answers a request refused for this, if none was sent yet.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Trailers(error) => error.status(),
            _ => 400,
        }
    }
}

/// Why a head was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The method is not a token.
    Method,
    /// The target is empty or has a blank or a control byte.
    Target,
    /// A field name, a value or the reason has a CR or LF: it would split the message.
    Split,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the method is not a token",
            Self::Target => "the request target has a blank or control character",
            Self::Split => "a header has a line break",
        })
    }
}

impl std::error::Error for HeadError {}
impl std::error::Error for BodyError {}
impl std::error::Error for EncodeError {}
