//! What is too large, too deep or cut off.

use super::{super::BYTES_MAX, Fault, message, read, verified, verify};

/// A message with `inside` in it.
fn around(inside: &str) -> String {
    format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"a\" \
         Version=\"2.0\">{inside}</samlp:Response>"
    )
}

fn bound(inside: &str) -> &'static str {
    match read(around(inside).as_bytes()) {
        Err(Fault::Bound(what)) => what,
        other => panic!("{:?}", other.map(|found| found.children.len())),
    }
}

#[test]
fn every_truncation_is_refused() {
    for name in ["assertion", "whole", "ECDSA_SHA256"] {
        let text = message(name).trim_end();
        for end in 0..text.len() {
            let Some(short) = text.get(..end) else { continue };
            assert!(verify(short.as_bytes(), &|_, _, _| true).is_err(), "{name} {end}");
        }
    }
}

#[test]
fn depth_is_bounded_before_anything_walks_down() {
    assert!(read(around(&format!("{}{}", "<a>".repeat(63), "</a>".repeat(63))).as_bytes()).is_ok());
    assert_eq!(bound(&format!("{}{}", "<a>".repeat(64), "</a>".repeat(64))), "depth");
    assert_eq!(bound(&"<a>".repeat(50_000)), "depth");
    // Hidden from a count that does not know quotes, comments and sections.
    for hide in
        ["<a b='</a></a>/>'>", "<a><!--</a></a>-->", "<a><![CDATA[</a></a>]]>", "<a><?b </a>?>"]
    {
        assert_eq!(bound(&format!("{}{}", hide.repeat(64), "</a>".repeat(64))), "depth", "{hide}");
    }
    assert!(
        read(around(&"<a b='/'/><a/><!--<a>--><![CDATA[<a>]]>".repeat(100)).as_bytes()).is_ok()
    );
}

#[test]
fn numbers_and_sizes_are_bounded() {
    assert_eq!(bound(&" ".repeat(BYTES_MAX)), "bytes");
    assert_eq!(bound(&"<a/>".repeat(70_000)), "tags");
    assert_eq!(bound(&"=".repeat(70_000)), "tags");
    assert_eq!(bound(&"<a/>b".repeat(40_000)), "nodes");
    assert_eq!(bound(&"<a xmlns='b'/>".repeat(3000)), "namespaces");
    let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(bound(&format!("<a{attributes}/>")), "attributes");
    let assertion = "<Assertion xmlns='urn:oasis:names:tc:SAML:2.0:assertion'/>";
    assert_eq!(bound(&assertion.repeat(9)), "assertions");
    assert!(read(around(&assertion.repeat(8)).as_bytes()).is_ok());
}

#[test]
fn a_canonical_form_does_not_grow_without_bound() {
    // A long namespace that each of many elements must write anew.
    let long = format!("xmlns:long=\"urn:{}\"", "x".repeat(10_000));
    let text = message("whole").replacen("xmlns:other", &format!("{long} xmlns:other"), 1);
    let many = format!("<samlp:Status>{}", "<long:a/>".repeat(10_000));
    let text = text.replacen("<samlp:Status>", &many, 1);
    assert_eq!(verified(&text, "rsa"), Err(Fault::Bound("canonical form")));
    // Nor is much of it made for who has signed nothing.
    let much = format!("{}</ds:SignedInfo>", "<ds:Reference/>".repeat(128));
    let text = message("whole").replacen("</ds:SignedInfo>", &much, 1);
    assert_eq!(verified(&text, "rsa"), Err(Fault::Bound("signature")));
    let spaces: String = (0..50).map(|n| format!(" xmlns:a{n}='b'")).collect();
    let text = message("whole").replacen("xmlns:other", &format!("{spaces} xmlns:other"), 1);
    let inner = format!("<samlp:Status{}>", spaces.replace(":a", ":e"));
    assert_eq!(
        verified(&text.replacen("<samlp:Status>", &inner, 1), "rsa"),
        Err(Fault::Bound("namespaces in scope"))
    );
}

#[test]
fn what_is_no_message_is_told_so() {
    let why = |text: &str| read(text.as_bytes()).expect_err("refused");
    assert!(matches!(why(""), Fault::Malformed(_)));
    assert!(matches!(why("{}"), Fault::Malformed(_)));
    assert!(matches!(why("<a><b></a></b>"), Fault::Malformed(_)));
    assert!(matches!(why("<a b='&c;'/>"), Fault::Malformed(_)));
    assert!(matches!(why("<b:a/>"), Fault::Malformed(_)));
    assert!(matches!(why("<a b='1' b='2'/>"), Fault::Malformed(_)));
    assert!(matches!(read(b"<a>\xff</a>"), Err(Fault::Malformed(_))));
    assert!(matches!(why("<a/>"), Fault::Message(_)));
    for doctype in ["<!DOCTYPE a>", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "<!doctype a>"] {
        assert_eq!(why(&format!("{doctype}{}", around(""))), Fault::Doctype);
        assert_eq!(why(&around(doctype)), Fault::Doctype);
        let text = format!("<?xml version='1.0'?>\n<!-- > -->{doctype}{}", around(""));
        assert_eq!(verified(&text, "rsa"), Err(Fault::Doctype));
    }
    for (old, new) in
        [("Version=\"2.0\"", "Version=\"1.1\""), ("ID=\"a\"", "ID=\"\""), ("ID=\"a\"", "")]
    {
        assert!(matches!(why(&around("").replace(old, new)), Fault::Message(_)), "{new}");
    }
}
