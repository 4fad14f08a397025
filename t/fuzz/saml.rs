//! What must hold of SAML messages for any bytes.

use moongate::codec::saml::{self, ASSERTIONS_MAX, BYTES_MAX, Element};

use super::Check;

pub const CHECKS: &[Check] = &[Check {
    name: "saml",
    run: message,
    samples,
    large,
    // What is read is as large as the message, some thirty times; a canonical form can be larger
    // than its source, up to a bound of its own.
    bytes_max: |input| 32 * input.min(BYTES_MAX) + (8 << 20),
}];

const FIXTURES: &str = include_str!("../fixtures/saml.json");

fn samples() -> Vec<Vec<u8>> {
    let all: serde_json::Value = serde_json::from_str(FIXTURES).expect("JSON");
    let texts = all["messages"].as_object().expect("messages").values();
    texts.map(|one| one["xml"].as_str().expect("a text").as_bytes().to_vec()).collect()
}

/// A message is read or refused, the same way each time; nobody has signed what no key is for.
pub fn message(data: &[u8]) {
    let found = saml::read(data);
    assert_eq!(found, saml::read(data));
    assert!(saml::verify(data, &|_, _, _| false).is_err());
    // Any signature will do, but digests must still be right: what is left then is of the message.
    if let Ok(signed) = saml::verify(data, &|_, _, _| true) {
        let whole = found.expect("what is verified can be read");
        assert_eq!((signed.space, &signed.name), (whole.space, &whole.name));
        assert!(elements(&signed) <= elements(&whole));
        let assertions = signed.children.iter().filter(|child| child.name == "Assertion");
        assert!(assertions.count() <= ASSERTIONS_MAX);
    }
}

fn elements(element: &Element) -> usize {
    1 + element.children.iter().map(elements).sum::<usize>()
}

/// Messages that are nearly as large as they may be, and as dense.
fn large() -> Vec<Vec<u8>> {
    let around = |inside: &str, end: &str| {
        let times = (BYTES_MAX - 512) / (inside.len() + end.len());
        format!(
            "<p:Response xmlns:p=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"a\" \
             Version=\"2.0\">{}{}</p:Response>",
            inside.repeat(times),
            end.repeat(times)
        )
        .into_bytes()
    };
    vec![
        around("<a/>", ""),
        around("<a/>bcdefghij", ""),
        around("<a b='' c='' d='' e='' f='' g=''/>", ""),
        around("<a xmlns='b'/>", ""),
        around("<a>", "</a>"),
        around("&amp;", ""),
        around("a", ""),
        vec![b'<'; BYTES_MAX],
        vec![b'='; BYTES_MAX],
        vec![b'a'; 2 * BYTES_MAX],
    ]
}
