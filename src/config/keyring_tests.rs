//! Data encryption against what openssl makes.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn ring(keys: &[&str]) -> Keyring {
    Keyring::read(&json!({"keyring": keys})).unwrap()
}

/// Made by `openssl enc -aes-128-cbc -K <key> -iv <key> -base64 -A`, the last four with
/// `-aes-256-cbc` and the first 16 bytes of the key.
const VECTORS: [(&str, &str, &str); 12] = [
    ("qeddd145sfvddff3", "", "CEGh183MAO3X8/ZV2jzHeA=="),
    ("qeddd145sfvddff3", "my-secret", "QeMudQJ753u5DUXaqcpS5w=="),
    ("qeddd145sfvddff3", "sixteen bytes ok", "bCNXBPzbrTUi1SCwHcmm1Ks8u4jceEPcAgrQDN2FWYk="),
    ("qeddd145sfvddff3", "auth-one", "4y+JvURBE6ZwRbbgaryrhg=="),
    ("edd1c9f0985e76a2", "", "vA4BfcVo+wewoRJDl1bmfA=="),
    ("edd1c9f0985e76a2", "my-secret", "JTENhr+RWiiqu+ya1qRgTw=="),
    ("edd1c9f0985e76a2", "sixteen bytes ok", "r6b1iADrrXqoszRTDnwXi1GpTHCiLCIm4JSX1/tQF2A="),
    ("edd1c9f0985e76a2", "auth-one", "RjeV6km+KxQJN2rfu8Y7aA=="),
    ("0123456789abcdef0123456789abcdef", "", "OK6Do+3SKnHs8pZTnd9zIA=="),
    ("0123456789abcdef0123456789abcdef", "my-secret", "rrMizwF1zE5j7iY5xcxM2g=="),
    (
        "0123456789abcdef0123456789abcdef",
        "sixteen bytes ok",
        "k9bv0+DMNXkWWZaWEnVLYlHBwwhG6JqfbWSsXl5Tyk4=",
    ),
    ("0123456789abcdef0123456789abcdef", "auth-one", "jMinfe2nNUgjwW02ZBFULg=="),
];

#[test]
fn texts_are_encrypted_as_openssl_does() {
    for (key, plain, sealed) in VECTORS {
        assert_eq!(ring(&[key]).seal(plain), sealed);
        assert_eq!(ring(&[key]).open(sealed).as_deref(), Ok(plain));
    }
}

#[test]
fn the_first_key_encrypts_and_all_decrypt() {
    let both = ring(&["edd1c9f0985e76a2", "qeddd145sfvddff3"]);
    assert_eq!(both.seal("my-secret"), "JTENhr+RWiiqu+ya1qRgTw==");
    assert_eq!(both.open("QeMudQJ753u5DUXaqcpS5w==").as_deref(), Ok("my-secret"));
    let guises = both.guises("my-secret");
    assert_eq!(guises, ["my-secret", "JTENhr+RWiiqu+ya1qRgTw==", "QeMudQJ753u5DUXaqcpS5w=="]);
}

#[test]
fn what_no_key_decrypts_is_told() {
    let one = ring(&["edd1c9f0985e76a2"]);
    for text in ["my-secret", "", "====", "QeMudQJ753u5DUXaqcpS5w==", "QUJD", "ä"] {
        assert_eq!(one.open(text), Err(NotOurs), "{text}");
    }
}

#[test]
fn without_keys_nothing_changes() {
    let none = Keyring::read(&json!({})).unwrap();
    assert_eq!((none.seal("a"), none.open("a")), ("a".into(), Ok("a".into())));
    assert!(!none.seals_fields());
    let off = json!({"enable_encrypt_fields": false, "keyring": "edd1c9f0985e76a2"});
    let off = Keyring::read(&off).unwrap();
    assert!(!off.seals_fields());
    assert_eq!(off.seal("my-secret"), "JTENhr+RWiiqu+ya1qRgTw==");
}

#[test]
fn keys_of_other_lengths_are_refused_unquoted() {
    for key in [json!("short"), json!(["edd1c9f0985e76a2", "short"]), json!([1])] {
        let error = Keyring::read(&json!({"keyring": key})).unwrap_err();
        assert!(error.contains("no text of 16 or 32 bytes"), "{error}");
        assert!(!error.contains("short"), "{error}");
    }
    assert_eq!(format!("{:?}", ring(&["edd1c9f0985e76a2"])), "Keyring of 1 keys");
}

#[test]
fn keys_of_certificates_are_encrypted_once() {
    let one = ring(&["edd1c9f0985e76a2"]);
    let pem = "-----BEGIN PRIVATE KEY-----\n";
    let sealed = one.seal_key(pem);
    assert!(!sealed.contains("BEGIN"));
    assert_eq!(one.seal_key(&sealed), sealed);
    assert_eq!(one.seal_key("$secret://vault/1/key"), "$secret://vault/1/key");
    assert_eq!(one.open_key(&sealed).as_deref(), Ok(pem));
    assert_eq!(one.open_key(pem).as_deref(), Ok(pem));
    assert_eq!(one.open_key("x"), Err(NotOurs));
}

#[test]
fn fields_are_found_by_dotted_paths() {
    let schema = json!({"encrypt_fields": ["key", "auth.header", "list.deep.key", "map", "texts"]});
    let plain = json!({
        "key": "a", "other": "b", "texts": ["c", 1, "d"], "map": {"x": "e", "y": 2},
        "auth": {"header": {"Authorization": "f"}, "query": "g"},
        "list": [{"deep": {"key": "h"}}, {"deep": [{"key": "i"}, {"key": null}]}, 3],
    });
    let mut found = Vec::new();
    each_secret(&mut plain.clone(), &schema, &mut |text| found.push(text.clone()));
    assert_eq!(found, ["a", "f", "h", "i", "e", "c", "d"]);
    let ring = ring(&["edd1c9f0985e76a2"]);
    let mut conf = plain.clone();
    ring.seal_conf(&mut conf, &schema);
    assert_eq!(conf["other"], "b");
    assert_eq!(conf["auth"]["query"], "g");
    assert_ne!(conf["list"][1]["deep"][0]["key"], "i");
    assert_eq!(ring.open_conf(&mut conf, &schema), 0);
    assert_eq!(conf, plain);
    assert_eq!(ring.open_conf(&mut conf, &schema), 7, "plain texts are left");
    assert_eq!(conf, plain);
}

proptest! {
    #[test]
    fn what_is_encrypted_is_decrypted(text in ".{0,80}") {
        let ring = ring(&["0123456789abcdef0123456789abcdef", "edd1c9f0985e76a2"]);
        prop_assert_eq!(ring.open(&ring.seal(&text)), Ok(text));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", path in "[a-c.]{0,40}") {
        let _ = ring(&["edd1c9f0985e76a2"]).open(&text);
        let mut value = json!({"a": {"b": [text.clone()], "c": {"a": text}}, "b": ["x"]});
        each_text(&mut value, &path, &mut |_| {});
    }
}
