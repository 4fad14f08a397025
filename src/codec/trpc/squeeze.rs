//! Compression of bodies, by the numbers of `content_encoding`.

use std::io::{Read, Write as _};

use flate2::{
    Compression,
    read::{MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use serde::Deserialize;
use snap::{raw, read::FrameDecoder, write::FrameEncoder};

use crate::codec::Broken;

/// What a stream of Snappy frames begins with.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// How we compress the body of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// zlib.
    Zlib,
    /// Snappy, in frames.
    SnappyStream,
    /// Snappy, one block.
    SnappyBlock,
}

impl Compress {
    /// The number that tells the other side.
    #[must_use]
    pub fn encoding(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Zlib => 3,
            Self::SnappyStream => 4,
            Self::SnappyBlock => 5,
        }
    }

    /// Compresses a body.
    ///
    /// # Errors
    /// The body is too long for the format (Snappy: 4 GiB).
    pub fn compress(self, body: Vec<u8>) -> Result<Vec<u8>, String> {
        let done = match self {
            Self::None => return Ok(body),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
            Self::SnappyStream => {
                let mut encoder = FrameEncoder::new(Vec::new());
                encoder
                    .write_all(&body)
                    .and_then(|()| encoder.into_inner().map_err(|error| error.into_error()))
            }
            Self::SnappyBlock => raw::Encoder::new().compress_vec(&body).map_err(Into::into),
        };
        done.map_err(|error| error.to_string())
    }
}

/// The body behind `encoding`, at most `max` bytes of it.
///
/// # Errors
/// The encoding is not supported, the data is damaged, or there is more than `max`.
pub fn decompress(encoding: u32, body: &[u8], max: usize) -> Result<Vec<u8>, Broken> {
    if body.is_empty() || encoding == 0 {
        return Ok(body.to_vec());
    }
    match encoding {
        1 => read(MultiGzDecoder::new(body), "gzip", max),
        2 if body.starts_with(SNAPPY_STREAM) => read(FrameDecoder::new(body), "snappy", max),
        3 => read(ZlibDecoder::new(body), "zlib", max),
        4 => read(FrameDecoder::new(body), "snappy", max),
        // The number 2 is a stream for Go and a block for C++; the first bytes told which.
        2 | 5 => block(body, max),
        6 => Err(Broken("the body is compressed as lz4 frame, which is not supported".to_owned())),
        7 => Err(Broken("the body is compressed as lz4 block, which is not supported".to_owned())),
        other => Err(Broken(format!("the body is compressed in an unknown way ({other})"))),
    }
}

fn read(from: impl Read, name: &str, max: usize) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit)
        .read_to_end(&mut body)
        .map_err(|error| Broken(format!("the body is no {name}: {error}")))?;
    if body.len() > max {
        return Err(too_long(max));
    }
    Ok(body)
}

fn block(body: &[u8], max: usize) -> Result<Vec<u8>, Broken> {
    let broken = |error: snap::Error| Broken(format!("the body is no snappy block: {error}"));
    // The block says how much will come out: nothing is allocated before that is checked. It
    // may also say more than such a block can hold, a copy of 64 bytes taking two.
    let length = raw::decompress_len(body).map_err(broken)?;
    if length > max {
        return Err(too_long(max));
    }
    if length > body.len().saturating_mul(64) {
        return Err(Broken(format!("a snappy block of {} bytes says {length}", body.len())));
    }
    raw::Decoder::new().decompress_vec(body).map_err(broken)
}

fn too_long(max: usize) -> Broken {
    Broken(format!("the body has more than {max} bytes after decompression"))
}
