//! What holds for every message.

use proptest::prelude::*;

use super::{
    super::{
        Algorithm, SigningKey,
        order::{Order, sign},
        structured, text,
    },
    Message, Scheme, Select, claim,
};

fn keys() -> Vec<SigningKey> {
    let pkcs8 = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF";
    vec![
        SigningKey::new(Algorithm::HmacSha256, b"secret").unwrap(),
        SigningKey::new(Algorithm::Ed25519, pkcs8.as_bytes()).unwrap(),
    ]
}

proptest! {
    #[test]
    fn what_is_signed_is_accepted_and_nothing_else(
        method in "[A-Z]{1,7}",
        path in "/[a-zA-Z0-9/._~%!$&'()*+,;:=@-]{0,40}",
        query in "[a-c]=[a-z0-9%]{0,5}(&[d-f]=[a-z]{0,5})?",
        value in "[ -~]{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..50),
        other in "[ -~]{0,40}",
    ) {
        let target = format!("{path}?{query}");
        for scheme in Scheme::ALL {
            for key in keys() {
                if key.algorithm() == Algorithm::Ed25519 && scheme != Scheme::Rfc9421 {
                    continue;
                }
                let (method, value) = (method.as_bytes(), value.as_bytes());
                let fields: Vec<(&[u8], &[u8])> =
                    vec![(b"Host", b"h:8080"), (b"X", value), (b"Content-Type", b"a/b")];
                let message = Message {
                    method, scheme: "http", authority: b"h:8080", target: target.as_bytes(),
                    fields: &fields, status: None, request: None,
                };
                let covered: &[&str] = match scheme {
                    Scheme::Rfc9421 => &["x", "@method", "@target-uri", "content-digest"],
                    Scheme::HmacAuth => &["@request-target", "date", "x", "digest"],
                    _ => &["x", "content-type"],
                };
                let order = Order {
                    scheme, key_id: "k", key: &key, now: 1_700_000_000, lifetime: None,
                    nonce: Some("abc"), label: "a", tag: Some("t"), covered, region: "r",
                    service: "s", body: Some(&body),
                };
                let added = sign(&message, &order).unwrap();
                let mut all = fields.clone();
                all.extend(added.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
                let sent = Message { fields: &all, ..message };
                let found = claim(scheme, &sent, Select::default()).unwrap();
                prop_assert!(found.verify(&key.verifier(), None));
                prop_assert_eq!(found.timestamp, Some(1_700_000_000));
                let words = |text: &[u8]| -> Vec<Vec<u8>> {
                    let lower = text.to_ascii_lowercase();
                    lower.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty())
                        .map(<[u8]>::to_vec).collect()
                };
                if words(other.as_bytes()) != words(value) {
                    all[1].1 = other.as_bytes();
                    let changed = Message { fields: &all, ..message };
                    if let Ok(found) = claim(scheme, &changed, Select::default()) {
                        prop_assert!(!found.verify(&key.verifier(), None));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(input in "[ -~]{0,60}") {
        if let Ok(members) = structured::dictionary(input.as_bytes()) {
            let mut out = Vec::new();
            structured::write_dictionary(&mut out, &members);
            prop_assert_eq!(structured::dictionary(&out), Ok(members));
        }
        if let Ok(members) = structured::list(input.as_bytes()) {
            let mut out = Vec::new();
            structured::write_list(&mut out, &members);
            prop_assert_eq!(structured::list(&out), Ok(members));
        }
    }

    #[test]
    fn dates_are_read_as_they_are_written(seconds in 0_i64..253_402_300_799) {
        let compact = text::write_compact_date(seconds);
        prop_assert_eq!(text::compact_date(compact.as_bytes()), Some(seconds));
        let http = crate::clock::http_date(u64::try_from(seconds).unwrap());
        prop_assert_eq!(text::http_date(&http), Some(seconds));
    }

    #[test]
    fn no_byte_breaks_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = structured::dictionary(&bytes);
        let _ = structured::item(&bytes);
        let _ = text::http_date(&bytes);
        let _ = text::compact_date(&bytes);
        for scheme in Scheme::ALL {
            let fields: Vec<(&[u8], &[u8])> = vec![
                (b"Host", b"h"), (b"Authorization", &bytes), (b"Signature-Input", &bytes),
                (b"Signature", &bytes), (b"X-Amz-Date", &bytes), (b"Date", &bytes),
                (b"Content-Digest", &bytes), (b"Digest", &bytes), (b"X-TC-Timestamp", &bytes),
            ];
            let message = Message {
                method: b"GET", scheme: "http", authority: b"h", target: &bytes,
                fields: &fields, status: None, request: None,
            };
            let _ = claim(scheme, &message, Select::default());
        }
    }
}
