//! Keywords of objects and arrays. The Lua library says the same on every line.

use super::{
    Expect::{Filled, Refused, Same},
    check,
};

#[test]
fn objects() {
    check(
        r#"{"type":"object"}"#,
        &[
            ("{}", Same),
            ("[]", Same),
            (r#"{"a":1}"#, Same),
            ("[1]", Refused("wrong type: expected object, got table")),
            ("null", Refused("wrong type: expected object, got userdata")),
        ],
    );
}

#[test]
fn arrays() {
    check(
        r#"{"type":"array"}"#,
        &[
            ("{}", Same),
            ("[]", Same),
            (r#"{"a":1}"#, Refused("wrong type: expected array, got table")),
            ("[1]", Same),
            (r#""a""#, Refused("wrong type: expected array, got string")),
        ],
    );
}

#[test]
fn tables() {
    check(
        r#"{"type":"table"}"#,
        &[
            (r#"{"a":1}"#, Same),
            ("[1]", Same),
            ("1", Refused("wrong type: expected table, got number")),
        ],
    );
}

#[test]
fn required() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a","b"]}"#,
        &[
            ("{}", Refused(r#"property "a" is required"#)),
            (r#"{"a":"x"}"#, Refused(r#"property "b" is required"#)),
            (
                r#"{"a":1}"#,
                Refused(
                    r#"property "a" validation failed: wrong type: expected string, got number"#,
                ),
            ),
            (r#"{"a":"x","b":null}"#, Same),
        ],
    );
}

#[test]
fn empty_required() {
    check(
        r#"{"properties":{"a":{"type":"string"}},"required":[]}"#,
        &[
            ("{}", Same),
            (r#"{"a":"x"}"#, Refused("the input data should be an empty table")),
            ("1", Refused("the input data should be an empty table")),
        ],
    );
}

#[test]
fn defaults() {
    check(
        r#"{"properties":{"a":{"default":1},"b":{"default":{"c":[1]}},"c":{
            "default":false},"d":{"default":null}}}"#,
        &[
            ("{}", Filled(r#"{"b":{"c":[1]},"c":false,"a":1}"#)),
            (r#"{"a":null}"#, Filled(r#"{"b":{"c":[1]},"c":false,"a":null}"#)),
            ("[]", Filled(r#"{"b":{"c":[1]},"c":false,"a":1}"#)),
            ("[1]", Same),
            ("5", Same),
        ],
    );
}

#[test]
fn a_default_is_not_filled_further() {
    check(
        r#"{"properties":{"a":{"type":"object","default":{},"properties":{"b":{
            "default":1}}}}}"#,
        &[("{}", Filled(r#"{"a":{}}"#)), (r#"{"a":{}}"#, Filled(r#"{"a":{"b":1}}"#))],
    );
}

#[test]
fn a_default_is_not_checked() {
    check(
        r#"{"properties":{"a":{"type":"string","default":5}}}"#,
        &[
            ("{}", Filled(r#"{"a":5}"#)),
            (
                r#"{"a":5}"#,
                Refused(
                    r#"property "a" validation failed: wrong type: expected string, got number"#,
                ),
            ),
        ],
    );
}

#[test]
fn required_goes_before_default() {
    check(
        r#"{"properties":{"a":{"default":1}},"required":["a"]}"#,
        &[("{}", Refused(r#"property "a" is required"#))],
    );
}

#[test]
fn items() {
    check(
        r#"{"items":{"type":"string"}}"#,
        &[
            ("[]", Same),
            ("{}", Same),
            (r#"["a"]"#, Same),
            (
                r#"["a",1]"#,
                Refused("failed to validate item 2: wrong type: expected string, got number"),
            ),
            (
                "[null]",
                Refused("failed to validate item 1: wrong type: expected string, got userdata"),
            ),
            (r#"{"a":1}"#, Same),
        ],
    );
}

#[test]
fn tuples() {
    check(
        r#"{"items":[{"type":"string"},{"type":"number"}],"additionalItems":false}"#,
        &[
            ("[]", Same),
            (r#"["a"]"#, Same),
            (r#"["a",1]"#, Same),
            (r#"["a",1,2]"#, Refused("found unexpected extra items in array")),
            ("[1]", Refused("failed to validate item 1: wrong type: expected string, got number")),
            (
                r#"["a","b"]"#,
                Refused("failed to validate item 2: wrong type: expected number, got string"),
            ),
        ],
    );
}

#[test]
fn more_items() {
    check(
        r#"{"items":[{"type":"string"}],"additionalItems":{"type":"number"}}"#,
        &[
            (r#"["a",1,2]"#, Same),
            (
                r#"["a",1,"b"]"#,
                Refused(
                    "failed to validate additional item 3: wrong type: expected number, got string",
                ),
            ),
        ],
    );
}

#[test]
fn item_counts() {
    check(
        r#"{"minItems":1,"maxItems":2}"#,
        &[
            ("[1]", Same),
            ("[]", Refused("expect array to have at least 1 items")),
            ("{}", Refused("expect array to have at least 1 items")),
            ("[1,2,3]", Refused("expect array to have at most 2 items")),
            (r#""abc""#, Same),
        ],
    );
}

#[test]
fn items_true() {
    check(r#"{"items":true,"const":1}"#, &[("[1]", Same), (r#""x""#, Same)]);
}

#[test]
fn items_false() {
    check(r#"{"items":false}"#, &[("[]", Same), ("[1]", Refused("expect false always"))]);
}

#[test]
fn unique() {
    check(
        r#"{"uniqueItems":true}"#,
        &[
            (r#"[1,2,"1",true]"#, Same),
            ("[1,2,1]", Refused("expected unique items but items 1 and 3 are equal")),
            ("[1,1.0]", Refused("expected unique items but items 1 and 2 are equal")),
            (r#"["a","b","b"]"#, Refused("expected unique items but items 2 and 3 are equal")),
            (
                r#"[{"a":1,"b":2},3,{"b":2,"a":1}]"#,
                Refused("expected unique items but items 1 and 3 are equal"),
            ),
            ("[[],{}]", Refused("expected unique items but items 1 and 2 are equal")),
            ("[[1],[1,2]]", Same),
            ("[null,null]", Refused("expected unique items but items 1 and 2 are equal")),
            ("[false,0,false]", Refused("expected unique items but items 1 and 3 are equal")),
        ],
    );
}

#[test]
fn property_counts() {
    check(
        r#"{"minProperties":1,"maxProperties":2}"#,
        &[
            (r#"{"a":1}"#, Same),
            ("{}", Refused("expect object to have at least 1 properties")),
            ("[]", Refused("expect object to have at least 1 properties")),
            (r#"{"a":1,"b":1,"c":1}"#, Refused("expect object to have at most 2 properties")),
            ("[1]", Same),
        ],
    );
}

#[test]
fn defaults_count() {
    check(
        r#"{"properties":{"a":{"default":1}},"maxProperties":1}"#,
        &[
            ("{}", Filled(r#"{"a":1}"#)),
            (r#"{"b":1}"#, Refused("expect object to have at most 1 properties")),
        ],
    );
}

#[test]
fn additional_false() {
    check(
        r#"{"properties":{"a":true},"additionalProperties":false}"#,
        &[
            (r#"{"a":1}"#, Same),
            (r#"{"b":1}"#, Refused("additional properties forbidden, found b")),
            ("{}", Same),
        ],
    );
}

#[test]
fn additional_schema() {
    check(
        r#"{"properties":{"a":true},"additionalProperties":{"type":"string"}}"#,
        &[
            (r#"{"a":1,"b":"x"}"#, Same),
            (
                r#"{"b":1}"#,
                Refused(
                    "failed to validate additional property b: wrong type: expected string, got number",
                ),
            ),
        ],
    );
}

#[test]
fn pattern_properties() {
    check(
        r#"{"patternProperties":{"^x":{"type":"string"},"y$":{"minLength":2}},
            "additionalProperties":false}"#,
        &[
            (r#"{"x":"a"}"#, Same),
            (
                r#"{"x":1}"#,
                Refused(
                    r#"failed to validate x (matching "^x"): wrong type: expected string, got number"#,
                ),
            ),
            (
                r#"{"xy":"a"}"#,
                Refused(
                    r#"failed to validate xy (matching "y$"): string too short, expected at least 2, got 1"#,
                ),
            ),
            (r#"{"xy":"ab"}"#, Same),
            (r#"{"z":1}"#, Refused("additional properties forbidden, found z")),
        ],
    );
}

#[test]
fn pattern_properties_alone() {
    check(
        r#"{"patternProperties":{"^[^:]+$":{"type":"number"}}}"#,
        &[
            (r#"{"a":1,":":"x"}"#, Same),
            (
                r#"{"a":"x"}"#,
                Refused(
                    r#"failed to validate a (matching "^[^:]+$"): wrong type: expected number, got string"#,
                ),
            ),
        ],
    );
}

#[test]
fn property_names() {
    check(
        r#"{"propertyNames":false}"#,
        &[("{}", Same), (r#"{"a":1}"#, Refused("expect false always"))],
    );
}

#[test]
fn dependency_names() {
    check(
        r#"{"properties":{"a":{"type":"number"}},"dependencies":{"a":["b","c"],
            "d":["e"]}}"#,
        &[
            (r#"{"b":1}"#, Same),
            (r#"{"a":1}"#, Refused(r#"property "b" is required when "a" is set"#)),
            (r#"{"a":1,"b":1}"#, Refused(r#"property "c" is required when "a" is set"#)),
            (r#"{"a":1,"b":1,"c":1}"#, Same),
            (r#"{"d":1}"#, Refused(r#"property "e" is required when "d" is set"#)),
            (
                r#"{"a":"x"}"#,
                Refused(
                    r#"property "a" validation failed: wrong type: expected number, got string"#,
                ),
            ),
        ],
    );
}

#[test]
fn dependency_schemas() {
    check(
        r#"{"properties":{"a":true},"dependencies":{"a":{"required":["b"]},"c":{
            "not":{"required":["a","b"]}}}}"#,
        &[
            (
                r#"{"a":1}"#,
                Refused(r#"failed to validate dependent schema for "a": property "b" is required"#),
            ),
            (r#"{"a":1,"b":1}"#, Same),
            (r#"{"c":1}"#, Same),
            (
                r#"{"a":1,"b":1,"c":1}"#,
                Refused(
                    r#"failed to validate dependent schema for "c": value wasn't supposed to match schema"#,
                ),
            ),
        ],
    );
}

#[test]
fn contains() {
    check(
        r#"{"contains":{"minimum":5}}"#,
        &[
            ("[1,5]", Same),
            ("[1,2]", Refused("failed to check contains")),
            ("[]", Refused("check contains: empty array is invalid")),
            (r#"{"a":1}"#, Same),
        ],
    );
}

#[test]
fn contains_true() {
    check(
        r#"{"contains":true}"#,
        &[
            ("[1]", Same),
            ("[]", Refused("check contains: expect array table")),
            ("1", Refused("check contains: expect array table")),
        ],
    );
}

#[test]
fn contains_false() {
    check(
        r#"{"contains":false}"#,
        &[("1", Same), ("[1]", Refused("check contains: expect table"))],
    );
}
