//! gzip towards the client, for a response of which a plugin wants it
//! (`resty.apisix.response.set_gzip`), by nginx's rules.
//!
//! Whether it can be is decided when the head leaves: a filter may have failed before, and then
//! the response is another one. A client that takes no gzip gets the body as it is.

use bytes::Bytes;

use super::respond::Sink;
use crate::{
    error::{Error, Kind, Result},
    exchange::{Exchange, Packing, packing::Gzip},
    fields::Fields,
};

/// A sink that packs the body on its way to another one, if `x.response.packing` says so.
pub(super) struct Packed<'s, S>(pub(super) &'s mut S);

impl<S: Sink> Sink for Packed<'_, S> {
    async fn head(&mut self, x: &mut Exchange, bodiless: bool) -> Result<()> {
        if let Packing::Wanted(level) = x.response.packing {
            let fits = !bodiless && self.packs() && fits(x);
            x.response.packing = if fits { begin(x, level) } else { Packing::No };
        }
        self.0.head(x, bodiless).await
    }

    async fn data(&mut self, x: &mut Exchange, data: Bytes) -> Result<()> {
        let data = match &mut x.response.packing {
            Packing::Running(gzip) => gzip.pack(&data).map_err(failed)?,
            _ => data,
        };
        self.pass(x, data).await
    }

    async fn flush(&mut self, x: &mut Exchange) -> Result<()> {
        if let Packing::Running(gzip) = &mut x.response.packing {
            let data = gzip.flush().map_err(failed)?;
            self.pass(x, data).await?;
        }
        self.0.flush(x).await
    }

    async fn end(&mut self, x: &mut Exchange, trailers: Option<Fields>) -> Result<()> {
        if let Packing::Running(gzip) = std::mem::take(&mut x.response.packing) {
            let data = gzip.finish().map_err(failed)?;
            self.pass(x, data).await?;
        }
        self.0.end(x, trailers).await
    }

    fn packs(&self) -> bool {
        self.0.packs()
    }
}

impl<S: Sink> Packed<'_, S> {
    async fn pass(&mut self, x: &mut Exchange, data: Bytes) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.0.data(x, data).await
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::from(Kind::Plugin).because(error.to_string())
}

/// Whether nginx would pack this response for this client.
fn fits(x: &Exchange) -> bool {
    let fields = &x.head.fields;
    matches!(x.response.status, 200 | 403 | 404)
        && x.response.fields.get("content-encoding").is_none_or(<[u8]>::is_empty)
        // A proxy on the way may keep the body for clients that take no gzip.
        && !fields.contains("via")
        && fields.get_all("accept-encoding").any(takes_gzip)
}

/// Whether an `Accept-Encoding` names gzip, with a weight above 0.
fn takes_gzip(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|coding| {
        let mut parts = coding.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"))
            && parts.all(|param| !is_zero_weight(param))
    })
}

/// Whether a parameter is `q=0`, with any number of decimals.
fn is_zero_weight(param: &[u8]) -> bool {
    match param {
        [b'q' | b'Q', rest @ ..] => match rest.trim_ascii_start() {
            [b'=', weight @ ..] => {
                let weight = std::str::from_utf8(weight).ok().and_then(|w| w.trim().parse().ok());
                // What is no number is no reason to leave gzip out.
                weight.is_some_and(|weight: f32| weight <= 0.0)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Has the head say that the body is packed: its length is not known, ranges of it cannot be
/// asked for, and its bytes are not those that a strong entity tag stands for.
fn begin(x: &mut Exchange, level: u32) -> Packing {
    let response = &mut x.response;
    // There may be no room for another field.
    if response.fields.set("Content-Encoding", "gzip").is_err() {
        return Packing::No;
    }
    response.length = None;
    response.fields.remove("accept-ranges");
    weaken_tag(&mut response.fields);
    Packing::Running(Box::new(Gzip::new(level)))
}

/// Makes a strong `ETag` a weak one; what is no entity tag goes.
fn weaken_tag(fields: &mut Fields) {
    let weak = match fields.get("etag") {
        None | Some([b'W', b'/', ..]) => return,
        Some(tag @ [b'"', ..]) => Some([&b"W/"[..], tag].concat()),
        Some(_) => None,
    };
    if weak.is_none_or(|tag| fields.set("ETag", tag).is_err()) {
        fields.remove("etag");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_whether_it_takes_gzip() {
        for value in ["gzip", "GZIP", "deflate, gzip", "gzip;q=0.5", "br,gzip ; q=1", "gzip;q=x"] {
            assert!(takes_gzip(value.as_bytes()), "{value}");
        }
        for value in ["", "deflate", "x-gzip", "gzip;q=0", "gzip; q=0.000", "gzip;Q = 0", "*", "gz"]
        {
            assert!(!takes_gzip(value.as_bytes()), "{value}");
        }
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> Exchange {
        let mut x = Exchange::default();
        x.head.fields.set("Accept-Encoding", "gzip").unwrap();
        x.response.status = status;
        x.response.length = Some(5);
        for (name, value) in fields {
            x.response.fields.set(name, *value).unwrap();
        }
        x
    }

    #[test]
    fn some_answers_are_packed_and_others_not() {
        for status in [200, 403, 404] {
            assert!(fits(&response(status, &[])), "{status}");
        }
        for status in [201, 206, 302, 500] {
            assert!(!fits(&response(status, &[])), "{status}");
        }
        assert!(!fits(&response(200, &[("Content-Encoding", "br")])));
        let mut proxied = response(200, &[]);
        proxied.head.fields.set("Via", "1.1 x").unwrap();
        assert!(!fits(&proxied));
    }

    #[test]
    fn the_head_of_a_packed_answer_promises_nothing_about_its_bytes() {
        for (tag, weak) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None)] {
            let mut x = response(200, &[("ETag", tag), ("Accept-Ranges", "bytes")]);
            assert!(begin(&mut x, 1).is_asked());
            assert_eq!(x.response.fields.get("etag"), weak.map(str::as_bytes), "{tag}");
            assert_eq!(x.response.fields.get("content-encoding"), Some(&b"gzip"[..]));
            assert!(!x.response.fields.contains("accept-ranges"));
            assert_eq!(x.response.length, None);
        }
    }
}
