//! Keywords that combine schemas. The Lua library says the same on every line.

use super::{
    Expect::{Filled, Refused, Same},
    check,
};

#[test]
fn booleans() {
    check(
        r#"{"properties":{"a":false,"b":true}}"#,
        &[
            (r#"{"b":null}"#, Same),
            (r#"{"a":1}"#, Refused(r#"property "a" validation failed: expect false always"#)),
        ],
    );
}

#[test]
fn failing_branches_leave_defaults() {
    check(
        r#"{"anyOf":[{"properties":{"a":{"default":1}},"required":["x"]},{
            "properties":{"b":{"default":2}}}]}"#,
        &[("{}", Filled(r#"{"b":2,"a":1}"#)), (r#"{"x":1}"#, Filled(r#"{"a":1,"x":1}"#))],
    );
}

#[test]
fn defaults_in_all_of() {
    check(
        r#"{"allOf":[{"properties":{"a":{"default":1}}},{"required":["a"]}]}"#,
        &[("{}", Filled(r#"{"a":1}"#)), (r#"{"a":2}"#, Same)],
    );
}

#[test]
fn defaults_in_if() {
    check(
        r#"{"if":{"properties":{"a":{"const":1,"default":1}}},"then":{
            "properties":{"b":{"default":2}}},"else":{"properties":{"c":{"default":3}}}}"#,
        &[
            ("{}", Filled(r#"{"b":2,"a":1}"#)),
            (r#"{"a":1}"#, Filled(r#"{"b":2,"a":1}"#)),
            (r#"{"a":5}"#, Filled(r#"{"c":3,"a":5}"#)),
        ],
    );
}

#[test]
fn a_later_rule_fills_a_default() {
    check(
        r#"{"properties":{"a":{"default":{}}},"allOf":[{"properties":{"a":{
            "properties":{"b":{"default":1}}}}}]}"#,
        &[("{}", Filled(r#"{"a":{"b":1}}"#))],
    );
}

#[test]
fn all_of() {
    check(
        r#"{"allOf":[{"type":"number"},{"minimum":5}]}"#,
        &[
            ("5", Same),
            ("4", Refused("allOf 2 failed: expected 4 to be at least 5")),
            (r#""x""#, Refused("allOf 1 failed: wrong type: expected number, got string")),
        ],
    );
}

#[test]
fn any_of() {
    check(
        r#"{"anyOf":[{"required":["a"]},{"required":["b","c/d"]},{"type":"string"}]}"#,
        &[
            (r#"{"a":1}"#, Same),
            (r#""x""#, Same),
            (
                r#"{"b":1}"#,
                Refused(r#"object matches none of the required: ["a"] or ["b","c\/d"]"#),
            ),
        ],
    );
}

#[test]
fn any_of_without_names() {
    check(
        r#"{"anyOf":[{"type":"string"},{"type":"integer","minimum":1}]}"#,
        &[
            (r#""x""#, Same),
            ("1", Same),
            ("0", Refused("object matches none of the required")),
            ("null", Refused("object matches none of the required")),
        ],
    );
}

#[test]
fn one_of() {
    check(
        r#"{"oneOf":[{"type":"integer"},{"minimum":2}]}"#,
        &[
            ("1", Same),
            ("2.5", Same),
            ("3", Refused("value should match only one schema, but matches both schemas 1 and 2")),
            ("1.5", Refused("value should match only one schema, but matches none")),
        ],
    );
}

#[test]
fn nots() {
    check(
        r#"{"not":{"type":"string"}}"#,
        &[("1", Same), (r#""x""#, Refused("value wasn't supposed to match schema"))],
    );
}

#[test]
fn conditions() {
    check(
        r#"{"if":{"type":"string"},"then":{"minLength":2},"else":{"minimum":2}}"#,
        &[
            (r#""ab""#, Same),
            (r#""a""#, Refused("then clause did not match")),
            ("2", Same),
            ("1", Refused("else clause did not match")),
        ],
    );
}

#[test]
fn a_false_condition_is_none() {
    check(r#"{"if":false,"then":false,"else":false}"#, &[("1", Same)]);
}

#[test]
fn references() {
    check(
        r##"{"definitions":{"pos":{"type":"integer","minimum":1},"a/b":{
            "$ref":"#/definitions/pos"}},"properties":{"x":{"$ref":"#/definitions/pos"},"y":{
            "$ref":"#/definitions/a~1b"}}}"##,
        &[
            (r#"{"x":1,"y":2}"#, Same),
            (
                r#"{"x":0}"#,
                Refused(r#"property "x" validation failed: expected 0 to be at least 1"#),
            ),
            (
                r#"{"y":"z"}"#,
                Refused(
                    r#"property "y" validation failed: wrong type: expected integer, got string"#,
                ),
            ),
        ],
    );
}

#[test]
fn recursion() {
    check(
        r##"{"properties":{"next":{"$ref":"#"},"n":{"type":"integer",
            "default":0}},"required":["n"]}"##,
        &[
            (r#"{"n":1,"next":{"n":2}}"#, Same),
            (
                r#"{"n":1,"next":{"n":2,"next":{}}}"#,
                Refused(
                    r#"property "next" validation failed: property "next" validation failed: property "n" is required"#,
                ),
            ),
        ],
    );
}

#[test]
fn order_of_keywords() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"string"}},
            "minProperties":5,"anyOf":[{"required":["z"]}],"const":1}"#,
        &[
            (
                r#"{"a":1}"#,
                Refused(
                    r#"property "a" validation failed: wrong type: expected string, got number"#,
                ),
            ),
            (r#"{"a":"x"}"#, Refused("expect object to have at least 5 properties")),
            (r#""x""#, Refused("wrong type: expected object, got string")),
        ],
    );
}
