//! A signed message of each scheme, changed in one place: what must be seen, and what need not.

use super::{
    super::{
        Algorithm, SigningKey, digest,
        order::{Order, sign},
    },
    Message, Scheme, read,
};

/// A message that owns its parts.
#[derive(Clone)]
struct Parts {
    method: &'static str,
    scheme: &'static str,
    host: &'static str,
    target: String,
    fields: Vec<(String, String)>,
    body: &'static [u8],
}

impl Parts {
    fn with<T>(&self, then: impl FnOnce(&Message<'_>) -> T) -> T {
        let fields: Vec<(&[u8], &[u8])> =
            self.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        then(&Message {
            method: self.method.as_bytes(),
            scheme: self.scheme,
            authority: self.host.as_bytes(),
            target: self.target.as_bytes(),
            fields: &fields,
            status: None,
            request: None,
        })
    }

    fn line(&mut self, name: &str) -> &mut String {
        &mut self.fields.iter_mut().find(|(known, _)| known == name).unwrap().1
    }

    fn holds(&self, scheme: Scheme, key: &SigningKey) -> bool {
        let sum = digest::sha256(self.body);
        self.with(|message| match read(scheme, message) {
            Ok(claim) => {
                let body = match &claim.body {
                    super::super::Bound::Digests(expected) => {
                        let mut sums = digest::Hashing::of(expected);
                        let (front, back) = self.body.split_at(self.body.len() / 2);
                        sums.update(front);
                        sums.update(back);
                        sums.finish().hold(expected)
                    }
                    super::super::Bound::Within => true,
                    super::super::Bound::No | super::super::Bound::Waived => false,
                };
                // Whose key it is decides which key is asked.
                claim.key_id == "key-1" && claim.verify(&key.verifier(), Some(&sum)) && body
            }
            Err(_) => false,
        })
    }
}

fn plain() -> Parts {
    let fields = [
        ("Host", "api.example.com"),
        ("Content-Type", "application/json"),
        ("X-Order", "seven apples"),
        ("Accept", "*/*"),
    ];
    Parts {
        method: "POST",
        scheme: "https",
        host: "api.example.com",
        target: "/pay/a%2Fb?b=1&a=2".to_owned(),
        fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: b"{\"amount\":10}",
    }
}

fn covered(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Rfc9421 => {
            &["@method", "@authority", "@target-uri", "content-type", "content-digest", "x-order"]
        }
        Scheme::HmacAuth => {
            &["@request-target", "host", "date", "digest", "content-type", "x-order"]
        }
        _ => &["content-type", "x-order"],
    }
}

fn signed(scheme: Scheme, key: &SigningKey) -> Parts {
    let mut parts = plain();
    let order = Order {
        scheme,
        key_id: "key-1",
        key,
        now: 1_700_000_000,
        lifetime: Some(60),
        nonce: Some("n-0123456789abcdef"),
        label: "sig1",
        tag: None,
        covered: covered(scheme),
        region: "eu-north-1",
        service: "api",
        body: Some(parts.body),
    };
    let added = parts.with(|message| sign(message, &order)).unwrap();
    parts.fields.extend(added);
    parts
}

fn key() -> SigningKey {
    SigningKey::new(Algorithm::HmacSha256, b"a secret of thirty-two bytes, so").unwrap()
}

type Change = (&'static str, fn(&mut Parts));

#[test]
fn a_change_of_what_is_signed_is_seen() {
    let changes: &[Change] = &[
        ("method", |m| m.method = "PUT"),
        ("method's case", |m| m.method = "post"),
        ("host", |m| {
            m.host = "api.example.org";
            *m.line("Host") = "api.example.org".to_owned();
        }),
        ("host and its field differ", |m| m.host = "api.example.org"),
        ("port", |m| {
            m.host = "api.example.com:8443";
            *m.line("Host") = "api.example.com:8443".to_owned();
        }),
        ("path", |m| m.target = "/pay/a%2Fc?b=1&a=2".to_owned()),
        ("path's encoding", |m| m.target = "/pay/a%2fb?b=1&a=2".to_owned()),
        ("path decoded", |m| m.target = "/pay/a/b?b=1&a=2".to_owned()),
        ("dots in the path", |m| m.target = "/./pay/a%2Fb?b=1&a=2".to_owned()),
        ("two slashes", |m| m.target = "//pay/a%2Fb?b=1&a=2".to_owned()),
        ("slash at the end", |m| m.target = "/pay/a%2Fb/?b=1&a=2".to_owned()),
        ("value in the query", |m| m.target = "/pay/a%2Fb?b=1&a=3".to_owned()),
        ("name in the query", |m| m.target = "/pay/a%2Fb?b=1&A=2".to_owned()),
        ("more in the query", |m| m.target.push_str("&c=3")),
        ("no query", |m| m.target = "/pay/a%2Fb".to_owned()),
        ("encoding in the query", |m| m.target = "/pay/a%2Fb?b=%31&a=2".to_owned()),
        ("an argument twice", |m| m.target = "/pay/a%2Fb?b=1&a=2&a=1".to_owned()),
        ("value of a field", |m| *m.line("X-Order") = "eight apples".to_owned()),
        ("case of a value", |m| *m.line("X-Order") = "Seven apples".to_owned()),
        ("more in a value", |m| m.line("X-Order").push_str(", 8")),
        ("field removed", |m| m.fields.retain(|(name, _)| name != "X-Order")),
        ("field emptied", |m| m.line("X-Order").clear()),
        ("field twice", |m| m.fields.push(("x-order".to_owned(), "eight".to_owned()))),
        ("field twice, in front", |m| {
            m.fields.insert(0, ("X-ORDER".to_owned(), "eight".to_owned()));
        }),
        ("content type", |m| *m.line("Content-Type") = "text/xml".to_owned()),
        ("content type twice", |m| {
            m.fields.push(("content-type".to_owned(), "text/xml".to_owned()));
        }),
        ("host twice", |m| m.fields.push(("host".to_owned(), "api.example.com".to_owned()))),
        ("body", |m| m.body = b"{\"amount\":11}"),
        ("body cut", |m| m.body = b"{\"amount\":10"),
        ("body longer", |m| m.body = b"{\"amount\":10} "),
        ("no body", |m| m.body = b""),
        ("a second signature", |m| {
            let again = m.fields.last().unwrap().clone();
            m.fields.push(again);
        }),
    ];
    for scheme in Scheme::ALL {
        let (key, good) = (key(), signed(scheme, &key()));
        assert!(good.holds(scheme, &key), "{}: {:?}", scheme.name(), good.fields);
        for (name, change) in changes {
            // What a scheme signs in lower case or sorted is a matter of the scheme.
            if scheme == Scheme::Tc3 && *name == "case of a value" {
                continue;
            }
            let mut changed = good.clone();
            change(&mut changed);
            assert!(!changed.holds(scheme, &key), "{}: {name}", scheme.name());
        }
    }
}

#[test]
fn a_change_within_the_signature_is_seen() {
    for scheme in Scheme::ALL {
        let (key, good) = (key(), signed(scheme, &key()));
        let own = ["Authorization", "Signature-Input", "Signature", "Date", "Digest"];
        let own = own.iter().chain(&["Content-Digest", "X-Amz-Date", "X-TC-Timestamp"]);
        for name in own.chain(&["X-Amz-Content-SHA256", "X-TC-Content-SHA256"]) {
            let Some((_, value)) = good.fields.iter().find(|(known, _)| known == name) else {
                continue;
            };
            for at in 0..value.len() {
                let mut changed = good.clone();
                let mut bytes = value.clone().into_bytes();
                bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
                *changed.line(name) = String::from_utf8(bytes).unwrap();
                let holds = changed.holds(scheme, &key);
                // The name of the label is no part of what is signed.
                let label = scheme == Scheme::Rfc9421 && at < 4;
                assert!(!holds || label, "{}: {name} byte {at}", scheme.name());
            }
        }
    }
}

#[test]
fn another_key_or_algorithm_is_seen() {
    for scheme in Scheme::ALL {
        let good = signed(scheme, &key());
        for (algorithm, secret) in [
            (Algorithm::HmacSha256, &b"another secret of thirty-two byt"[..]),
            (Algorithm::HmacSha512, b"a secret of thirty-two bytes, so"),
        ] {
            let other = SigningKey::new(algorithm, secret).unwrap();
            // A derived key has one algorithm, whatever the secret is meant for.
            let derived = matches!(scheme, Scheme::SigV4 | Scheme::Tc3);
            if !(derived && algorithm == Algorithm::HmacSha512) {
                assert!(!good.holds(scheme, &other), "{}", scheme.name());
            }
        }
    }
}

#[test]
fn a_change_that_means_nothing_is_none() {
    let changes: &[Change] = &[
        ("order of fields", |m| m.fields.reverse()),
        ("case of names", |m| {
            for (name, _) in &mut m.fields {
                *name = name.to_ascii_uppercase();
            }
        }),
        ("blanks around values", |m| {
            for (_, value) in &mut m.fields {
                if value != "api.example.com" {
                    *value = format!(" \t{value}  ");
                }
            }
        }),
        ("more fields", |m| {
            for (name, value) in [("X-Forwarded-For", "::1"), ("Via", "2 x"), ("Cookie", "a=b")] {
                m.fields.push((name.to_owned(), value.to_owned()));
            }
        }),
        ("a field that is not signed", |m| *m.line("Accept") = "text/plain".to_owned()),
    ];
    for scheme in Scheme::ALL {
        let (key, good) = (key(), signed(scheme, &key()));
        for (name, change) in changes {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(changed.holds(scheme, &key), "{}: {name}", scheme.name());
        }
    }
}

#[test]
fn the_order_of_arguments_is_signed_where_the_scheme_has_it() {
    for scheme in Scheme::ALL {
        let (key, mut good) = (key(), signed(scheme, &key()));
        good.target = "/pay/a%2Fb?a=2&b=1".to_owned();
        assert_eq!(good.holds(scheme, &key), scheme == Scheme::SigV4, "{}", scheme.name());
    }
}
