//! Tests of the codec: what is taken, what is refused and with which words, and that
//! neither depends on the pieces in which bytes arrive.

mod body;
mod encode;
mod props;
mod request;
mod response;

use bytes::BytesMut;

use super::{
    BodyDecoder, BodyError, Decoded, HeadError, HeadLimits, Progress, RequestHead, ResponseHead,
    parse_request, parse_response,
};

/// Parses a whole request head; its length.
fn request(bytes: &[u8]) -> Result<(RequestHead, usize), HeadError> {
    let mut head = RequestHead::new();
    match parse_request(bytes, &HeadLimits::default(), &mut head)? {
        Progress::Done(len) => Ok((head, len)),
        Progress::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
}

/// Parses a whole response head to a request with this method.
fn response(method: &str, bytes: &[u8]) -> Result<ResponseHead, HeadError> {
    let mut head = ResponseHead::new();
    match parse_response(bytes, &HeadLimits::default(), method.as_bytes(), &mut head)? {
        Progress::Done(_) => Ok(head),
        Progress::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
}

/// What a body came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes behind the end, if it was reached.
    rest: Option<Vec<u8>>,
}

/// Decodes `bytes`, which arrive in pieces cut at `cuts`.
fn decode(mut decoder: BodyDecoder, bytes: &[u8], cuts: &[usize]) -> Result<Body, BodyError> {
    let mut body = Body::default();
    let mut buf = BytesMut::new();
    let mut at = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let cut = cut.clamp(at, bytes.len());
        buf.extend_from_slice(&bytes[at..cut]);
        at = cut;
        loop {
            match decoder.decode(&mut buf)? {
                Decoded::Data(data) => {
                    assert!(!data.is_empty() && body.trailers.is_empty());
                    body.data.extend_from_slice(&data);
                }
                Decoded::Trailers(fields) => {
                    assert!(!fields.is_empty() && body.trailers.is_empty());
                    body.trailers = fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
                }
                Decoded::End => break,
                Decoded::NeedMore => break,
            }
        }
        assert_eq!(decoder.wire_bytes() as usize, at - buf.len());
    }
    assert_eq!(decoder.data_bytes() as usize, body.data.len());
    if decoder.is_done() {
        assert_eq!(decoder.decode(&mut buf), Ok(Decoded::End));
        assert_eq!(decoder.close(), Ok(()));
        body.rest = Some(buf.to_vec());
    }
    Ok(body)
}
