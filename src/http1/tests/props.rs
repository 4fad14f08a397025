//! Properties: pieces do not matter, what is written reads back, and what we take
//! `httparse` takes too, with the same meaning.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    BodyDecoder, HeadError, HeadLimits, Progress, RequestHead, ResponseHead, decode, parse_request,
    parse_response, request, response,
};
use crate::{
    fields::Fields,
    http1::{CHUNK_END, Framing, chunk_head, last_chunk, request_head, response_head},
};

/// Fragments from which near misses of heads are built.
const PIECES: [&str; 40] = [
    "GET ",
    "POST ",
    "/",
    "/a?b",
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/2.0",
    "HTTP/1.1 ",
    "200",
    " OK",
    "204 x",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "Host: h",
    "Host:",
    "Content-Length: ",
    "5",
    "0",
    "Transfer-Encoding: ",
    "chunked",
    "gzip",
    ", ",
    " ",
    "\t",
    ":",
    "\0",
    "\u{e9}",
    "A: b",
    "Connection: ",
    "close",
    "keep-alive",
    "http://",
    "x",
    ";",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
];

fn small() -> HeadLimits {
    HeadLimits { bytes_max: 90, fields_max: 3, line_max: 30 }
}

fn near_misses() -> impl Strategy<Value = Vec<u8>> {
    let start =
        select(vec!["", "GET / HTTP/1.1\r\nHost: h\r\n", "HTTP/1.1 200 OK\r\n", "\r\nPUT /"]);
    (start, vec(select(PIECES.to_vec()), 0..16))
        .prop_map(|(start, pieces)| (start.to_owned() + &pieces.concat()).into_bytes())
}

/// Runs `parse` on longer and longer fronts of `bytes`, then on all of it.
fn in_pieces(
    bytes: &[u8],
    cuts: &[usize],
    mut parse: impl FnMut(&[u8]) -> Result<Progress, HeadError>,
) -> Result<Progress, HeadError> {
    let mut at = 0;
    for cut in cuts {
        at = (*cut).clamp(at, bytes.len());
        match parse(&bytes[..at]) {
            Ok(Progress::Partial) => {}
            other => return other,
        }
    }
    parse(bytes)
}

fn check_pieces(bytes: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<(), TestCaseError> {
    let (mut whole, mut pieces) = (RequestHead::new(), RequestHead::new());
    let expected = parse_request(bytes, limits, &mut whole);
    prop_assert_eq!(
        in_pieces(bytes, cuts, |front| parse_request(front, limits, &mut pieces)),
        expected
    );
    prop_assert_eq!((whole.raw(), &whole.fields), (pieces.raw(), &pieces.fields));
    prop_assert_eq!((whole.framing(), whole.host()), (pieces.framing(), pieces.host()));
    let (mut whole, mut pieces) = (ResponseHead::new(), ResponseHead::new());
    let expected = parse_response(bytes, limits, b"GET", &mut whole);
    prop_assert_eq!(
        in_pieces(bytes, cuts, |front| parse_response(front, limits, b"GET", &mut pieces)),
        expected
    );
    prop_assert_eq!((whole.status(), &whole.fields), (pieces.status(), &pieces.fields));
    Ok(())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0..140_usize, 0..20).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

fn some_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = "[!-~]([ -~\\t]{0,20}[!-~])?".prop_map(String::into_bytes);
    vec(("X-[a-zA-Z0-9_.!]{1,12}", value), 0..40)
}

fn pairs(fields: &[(String, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn heads_do_not_depend_on_the_pieces_they_come_in(bytes in near_misses(), cuts in cuts()) {
        check_pieces(&bytes, &cuts, &HeadLimits::default())?;
        check_pieces(&bytes, &cuts, &small())?;
        let each: Vec<usize> = (0..bytes.len()).collect();
        check_pieces(&bytes, &each, &small())?;
    }

    #[test]
    fn bodies_do_not_depend_on_the_pieces_they_come_in(
        bytes in vec(select(vec![
            "1\r\nx\r\n", "5\r\nhello\r\n", "a;b=c\r\n0123456789\r\n", "0\r\n", "0\r\n\r\n", "\r\n", "A: b\r\n",
            "\n", "\r", "5", " ", ";", "x", "Host: h\r\n",
        ]), 0..12),
        cuts in cuts(),
    ) {
        let bytes = bytes.concat().into_bytes();
        for framing in [Framing::Chunked, Framing::Length(9), Framing::Close, Framing::None] {
            let whole = decode(BodyDecoder::request(framing), &bytes, &[]);
            prop_assert_eq!(&decode(BodyDecoder::request(framing), &bytes, &cuts), &whole);
            let each: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&decode(BodyDecoder::request(framing), &bytes, &each), &whole);
            // What an answer's decoder adds is patience, never another reading.
            let patient = decode(BodyDecoder::response(framing), &bytes, &cuts);
            prop_assert!(whole.is_err() || patient == whole);
        }
    }

    #[test]
    fn what_we_take_httparse_takes_too(bytes in near_misses()) {
        let mut head = RequestHead::new();
        if let Ok(Progress::Done(len)) = parse_request(&bytes, &HeadLimits::default(), &mut head) {
            let mut slots = [httparse::EMPTY_HEADER; 64];
            let mut other = httparse::Request::new(&mut slots);
            prop_assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(len)));
            prop_assert_eq!(other.method.map(str::as_bytes), Some(head.method()));
            prop_assert_eq!(other.path.map(str::as_bytes), Some(head.target()));
            if !head.target().starts_with(b"http") {
                let fields: Vec<_> = other.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
                prop_assert_eq!(head.fields.iter().collect::<Vec<_>>(), fields);
            }
        }
    }

    #[test]
    fn a_request_written_reads_back(
        method in "[A-Z]{1,8}", target in "/[!-~]{0,40}", fields in some_fields(), body in 0..4u8,
    ) {
        prop_assume!(method != "CONNECT");
        let mut all = pairs(&fields);
        all.push((b"Host", b"h"));
        let framing = match body {
            0 => { all.push((b"Content-Length", b"77")); Framing::Length(77) }
            1 => { all.push((b"transfer-encoding", b"chunked")); Framing::Chunked }
            _ => Framing::None,
        };
        let mut out = Vec::new();
        request_head(&mut out, method.as_bytes(), target.as_bytes(), all.iter().copied()).unwrap();
        let (head, len) = request(&out).unwrap();
        prop_assert_eq!((len, head.method(), head.target()), (out.len(), method.as_bytes(), target.as_bytes()));
        prop_assert_eq!((head.framing(), head.raw()), (framing, &out[..]));
        prop_assert_eq!(head.fields.iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_response_written_reads_back(
        status in 200..1000u16, reason in "[A-Za-z]{1,20}", fields in some_fields(),
    ) {
        let mut out = Vec::new();
        response_head(&mut out, status, reason.as_bytes(), 1, pairs(&fields)).unwrap();
        let head = response("GET", &out).unwrap();
        prop_assert_eq!((head.status(), head.reason()), (status, reason.as_bytes()));
        prop_assert_eq!(head.fields.iter().collect::<Vec<_>>(), pairs(&fields));
    }

    #[test]
    fn chunks_written_read_back(
        chunks in vec(vec(any::<u8>(), 1..300), 0..8), trailers in some_fields(), cuts in cuts(),
    ) {
        let trailers = &trailers[..trailers.len().min(20)];
        let mut out = Vec::new();
        for chunk in &chunks {
            chunk_head(&mut out, chunk.len());
            out.extend_from_slice(chunk);
            out.extend_from_slice(CHUNK_END);
        }
        last_chunk(&mut out, Some(&Fields::from_parts(pairs(trailers)).unwrap()));
        out.extend_from_slice(b"next");
        let body = decode(BodyDecoder::request(Framing::Chunked), &out, &cuts).unwrap();
        prop_assert_eq!((body.data, body.rest), (chunks.concat(), Some(b"next".to_vec())));
        prop_assert!(body.trailers.iter().map(|(n, v)| (&n[..], &v[..])).eq(pairs(trailers)));
    }

    #[test]
    fn a_head_is_refused_or_complete_whatever_the_bytes(bytes in vec(any::<u8>(), 0..200)) {
        check_pieces(&bytes, &[1, 50, 100], &small())?;
        decode(BodyDecoder::response(Framing::Chunked), &bytes, &[7, 40]).ok();
    }
}
