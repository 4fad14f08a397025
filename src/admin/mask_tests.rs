//! What is masked, and what is not.

use super::*;
use proptest::prelude::*;
use serde_json::json;

use super::super::{judge::PluginFacts, table};

fn facts() -> Facts {
    let schema = json!({"encrypt_fields": ["auth.pin", "key"]});
    let plugin = |name: &str| PluginFacts {
        name: name.into(),
        schema: schema.clone(),
        ..PluginFacts::default()
    };
    Facts { http: vec![plugin("a")], ..Facts::default() }
}

#[test]
fn secrets_are_found_by_schema_resource_and_name() {
    let conf = json!({
        "uri": "/visible", "key": "visible-1",
        "upstream": {"tls": {"client_key": "canary-1"}, "key": "visible-2"},
        "plugins": {
            "a": {"auth": {"pin": "canary-2"}, "key": "canary-3", "other": "visible-3"},
            "b": {"redis_password": "canary-4", "tokens": ["canary-5", {"x": "canary-6"}]},
            "c": "canary-7",
        },
    });
    let route = table::resource("routes").unwrap();
    let mut found = secrets(&conf, route, &facts());
    found.sort();
    let expected: Vec<String> = (1..=7).map(|n| format!("canary-{n}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn secrets_are_taken_out_of_sentences() {
    let secrets = ["a\"b\nc".to_owned(), "canary".to_owned()];
    let text = "failed to match \"x\" with \"a\\\"b\\nc\", a\"b\nc and canary".to_owned();
    assert_eq!(redact(text, &secrets), "failed to match \"x\" with \"***\", *** and ***");
}

#[test]
fn a_refusal_quotes_no_secret() {
    let conf = json!({"pin": "canary-1", "uri": "canary-1", "other": {"password": "canary-2"},
                      "name": "visible", "short": "abc"});
    let schema = || Some(json!({"encrypt_fields": ["pin", "short"]}));
    let check = |reason: &str, expected: &str| {
        assert_eq!(redact_refusal(&conf, reason.to_owned(), schema), expected);
    };
    check("\"uri\" fails with \"canary-1\"", "\"uri\" fails with \"***\"");
    check("canary-2, visible and abc", "***, visible and abc");
    let asked = std::cell::Cell::new(false);
    let ask = || {
        asked.set(true);
        None
    };
    assert_eq!(redact_refusal(&conf, "uri is wrong".to_owned(), ask), "uri is wrong");
    assert!(!asked.get(), "nothing was quoted");
    let method = json!({"token_endpoint_auth_method": "client_secret_jwt"});
    let reason = "RS256 does not go with client_secret_jwt";
    assert_eq!(redact_refusal(&method, reason.to_owned(), || None), reason);
}

#[test]
fn broken_texts_keep_their_names_and_nothing_else() {
    let check = |text: &str, expected: &str| assert_eq!(broken(text, &facts()), expected);
    check("{\"desc\": ", "{\"desc\": ");
    check(r#"{"uri": "/a", "key": "can,ary"}"#, r#"{"uri": "***", "key": "***,***"}"#);
    check(r#"{"a":"p@ss!w0","status":1"#, r#"{"a":"***","status":1"#);
    check(r#"{"plugins": {"a": true, "count": 1234}"#, r#"{"plugins": {"a": true, "***": ***}"#);
    check("{'ke\u{1}y': 'canary'", "{'***': '***'");
    check("\u{e4}\u{e4} x", "*** ***");
    check("", "");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = broken(&text, &facts());
    }

    #[test]
    fn no_broken_object_shows_its_key(cut in 0_usize..60, junk in "[{}\\[\\]:,\" ]{0,4}") {
        let text = format!("{junk}{{\"uri\": \"/a\", \"key\": \"canary\", \"labels\": {{\"a\": \"b\"}}}}");
        let text = text.get(..cut.min(text.len())).unwrap();
        prop_assert!(!broken(text, &facts()).contains("canary"));
    }
}
