//! Compressed bodies.

use crate::codec::trpc::squeeze::{Compress, decompress};

const ALL: [Compress; 5] =
    [Compress::None, Compress::Gzip, Compress::Zlib, Compress::SnappyStream, Compress::SnappyBlock];

#[test]
fn what_is_compressed_comes_back() {
    let body = b"hello, hello, hello, hello".repeat(20);
    for way in ALL {
        let packed = way.compress(body.clone()).expect("compressed");
        assert!(way == Compress::None || packed.len() < body.len() / 4, "{way:?}");
        assert_eq!(decompress(way.encoding(), &packed, body.len()), Ok(body.clone()), "{way:?}");
    }
}

#[test]
fn the_old_snappy_number_is_either_form() {
    for way in [Compress::SnappyStream, Compress::SnappyBlock] {
        let packed = way.compress(b"abc".to_vec()).expect("compressed");
        assert_eq!(decompress(2, &packed, 3), Ok(b"abc".to_vec()));
    }
}

#[test]
fn an_empty_body_needs_no_decompression() {
    for encoding in 0..10 {
        assert_eq!(decompress(encoding, b"", 0), Ok(Vec::new()));
    }
}

#[test]
fn a_body_that_grows_past_the_bound_is_refused() {
    for way in &ALL[1..] {
        let packed = way.compress(vec![0; 100_000]).expect("compressed");
        let error = decompress(way.encoding(), &packed, 99_999).expect_err("too long");
        assert!(error.0.contains("more than 99999 bytes"), "{way:?}: {error}");
        assert!(decompress(way.encoding(), &packed, 100_000).is_ok(), "{way:?}");
    }
}

#[test]
fn damage_and_unknown_ways_are_refused_by_name() {
    for (encoding, body, why) in [
        (1, &b"no gzip"[..], "no gzip"),
        (3, b"no zlib", "no zlib"),
        (4, b"no snappy", "no snappy"),
        // Says 4 GiB, and 64 KiB; both in a few bytes.
        (5, b"\xff\xff\xff\xff\x0f", "more than 1000000 bytes"),
        (5, b"\x80\x80\x04a", "snappy block of 4 bytes says 65536"),
        (6, b"x", "lz4 frame"),
        (7, b"x", "lz4 block"),
        (8, b"x", "unknown way (8)"),
    ] {
        let error = decompress(encoding, body, 1_000_000).expect_err("refused");
        assert!(error.0.contains(why), "{encoding}: {error}");
    }
}
