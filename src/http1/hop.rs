//! Fields that mean one connection only and are not passed on.

use super::head::list;
use crate::fields::Fields;

/// Fields of one hop, whether Connection names them or not (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&[u8]; 6] =
    [b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"];

/// Fields that Connection cannot take away: they mean the whole way, and a client must not
/// be able to strip what a proxy in front of us has set.
const END_TO_END: [&[u8]; 19] = [
    b"host",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"content-range",
    b"authorization",
    b"cookie",
    b"set-cookie",
    b"cache-control",
    b"date",
    b"expect",
    b"forwarded",
    b"location",
    b"origin",
    b"referer",
    b"trailer",
    b"vary",
    b"via",
    b"x-real-ip",
];

/// What Connection holds besides names of fields, or names that go anyway.
const UNNAMED: [&[u8]; 4] = [b"close", b"keep-alive", b"upgrade", b"te"];

/// What may not come behind a body (RFC 9110, 6.5.1): framing, routing, conditions, what says
/// who asks, and what tells how to read what came before. A peer that merges trailers into the
/// head must not get these from somebody who knows that nobody looks there.
const NOT_IN_TRAILERS: [&[u8]; 24] = [
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authorization",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"trailer",
    b"vary",
    b"via",
    b"www-authenticate",
    b"x-real-ip",
];

/// Families of such fields.
const NOT_IN_TRAILERS_FROM: [&[u8]; 3] = [b"if-", b"x-consumer-", b"x-forwarded-"];

/// Whether a field of this name, any case, may come behind a body and is passed on there.
#[must_use]
pub fn may_trail(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    let starts = |start: &&[u8]| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    !is_hop_by_hop(name)
        && !is_one_of(&NOT_IN_TRAILERS, name)
        && !NOT_IN_TRAILERS_FROM.iter().any(starts)
}

/// Whether a field of this name, any case, is for one connection only.
#[must_use]
pub fn is_hop_by_hop(name: impl AsRef<[u8]>) -> bool {
    is_one_of(&HOP_BY_HOP, name.as_ref())
}

/// Drops the fields that Connection names. Done before anybody looks at a request: what a
/// client says about its own fields cannot take away what is added to them later. Fields that
/// mean the whole way stay even if it names them.
pub fn remove_nominated(fields: &mut Fields) {
    let named = nominated(fields);
    if !named.is_empty() {
        fields.retain(|name, _| named.binary_search(&name.to_ascii_lowercase()).is_err());
    }
}

/// Names that Connection holds, in small letters, sorted, so that a long list costs no more
/// than its length allows.
#[must_use]
pub fn nominated(fields: &Fields) -> Vec<Vec<u8>> {
    let mut named: Vec<Vec<u8>> = Vec::new();
    for value in fields.get_all("connection") {
        named.extend(
            list(value)
                .filter(|name| {
                    !is_one_of(&UNNAMED, name) && !is_hop_by_hop(name) && !is_end_to_end(name)
                })
                .map(<[u8]>::to_ascii_lowercase),
        );
    }
    named.sort_unstable();
    named
}

/// Drops the fields of one hop and those that Connection names. Fields that mean the whole
/// way stay even if it names them: Host, Content-*, Authorization, Cookie, X-Forwarded-*, …
pub fn remove_hop_by_hop(fields: &mut Fields) {
    let named = nominated(fields);
    if named.is_empty() {
        fields.retain(|name, _| !is_hop_by_hop(name));
        return;
    }
    fields.retain(|name, _| {
        !is_hop_by_hop(name) && named.binary_search(&name.to_ascii_lowercase()).is_err()
    });
}

fn is_end_to_end(name: &[u8]) -> bool {
    let forwarded = b"x-forwarded-";
    is_one_of(&END_TO_END, name)
        || name.get(..forwarded.len()).is_some_and(|start| start.eq_ignore_ascii_case(forwarded))
}

#[inline]
fn is_one_of(names: &[&[u8]], name: &[u8]) -> bool {
    names.iter().any(|known| known.len() == name.len() && known.eq_ignore_ascii_case(name))
}
