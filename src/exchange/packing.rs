//! A body that is packed with gzip on its way to the client.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Whether the body of a response is packed.
#[derive(Debug, Default)]
pub enum Packing {
    /// It is not.
    #[default]
    No,
    /// A plugin wants it, with this level from 1 to 9. Whether it can be is decided when the head
    /// leaves.
    Wanted(u32),
    /// It is.
    Running(Box<Gzip>),
}

impl Packing {
    /// Whether it is packed, or may yet be.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        !matches!(self, Self::No)
    }
}

/// A stream of gzip (RFC 1952). What it keeps is bounded by deflate's window.
#[derive(Debug)]
pub struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
    /// Whether it holds something that [`Gzip::flush`] would give.
    holds: bool,
}

impl Gzip {
    /// A stream, with a level from 1 (fastest) to 9 (smallest).
    #[must_use]
    pub fn new(level: u32) -> Self {
        let level = Compression::new(level.clamp(1, 9));
        Self { encoder: GzEncoder::new(Vec::new(), level), holds: false }
    }

    /// Takes a piece; what has come out so far, often nothing.
    ///
    /// # Errors
    ///
    /// Those of the encoder: none are known.
    pub fn pack(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        self.encoder.write_all(piece)?;
        self.holds = true;
        Ok(self.taken())
    }

    /// Everything that was taken, so that the client can read it now. Costs a few bytes.
    ///
    /// # Errors
    ///
    /// As [`Gzip::pack`].
    pub fn flush(&mut self) -> io::Result<Bytes> {
        if std::mem::take(&mut self.holds) {
            self.encoder.flush()?;
        }
        Ok(self.taken())
    }

    /// The end of the stream.
    ///
    /// # Errors
    ///
    /// As [`Gzip::pack`].
    pub fn finish(self) -> io::Result<Bytes> {
        self.encoder.finish().map(Bytes::from)
    }

    fn taken(&mut self) -> Bytes {
        std::mem::take(self.encoder.get_mut()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // An unfinished stream gives what it has, and then an error.
        let _ = GzDecoder::new(packed).read_to_end(&mut out);
        out
    }

    #[test]
    fn what_goes_in_comes_out_again() {
        let mut gzip = Gzip::new(6);
        let mut packed = Vec::new();
        for at in 0..1000 {
            packed.extend_from_slice(&gzip.pack(format!("piece {at}\n").as_bytes()).unwrap());
        }
        packed.extend_from_slice(&gzip.finish().unwrap());
        let text: String = (0..1000).map(|at| format!("piece {at}\n")).collect();
        assert!(packed.len() < text.len() / 2, "{} bytes", packed.len());
        assert_eq!(unpacked(&packed), text.as_bytes());
    }

    #[test]
    fn a_flush_gives_all_that_went_in_and_the_next_one_nothing() {
        let mut gzip = Gzip::new(1);
        let mut packed = gzip.pack(b"first").unwrap().to_vec();
        packed.extend_from_slice(&gzip.flush().unwrap());
        assert_eq!(unpacked(&packed), b"first");
        assert!(gzip.flush().unwrap().is_empty());
        packed.extend_from_slice(&gzip.pack(b" second").unwrap());
        packed.extend_from_slice(&gzip.finish().unwrap());
        assert_eq!(unpacked(&packed), b"first second");
    }

    #[test]
    fn an_empty_body_is_a_stream_too() {
        let packed = Gzip::new(9).finish().unwrap();
        assert_eq!((packed.len(), unpacked(&packed)), (20, Vec::new()));
    }
}
