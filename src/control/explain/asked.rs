//! What `/v1/explain` is asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;

use crate::{parse::uri, worker::Posed};

/// Routes that were not taken which an answer tells of, unless it is asked for more or fewer.
const LIMIT: usize = 50;

/// It tells of no more.
const LIMIT_MAX: usize = 1000;

/// A question.
pub(super) struct Asked {
    /// The request.
    pub(super) posed: Posed,
    /// Who is to be taken for recognised.
    pub(super) consumer: Option<String>,
    /// How many routes that are not taken the answer tells of.
    pub(super) limit: usize,
}

impl Asked {
    /// Reads the query of a request.
    ///
    /// # Errors
    ///
    /// What is wrong, with its name.
    pub(super) fn read(query: &str) -> Result<Self, String> {
        let (mut target, mut host) = (None, None);
        let (mut method, mut consumer) = (b"GET".to_vec(), None);
        let mut peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (mut fields, mut limit) = (Vec::new(), LIMIT);
        for (name, value) in uri::split_args(query.as_bytes()) {
            let name = String::from_utf8_lossy(&uri::decode_arg(name)).into_owned();
            let value = uri::decode_arg(value.unwrap_or_default()).into_owned();
            let text = || String::from_utf8_lossy(&value).into_owned();
            match name.as_str() {
                "uri" => target = Some(value),
                "method" => method = value,
                "host" => host = Some(value),
                "consumer" => consumer = Some(text()),
                "remote_addr" => {
                    let wrong = |_| format!("remote_addr {:?} is no address", text());
                    peer = text().parse().map_err(wrong)?;
                }
                "limit" => {
                    let number = text().parse::<usize>().ok().filter(|number| *number <= LIMIT_MAX);
                    limit = number.ok_or_else(|| {
                        format!("limit {:?} is no number up to {LIMIT_MAX}", text())
                    })?;
                }
                other => match other.strip_prefix("header.") {
                    Some(field) => fields.push((field.as_bytes().to_vec(), value)),
                    None => {
                        return Err(format!(
                            "unknown argument {other:?}; there are uri, method, host, \
                             remote_addr, header.NAME, consumer and limit"
                        ));
                    }
                },
            }
        }
        let target = target.ok_or("the argument uri is missing: a path, with ? and arguments")?;
        if target.first() != Some(&b'/') {
            return Err("uri must begin with a slash".to_owned());
        }
        let named = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        if host.is_some() || !named {
            fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"host"));
            fields.push((b"host".to_vec(), host.unwrap_or_else(|| b"localhost".to_vec())));
        }
        let (peer, body) = (SocketAddr::new(peer, 0), Bytes::new());
        Ok(Self { posed: Posed { method, target, fields, body, peer }, consumer, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_from_the_query() {
        let asked = Asked::read(
            "method=POST&host=a.com&uri=/a%3Fx%3D1%26y&remote_addr=10.1.1.1&header.X-A=b+c&limit=3",
        )
        .unwrap();
        let posed = asked.posed;
        assert_eq!((&posed.method[..], &posed.target[..]), (&b"POST"[..], &b"/a?x=1&y"[..]));
        let fields = [("X-A", "b c"), ("host", "a.com")];
        let fields =
            fields.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        assert_eq!(posed.fields, fields);
        assert_eq!((posed.peer.ip().to_string().as_str(), asked.limit), ("10.1.1.1", 3));
        let plain = Asked::read("uri=/&header.Host=h").unwrap();
        assert_eq!(plain.posed.fields, [(b"Host".to_vec(), b"h".to_vec())]);
        assert_eq!((plain.posed.method, plain.limit), (b"GET".to_vec(), LIMIT));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, word) in [
            ("", "uri is missing"),
            ("uri=a", "slash"),
            ("uri=/&remote_addr=x", "remote_addr"),
            ("uri=/&limit=5000", "limit"),
            ("uri=/&limit=-1", "limit"),
            ("uri=/&hosts=x", "\"hosts\""),
        ] {
            let why = Asked::read(query).err().unwrap();
            assert!(why.contains(word), "{query}: {why}");
        }
    }
}
