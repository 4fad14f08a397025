//! Against other implementations: signxml and libxml2 made `t/fixtures/saml.json`.

mod bounds;
mod wrapping;

use std::sync::LazyLock;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Element, Fault, Space, c14n, guard, read, verify};

static FIXTURES: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../t/fixtures/saml.json")).expect("JSON")
});

fn message(name: &str) -> &'static str {
    FIXTURES["messages"][name]["xml"].as_str().expect("a message")
}

fn algorithm(scheme: &str) -> &'static dyn VerificationAlgorithm {
    match scheme {
        "rsa-pkcs1-sha1" => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "rsa-pkcs1-sha256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "rsa-pkcs1-sha384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "rsa-pkcs1-sha512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "rsa-pss-sha256" => &signature::RSA_PSS_2048_8192_SHA256,
        "rsa-pss-sha384" => &signature::RSA_PSS_2048_8192_SHA384,
        "rsa-pss-sha512" => &signature::RSA_PSS_2048_8192_SHA512,
        "ecdsa-p256-sha256-raw" => &signature::ECDSA_P256_SHA256_FIXED,
        "ecdsa-p384-sha384-raw" => &signature::ECDSA_P384_SHA384_FIXED,
        "ecdsa-p521-sha512-raw" => &signature::ECDSA_P521_SHA512_FIXED,
        _ => panic!("{scheme} is no scheme"),
    }
}

/// Verifies `text` with the key of that name.
fn verified(text: &str, key: &str) -> Result<Element, Fault> {
    let key = STANDARD.decode(FIXTURES["keys"][key].as_str().expect("a key")).expect("base64");
    verify(text.as_bytes(), &|scheme, signed, sum| {
        UnparsedPublicKey::new(algorithm(scheme), &key).verify(signed, sum).is_ok()
    })
}

/// Whom the assertions of a response speak of.
fn names(message: &Element) -> Vec<&str> {
    let assertions = message.children.iter().filter(|child| child.name == "Assertion");
    let subjects = assertions.filter_map(|one| one.child(Space::Assertion, "Subject"));
    let names = subjects.filter_map(|subject| subject.child(Space::Assertion, "NameID"));
    names.map(|name| name.text.as_str()).collect()
}

#[test]
fn what_others_sign_is_verified_and_read() {
    for (name, fixture) in FIXTURES["messages"].as_object().expect("messages") {
        let key = fixture["key"].as_str().expect("a key");
        let found = verified(message(name), key).unwrap_or_else(|why| panic!("{name}: {why}"));
        if found.name == "Response" {
            assert_eq!(names(&found), ["ann@example.org"], "{name}");
            assert_eq!(found.attribute("InResponseTo"), Some("_q1"));
            assert!(found.child(Space::Protocol, "Status").is_some());
        }
        let other = if key == "rsa" { "stranger" } else { "rsa" };
        assert_eq!(verified(message(name), other), Err(Fault::Mismatch), "{name}");
    }
    assert_eq!(verified(message("logout"), "rsa").expect("signed").name, "LogoutRequest");
}

#[test]
fn an_assertion_is_read_as_it_was_meant() {
    let found = verified(message("assertion"), "rsa").expect("signed");
    let assertion = found.child(Space::Assertion, "Assertion").expect("it");
    assert_eq!(assertion.child(Space::Assertion, "Issuer").expect("one").text, "idp & co");
    let statement = assertion.child(Space::Assertion, "AttributeStatement").expect("one");
    let attribute = statement.child(Space::Assertion, "Attribute").expect("one");
    assert_eq!(attribute.attribute("Name"), Some("na\"me"));
    let values: Vec<_> = attribute.children.iter().map(|value| value.text.as_str()).collect();
    assert_eq!(values, ["Zo\u{eb} <3 \u{1f600}", "<two>"]);
}

#[test]
fn any_change_of_what_is_signed_is_seen() {
    for (name, changes) in [
        (
            "assertion",
            &["ann@", "Zo\u{eb}", "&lt;two", "idp &amp; co", "_a1", "urn:x", "xs:string"],
        ),
        (
            "whole",
            &["ann@", "https://sp/acs", "status:Success", "_q1", "idp<", "_r1", "other=\"urn"],
        ),
    ] {
        let text = message(name);
        for change in changes {
            let at = text.find(*change).expect("something to change");
            let (before, after) = text.split_at(at + 1);
            let changed = format!("{before}x{after}");
            // In the exclusive form a namespace that nobody uses is not signed.
            let unsigned = *change == "other=\"urn";
            assert_eq!(verified(&changed, "rsa").is_ok(), unsigned, "{name} {change}");
        }
    }
}

#[test]
fn comments_and_blanks_in_tags_change_nothing() {
    let text = message("assertion").replace("ann@", "a<!-- 1 -->nn<!-- 2 -->@<!---->");
    let text = text.replace("<saml:NameID ", "<saml:NameID\n\t ");
    assert_eq!(names(&verified(&text, "rsa").expect("signed")), ["ann@example.org"]);
}

#[test]
fn canonical_forms_are_those_of_libxml2() {
    for fixture in FIXTURES["canonical"].as_array().expect("a list") {
        let text = |key: &str| fixture[key].as_str().expect("a text");
        let list = fixture["prefixes"].as_array().expect("a list");
        let names = list.iter().map(|name| name.as_str().expect("a text").to_owned());
        let mut method = c14n::Method::of(text("method")).expect("a method");
        method.prefixes =
            names.map(|name| name.trim_start_matches("#default").to_owned()).collect();
        let document = guard::document(text("xml").as_bytes()).expect("XML");
        let mut nodes = document.descendants();
        let apex = nodes.find(|node| node.tag_name().name() == "e").expect("an element");
        let found = c14n::canonical(apex, &method, None).expect("small");
        let found = String::from_utf8(found).expect("UTF-8");
        assert_eq!(found, text("canonical"), "{} {method:?}", text("name"));
    }
}

#[test]
fn a_message_that_is_signed_elsewhere_is_read_whole() {
    let found = read(message("assertion").as_bytes()).expect("a message");
    assert_eq!(names(&found), ["ann@example.org"]);
    assert_eq!(read(message("logout").as_bytes()).expect("a message").name, "LogoutRequest");
}
