//! Frames and heads, good and hostile.

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

use crate::codec::{
    Broken, Framing as _,
    trpc::{
        frame::{Frame, Frames, HEADER_BYTES},
        head::{Request, Response},
    },
};

fn frame(head: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame { id: 7, version: 1, head, rest }.write(&mut out);
    out
}

#[track_caller]
fn check_refused(bytes: &[u8], why: &str) {
    let error = match Frames.length(bytes, 1 << 20) {
        Err(error) => error,
        Ok(_) => Frame::parse(bytes).expect_err("refused"),
    };
    assert!(error.0.contains(why), "{error}");
}

#[test]
fn a_length_is_known_with_the_sixteenth_byte() {
    let whole = frame(b"\x18\x07", b"{}");
    for end in 0..HEADER_BYTES {
        assert_eq!(Frames.length(&whole[..end], 100), Ok(None), "{end}");
    }
    assert_eq!(Frames.length(&whole[..HEADER_BYTES], 100), Ok(Some(whole.len())));
}

#[test]
fn a_wrong_beginning_is_refused_with_the_byte_that_shows_it() {
    assert!(Frames.length(b"H", 100).is_err());
    assert!(Frames.length(b"\x09", 100) == Ok(None));
    assert!(Frames.length(b"\x09\x31", 100).is_err());
    let Err(Broken(why)) = Frames.length(b"\x09\x30\x01\x02", 100) else { panic!("a stream") };
    assert_eq!(why, "a stream frame; streams are not supported");
    assert!(Frames.length(b"\x09\x30\x02", 100).is_err());
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let mut bytes = frame(b"\x18\x07", b"{}");
    bytes[7] = 15;
    check_refused(&bytes, "a frame of 15 bytes has a head of 2");
    bytes[7] = 17;
    check_refused(&bytes, "a frame of 17 bytes has a head of 2");
    bytes[7] = 18;
    check_refused(&bytes, "a frame of 20 bytes says it has 18");
    bytes[4] = 0xff;
    check_refused(&bytes, "1048576 are allowed");
    check_refused(&frame(b"", b"{}"), "no head");
}

#[test]
fn an_attachment_is_not_longer_than_what_follows_the_head() {
    let bytes = frame(b"\x18\x07\x60\x03", b"{}a");
    let parsed = Frame::parse(&bytes).expect("a frame");
    assert_eq!(parsed.split(1), Ok((&b"{}"[..], &b"a"[..])));
    assert_eq!(parsed.split(3), Ok((&b""[..], &b"{}a"[..])));
    assert!(parsed.split(4).is_err() && parsed.split(u32::MAX).is_err());
}

#[test]
fn reserved_and_version_bytes_are_accepted_as_they_come() {
    for version in [0, 1, 255] {
        let mut bytes = frame(b"\x18\x07", b"");
        (bytes[3], bytes[14], bytes[15]) = (9, version, 9);
        assert_eq!(Frame::parse(&bytes).map(|frame| frame.version), Ok(version));
    }
}

#[test]
fn the_id_comes_from_the_header_and_only_then_from_the_head() {
    let mut bytes = frame(b"\x18\x09", b"");
    assert_eq!(Frames.id(&bytes), Ok(Some(7)));
    bytes[13] = 0;
    assert_eq!(Frames.id(&bytes), Ok(Some(9)));
    let mut bytes = frame(b"\x20\x01", b"");
    bytes[13] = 0;
    assert_eq!(Frames.id(&bytes), Ok(None));
    assert!(!Frames.ping(1, &mut bytes));
}

#[test]
fn a_negative_code_has_ten_bytes_and_comes_back() {
    let head = Response { ret: -1, func_ret: i32::MIN, ..Response::default() };
    let mut out = Vec::new();
    head.encode(&mut out);
    assert_eq!(&out[..11], b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    assert_eq!(Response::decode(&out), Ok(head));
    // Some libraries write five bytes.
    let short = Response::decode(b"\x20\xff\xff\xff\xff\x0f").map(|head| head.ret);
    assert_eq!(short, Ok(-1));
}

#[test]
fn unknown_fields_are_skipped() {
    let bytes = b"\x18\x05\xa0\x06\x01\xa9\x06\x01\x02\x03\x04\x05\x06\x07\x08\xb2\x06\x02hi\
        \xbd\x06\x01\x02\x03\x04\xc3\x06\x08\x01\xcb\x06\xcc\x06\xc4\x06\x50\x02\x58\x07";
    let request = Request::decode(bytes).expect("a head");
    assert_eq!((request.request_id, request.content_type, request.content_encoding), (5, 2, 7));
    let response = Response::decode(bytes).expect("a head");
    assert_eq!((response.request_id, response.content_encoding), (5, 2));
}

#[test]
fn the_last_of_two_values_counts() {
    assert_eq!(Request::decode(b"\x18\x05\x18\x06").map(|head| head.request_id), Ok(6));
}

#[test]
fn broken_heads_are_refused() {
    for (bytes, why) in [
        (&b"\x18"[..], "too early"),
        (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "more than 10 bytes"),
        (b"\x00\x01", "out of range"),
        (b"\x2a\x05abc", "cut after 3"),
        (b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut after 0"),
        (b"\x28\x05", "not bytes"),
        (b"\x1a\x01a", "no number"),
        (b"\x19\x01", "cut after 1"),
        (b"\x1e", "unknown wire type 6"),
        (b"\x4a\x03\x0a\x01\xff", "not UTF-8"),
        (b"\x4a\x02\x08\x01", "not bytes"),
        (b"\xa3\x06", "no end"),
        (b"\xa3\x06\x1c", "ends as 3"),
        (b"\xa4\x06", "never began"),
    ] {
        let error = Request::decode(bytes).expect_err("refused");
        assert!(error.0.contains(why), "{error} is not {why}");
    }
    let deep = b"\xa3\x06".repeat(200);
    assert!(Request::decode(&deep).expect_err("deep").0.contains("deeper than 100"));
}

fn metadata() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec(("\\PC{0,8}", prop::collection::vec(any::<u8>(), 0..16)), 0..4)
}

proptest! {
    #[test]
    fn requests_come_back(
        numbers in any::<[u32; 8]>(),
        texts in any::<[Vec<u8>; 3]>(),
        metadata in metadata(),
    ) {
        let head = Request {
            version: numbers[0], call_type: numbers[1], request_id: numbers[2],
            timeout_ms: numbers[3], caller: &texts[0], callee: &texts[1], func: &texts[2],
            message_type: numbers[4],
            trans_info: metadata.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect(),
            content_type: numbers[5], content_encoding: numbers[6], attachment_size: numbers[7],
        };
        let mut out = Vec::new();
        head.encode(&mut out);
        prop_assert_eq!(Request::decode(&out), Ok(head));
    }

    #[test]
    fn responses_come_back(
        numbers in any::<[u32; 7]>(),
        codes in any::<[i32; 2]>(),
        text in any::<Vec<u8>>(),
        metadata in metadata(),
    ) {
        let head = Response {
            version: numbers[0], call_type: numbers[1], request_id: numbers[2],
            ret: codes[0], func_ret: codes[1], error_msg: &text, message_type: numbers[3],
            trans_info: metadata.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect(),
            content_type: numbers[4], content_encoding: numbers[5], attachment_size: numbers[6],
        };
        let mut out = Vec::new();
        head.encode(&mut out);
        prop_assert_eq!(Response::decode(&out), Ok(head));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = (Request::decode(&bytes), Response::decode(&bytes));
        let _ = (Frames.length(&bytes, 1000), Frames.id(&bytes), Frame::parse(&bytes));
    }
}
