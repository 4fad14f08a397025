//! Signatures that are good, in messages that want them to speak for something else.
//!
//! The numbers are those of the eight classic attacks ("On Breaking SAML", USENIX Security 2012).

use super::{Fault, message, names, verified};

/// The part of `text` from `from` to the end of `to`.
fn part<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).expect("a beginning");
    let end = start + text[start..].find(to).expect("an end") + to.len();
    &text[start..end]
}

fn assertion(text: &str) -> &str {
    part(text, "<saml:Assertion", "</saml:Assertion>")
}

fn signature(text: &str) -> &str {
    part(text, "<ds:Signature ", "</ds:Signature>")
}

/// `text` as somebody else's, under another ID and without its signature.
fn evil(text: &str, id: &str) -> String {
    let other = text.replace(signature(text), "").replace("ann@", "admin@");
    other.replacen(&format!("ID=\"{id}\""), "ID=\"_evil\"", 1)
}

/// The message of assertions `text` with `new` in place of its assertion.
fn with(text: &str, new: &str) -> String {
    text.replace(assertion(text), new)
}

/// `new` just behind the issuer of `outer`, where a signature belongs.
fn inside(outer: &str, new: &str) -> String {
    outer.replacen("</saml:Issuer>", &format!("</saml:Issuer>{new}"), 1)
}

/// `text` with `new` as an object of the signature in it.
fn in_object(text: &str, new: &str) -> String {
    let object = format!("<ds:Object>{new}</ds:Object></ds:Signature>");
    text.replacen("</ds:Signature>", &object, 1)
}

#[track_caller]
fn refused(text: &str) {
    let found = verified(text, "rsa");
    assert!(found.is_err(), "{:?}", found.map(|found| names(&found).join(" ")));
}

#[test]
fn xsw1_and_xsw2_another_response_around_the_signed_one() {
    let text = message("whole");
    let bare = text.replace(signature(text), "");
    let (first, second) = (in_object(signature(text), &bare), format!("{bare}{}", signature(text)));
    refused(&inside(&evil(text, "_r1"), &first));
    refused(&inside(&evil(text, "_r1"), &second));
    // As it was, somewhere in another.
    let extensions = format!("<samlp:Extensions>{text}</samlp:Extensions>");
    refused(&inside(&evil(text, "_r1"), &extensions));
}

#[test]
fn xsw3_and_xsw4_another_assertion_before_or_around_the_signed_one() {
    let text = message("assertion");
    let (good, bad) = (assertion(text), evil(assertion(text), "_a1"));
    refused(&with(text, &format!("{bad}{good}")));
    refused(&with(text, &format!("{good}{bad}")));
    refused(&with(text, &bad.replace("</saml:Assertion>", &format!("{good}</saml:Assertion>"))));
    refused(&with(text, &inside(&bad, good)));
}

#[test]
fn xsw5_and_xsw6_the_signature_in_another_assertion() {
    let text = message("assertion");
    let (good, mark) = (assertion(text), signature(text));
    let bare = good.replace(mark, "");
    for id in ["_evil", "_a1"] {
        let bad = evil(good, "_a1").replacen("_evil", id, 1);
        refused(&with(text, &format!("{}{bare}", inside(&bad, mark))));
        refused(&with(text, &inside(&bad, &in_object(mark, &bare))));
        refused(&with(text, &inside(&bad, &format!("{mark}{bare}"))));
    }
}

#[test]
fn xsw7_and_xsw8_the_signed_assertion_where_nobody_checks_what_it_is() {
    let text = message("assertion");
    let (good, mark) = (assertion(text), signature(text));
    let bare = good.replace(mark, "");
    for id in ["_evil", "_a1"] {
        let bad = evil(good, "_a1").replacen("_evil", id, 1);
        let extensions = |inner: &str| format!("<samlp:Extensions>{inner}</samlp:Extensions>");
        refused(&with(text, &format!("{}{bad}", extensions(good))));
        refused(&with(text, &format!("{}{good}", extensions(&bad))).replace(mark, ""));
        refused(&with(text, &inside(&bad, &in_object(mark, &extensions(&bare)))));
        refused(&with(text, &format!("{}{}", extensions(&bare), inside(&bad, mark))));
    }
}

#[test]
fn what_is_not_signed_is_no_part_of_the_answer() {
    let text = message("assertion");
    // Only beside a signed assertion, and with nothing in it that an assertion could be.
    let bad = evil(assertion(text), "_a1");
    let more = format!("<samlp:Extensions>{bad}</samlp:Extensions><samlp:Status>");
    let found = verified(&text.replacen("<samlp:Status>", &more, 1), "rsa").expect("signed");
    assert_eq!(names(&found), ["ann@example.org"]);
    assert!(!format!("{found:?}").contains("admin"));
    // In the signature, which is not part of what it signs.
    let key = "<ds:KeyInfo><a>admin</a></ds:KeyInfo></ds:Signature>";
    let bare = text.replace(part(text, "<ds:KeyInfo", "</ds:KeyInfo>"), "");
    let found = verified(&bare.replacen("</ds:Signature>", key, 1), "rsa").expect("signed");
    assert!(!format!("{found:?}").contains("admin"));
    // Something that is signed whole, but in another message of the same kind as all others.
    assert_eq!(
        verified(&text.replace("samlp:Response", "samlp:LogoutRequest"), "rsa"),
        Err(Fault::Uncovered)
    );
}

#[test]
fn signatures_are_where_they_must_be() {
    let text = message("assertion");
    let mark = signature(text);
    assert_eq!(verified(&text.replace(mark, ""), "rsa"), Err(Fault::Uncovered));
    refused(&text.replace(mark, &format!("{mark}{mark}")));
    // The message's own, with none inside.
    assert_eq!(
        verified(message("whole").replace(signature(message("whole")), "").as_str(), "rsa"),
        Err(Fault::Uncovered)
    );
    refused(&inside(&text.replace(mark, ""), mark));
    // In an element of another name, or another namespace.
    refused(&text.replace("samlp:Response", "samlp:Respons"));
    refused(&text.replace("SAML:2.0:protocol", "SAML:2.0:protocoll"));
    refused(&text.replace("SAML:2.0:assertion", "SAML:2.0:assertionn"));
    refused(&text.replace("2000/09/xmldsig#\"", "2000/09/xmldsig\""));
}

#[test]
fn references_are_as_saml_wants_them() {
    for name in ["whole", "assertion"] {
        let text = message(name);
        let reference = part(text, "<ds:Reference", "</ds:Reference>");
        for (old, new) in [
            (reference, String::new()),
            (reference, format!("{reference}{reference}")),
            ("URI=\"#", "URI=\"".to_owned()),
            ("URI=\"#", "URI=\"#x".to_owned()),
            ("<ds:Transforms>", "<ds:Transforms><ds:Transform Algorithm=\"x\"/>".to_owned()),
            ("#enveloped-signature", "#base64".to_owned()),
            ("<ds:DigestValue>", "<ds:DigestValue>AAAA".to_owned()),
            ("</ds:SignedInfo>", "<!-- x --><ds:Reference/></ds:SignedInfo>".to_owned()),
            ("<ds:SignatureValue>", "<ds:SignatureValue><!-- x -->".to_owned()),
            ("<ds:SignatureValue>", "<ds:SignatureValue>!".to_owned()),
            ("#rsa-sha256", "#hmac-sha256".to_owned()),
            ("#rsa-sha256", "#rsa-sha512".to_owned()),
            ("xmlenc#sha256", "xmlenc#sha512".to_owned()),
        ] {
            assert!(text.contains(old), "{name} {old}");
            refused(&text.replacen(old, &new, 1));
        }
    }
}

#[test]
fn a_digest_in_a_comment_is_none() {
    // The digest is read from what is signed, where this comment is not.
    let text = message("assertion").replacen("<ds:DigestValue>", "<ds:DigestValue><!--AAAA-->", 1);
    assert_eq!(names(&verified(&text, "rsa").expect("signed")), ["ann@example.org"]);
    refused(&text.replace("ann@", "admin@"));
}

#[test]
fn ids_are_told_apart_in_any_spelling() {
    for name in ["ID", "Id", "id", "xml:id"] {
        let more = format!("<samlp:Status><a {name}=\"_a1\"/>");
        let text = message("assertion").replacen("<samlp:Status>", &more, 1);
        assert_eq!(verified(&text, "rsa"), Err(Fault::Message("two elements have one ID")));
    }
}
