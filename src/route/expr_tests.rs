//! The facts of lua-resty-expr's own tests, and the corners of Lua's comparisons.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::{super::expr_ops::number_text, *};

struct Map(HashMap<&'static str, VarValue<'static>>);

impl Vars for Map {
    fn get(&self, name: &str) -> Option<VarValue<'_>> {
        self.0.get(name).cloned()
    }
}

fn text(text: &'static str) -> VarValue<'static> {
    text.into()
}

fn list(items: &[&'static str]) -> VarValue<'static> {
    VarValue::List(items.iter().map(|item| text(item)).collect())
}

#[track_caller]
fn check(rule: Value, vars: &[(&'static str, VarValue<'static>)], want: bool) {
    let expr = Expr::compile(&rule).unwrap_or_else(|e| panic!("{rule}: {e}"));
    let vars = Map(vars.iter().cloned().collect());
    assert_eq!(expr.eval(&vars), Ok(want), "{rule}");
}

#[track_caller]
fn refused(rule: Value, want: &str) {
    match Expr::compile(&rule) {
        Ok(_) => panic!("{rule} compiled"),
        Err(error) => assert_eq!(error, want, "{rule}"),
    }
}

#[test]
fn strings_compare_by_bytes() {
    let k = |value| [("arg_k", text(value))];
    check(json!([["arg_k", "==", "v"]]), &k("v"), true);
    check(json!([["arg_k", "==", "v"]]), &k("V"), false);
    check(json!([["arg_k", "v"]]), &k("v"), true);
    check(json!([["arg_k", "V"]]), &k("v"), true);
    check(json!([["arg_k", "v"]]), &k("not-hit"), false);
    check(json!([["arg_k", "~=", "v"]]), &k("v"), false);
    check(json!([["arg_k", "~=", "w"]]), &k("v"), true);
    check(json!([["arg_k", "==", "1984"]]), &k("1984"), true);
    check(json!([["arg_k", "==", "1984"]]), &[("arg_k", VarValue::Num(1984.0))], false);
    check(json!([["arg_k", "==", true]]), &[("arg_k", VarValue::Bool(true))], true);
    check(json!([["arg_k", "==", true]]), &k("true"), false);
    check(json!([["arg_k", "==", ["v"]]]), &k("v"), false);
    check(json!([["arg_k", "~=", ["v"]]]), &k("v"), true);
}

#[test]
fn a_number_on_the_right_makes_one_of_the_left() {
    let age = |value| [("age", text(value))];
    check(json!([["age", "==", 18]]), &age("18"), true);
    check(json!([["age", "==", 18]]), &age(" 18.0 "), true);
    check(json!([["age", "==", 18]]), &age("0x12"), true);
    check(json!([["age", "==", 18]]), &age("eighteen"), false);
    check(json!([["age", "~=", 18]]), &age("18"), false);
    check(json!([["age", "~=", 18]]), &age("19"), true);
    check(json!([["age", "~=", 18]]), &age("eighteen"), true);
    check(json!([["age", "~=", "18"]]), &age("18"), false);
    check(json!([["age", "==", "18"]]), &age("18.0"), false);
    check(json!([["age", "==", 18]]), &[("age", VarValue::Bool(true))], false);
}

#[test]
fn order_needs_numbers_on_both_sides() {
    let k = |value| [("k", text(value))];
    for (op, nine, ten, eleven) in [
        (">", false, false, true),
        (">=", false, true, true),
        ("<", true, false, false),
        ("<=", true, true, false),
    ] {
        for (value, want) in [("9", nine), ("10", ten), ("11", eleven)] {
            check(json!([["k", op, 10]]), &k(value), want);
            check(json!([["k", op, "10"]]), &k(value), want);
            check(json!([["k", "!", op, 10]]), &k(value), !want);
        }
        check(json!([["k", op, 10]]), &k("x"), false);
        check(json!([["k", op, "x"]]), &k("10"), false);
        check(json!([["k", op, 10]]), &[], false);
        check(json!([["k", op, null]]), &k("10"), false);
        check(json!([["k", op, 10]]), &[("k", VarValue::Num(f64::NAN))], false);
    }
}

#[test]
fn a_missing_variable_is_nil() {
    for (op, right, want) in [
        ("==", json!("v"), false),
        ("==", json!(null), true),
        ("==", json!(0), false),
        ("==", json!(false), false),
        ("~=", json!("jack"), true),
        ("~=", json!(null), false),
        ("~=", json!(0), true),
        ("~~", json!(".*"), false),
        ("~*", json!(".*"), false),
        ("in", json!(["1", null]), false),
        ("has", json!("a"), false),
        ("has", json!(null), false),
        ("ipmatch", json!("0.0.0.0/0"), false),
    ] {
        check(json!([["x", op, right]]), &[], want);
        check(json!([["x", "!", op, right]]), &[], !want);
    }
    check(json!([["x", "=="]]), &[], true);
    check(json!([["x", "~="]]), &[("x", text(""))], true);
}

#[test]
fn regular_expressions_search_anywhere() {
    let x = |value| [("x", text(value))];
    check(json!([["x", "~~", "[Dd]ev"]]), &x("my-dev-1"), true);
    check(json!([["x", "~~", "^[a-z]{1,4}$"]]), &x("abcde"), false);
    check(json!([["x", "~~", "a"]]), &x("A"), false);
    for (value, want) in [("a", true), ("A", true), ("b", false), ("", false)] {
        check(json!([["x", "~*", "A"]]), &x(value), want);
        check(json!([["x", "!", "~*", "A"]]), &x(value), !want);
    }
    check(json!([["x", "~~", "(?!bad)g(oo)d\\1"]]), &x("goodoo"), true);
    check(json!([["x", "~~", 12]]), &x("a12"), true);
    check(json!([["x", "~~", "^12$"]]), &[("x", VarValue::Num(12.0))], true);
    check(json!([["x", "~~", "."]]), &[("x", VarValue::Bool(false))], false);
    check(json!([["x", "~~", "."]]), &[("x", list(&["a"]))], false);
    let raw = VarValue::Str(Cow::Borrowed(&b"\xff\xfe"[..]));
    check(json!([["x", "~~", "^..$"]]), &[("x", raw)], true);
}

#[test]
fn membership_never_converts() {
    for (value, want) in [("1", true), ("2", true), ("4", false)] {
        check(json!([["k", "in", ["2", "1"]]]), &[("k", text(value))], want);
        check(json!([["k", "in", [1, 2]]]), &[("k", text(value))], false);
    }
    check(json!([["k", "in", [1, "a", 2]]]), &[("k", VarValue::Num(2.0))], true);
    check(json!([["k", "!", "in", [1, 2]]]), &[("k", VarValue::Num(3.0))], true);
    check(json!([["k", "in", "abc"]]), &[("k", text("abc"))], false);
    check(json!([["k", "in", {"a": "abc"}]]), &[("k", text("abc"))], false);
    for (items, want) in [(&["a", "b"][..], true), (&["b"], false), (&[], false)] {
        check(json!([["x", "has", "a"]]), &[("x", list(items))], want);
        check(json!([["x", "!", "HAS", "a"]]), &[("x", list(items))], !want);
    }
    check(json!([["x", "has", "a"]]), &[("x", text("a"))], false);
    let numbers = VarValue::List(vec![VarValue::Num(1.0), VarValue::Num(2.0)]);
    check(json!([["x", "has", 1]]), &[("x", numbers.clone())], true);
    check(json!([["x", "has", "1"]]), &[("x", numbers)], false);
}

#[test]
fn addresses_match_networks() {
    let ip = |value| [("ip", text(value))];
    check(json!([["ip", "ipmatch", "127.0.0.1"]]), &ip("127.0.0.1"), true);
    check(json!([["ip", "ipmatch", ["127.0.0.2", "127.0.0.0/16"]]]), &ip("127.0.0.1"), true);
    check(json!([["ip", "ipmatch", ["127.0.0.2", "127.0.0.3"]]]), &ip("127.0.0.1"), false);
    check(json!([["ip", "IPMATCH", ["fe80::/10"]]]), &ip("fe80::7"), true);
    check(json!([["ip", "!", "ipmatch", ["10.0.0.0/8"]]]), &ip("11.0.0.1"), true);
    check(json!([["ip", "ipmatch", ["10.0.0.0/8"]]]), &ip("no address"), false);
}

#[test]
fn joins_nest() {
    let vars = |weight, height| [("w", text(weight)), ("h", text(height))];
    let between = json!(["AND", ["w", ">", 10], ["w", "!", ">", 15]]);
    check(between.clone(), &vars("12", ""), true);
    check(between.clone(), &vars("16", ""), false);
    let outside = json!(["!and", ["w", ">", 10], ["w", "!", ">", 15]]);
    check(outside, &vars("12", ""), false);
    let either = json!(["or", ["w", ">", 20], ["w", "!", ">", 15]]);
    check(either.clone(), &vars("18", ""), false);
    check(either.clone(), &vars("12", ""), true);
    let neither = json!(["!OR", ["w", ">", 20], ["w", "!", ">", 15]]);
    check(neither, &vars("18", ""), true);
    let height = json!([["h", ">", 10], ["h", "!", "<", 15]]);
    check(json!(["AND", between, height]), &vars("12", "17"), true);
    check(json!(["AND", between, height]), &vars("12", "12"), false);
    check(json!(["OR", either, ["AND", height, between]]), &vars("18", "17"), false);
    check(
        json!([["OR", ["w", "==", 1], ["h", "==", 2]], ["w", "!", "==", 3]]),
        &vars("1", ""),
        true,
    );
    check(json!([]), &[], true);
    check(json!({}), &[], true);
}

#[test]
fn invalid_rules_are_explained() {
    refused(json!(null), "missing argument rule");
    refused(json!([["k", "=", "v"]]), "invalid operator '='");
    refused(json!([["k", "Invalid", 10]]), "invalid operator 'invalid'");
    refused(json!([["k", "!", "nope", 1]]), "invalid operator 'nope'");
    refused(json!([["k"]]), "invalid expression");
    refused(json!([[null, "==", 1]]), "invalid expression");
    refused(json!([["k", null, 1]]), "invalid expression");
    refused(json!([["k", true, 1]]), "invalid expression");
    refused(json!([["k", "==", 1], "x"]), "invalid expression");
    refused(json!([["k", "==", 1], 5]), "invalid expression");
    refused(json!([[]]), "rule too short");
    refused(json!([{"a": 1}]), "rule too short");
    refused(json!(["OR", ["w", ">", 10]]), "rule too short");
    refused(json!(["OR"]), "rule too short");
    refused(json!(["OR", ["w", ">", 10], ["AND"]]), "rule too short");
    refused(json!([["!", "arg_k", "==", "1"]]), "bad 'not' expression");
    refused(json!(["arg_k", "==", "v"]), "rule should be wrapped inside brackets");
    refused(json!([1, 2]), "rule should be wrapped inside brackets");
    refused(json!("x"), "rule should be wrapped inside brackets");
    refused(json!({"a": 1}), "rule should be wrapped inside brackets");
    for right in [json!(null), json!(""), json!([]), json!({}), json!(false)] {
        refused(json!([["ip", "ipmatch", right]]), "invalid ip address");
    }
    refused(json!([["ip", "ipmatch"]]), "invalid ip address");
    refused(json!([["ip", "ipmatch", [""]]]), "invalid ip address: ");
    refused(json!([["ip", "ipmatch", ["1.2.3.4", "x"]]]), "invalid ip address: x");
    let error = Expr::compile(&json!([["k", "~~", "a("]])).unwrap_err();
    assert!(error.starts_with("invalid regular expression 'a(': "), "{error}");
    refused(json!([["k", "~~", ["a"]]]), "invalid expression");
}

#[test]
fn nesting_is_bounded() {
    let mut rule = json!(["k", "==", 1]);
    for _ in 0..DEPTH_MAX - 1 {
        rule = json!([rule]);
    }
    assert!(Expr::compile(&rule).is_ok());
    refused(json!([rule]), "expression nested too deeply");
}

#[test]
fn a_runaway_regex_is_an_error_and_not_a_match() {
    let subject = "a".repeat(40) + "!";
    let vars = Map(HashMap::from([("x", VarValue::Str(Cow::Owned(subject.into_bytes())))]));
    for rule in [json!([["x", "~~", "^(a+)+$"]]), json!([["x", "!", "~~", "^(a+)+$"]])] {
        assert!(Expr::compile(&rule).unwrap().eval(&vars).is_err(), "{rule}");
    }
}

#[test]
fn numbers_read_and_print_as_in_lua() {
    for (number, want) in [
        (0.0, "0"),
        (12.0, "12"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (1e13, "10000000000000"),
        (1e14, "1e+14"),
        (123_456_789_012_345.0, "1.2345678901234e+14"),
        (0.000_01, "1e-05"),
        (0.000_12, "0.00012"),
        (1.0 / 3.0, "0.33333333333333"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(number_text(number), want);
    }
    for (shown, number) in [
        ("1e2", 100),
        ("0x10", 16),
        ("-0x10", -16),
        ("0x.8p1", 1),
        ("0b101", 5),
        ("\t+7\n", 7),
        ("5.", 5),
    ] {
        check(json!([["k", "==", number]]), &[("k", text(shown))], true);
    }
    for junk in ["", " ", "--1", "+-1", "0x", "0xg", "0b", "0b2", "1 2", "1_0", "0xp1", "e5", "1e"]
    {
        check(json!([["k", "<=", 1e300]]), &[("k", text(junk))], false);
    }
    check(json!([["k", ">", 1e300]]), &[("k", text("inf"))], true);
}

proptest! {
    #[test]
    fn any_json_compiles_or_is_refused_and_never_panics(
        words in prop::collection::vec(prop::sample::select(&[
            "\"AND\"", "\"!OR\"", "\"!\"", "\"==\"", "\"~~\"", "\"in\"", "\"has\"", "\"ipmatch\"",
            "\"k\"", "\"1\"", "1", "null", "true", "[", "]", "[", "]", "{}", "\"127.0.0.1\"",
        ][..]), 0..24),
        value in "\\PC{0,8}",
    ) {
        let text = format!("[[{}]]", words.join(",").replace("[,", "[").replace(",]", "]"));
        if let Ok(rule) = serde_json::from_str::<Value>(&text)
            && let Ok(expr) = Expr::compile(&rule)
        {
            let value = VarValue::Str(Cow::Owned(value.into_bytes()));
            let _ = expr.eval(&Map(HashMap::from([("k", value)])));
            let _ = expr.eval(&NoVars);
        }
    }
}
