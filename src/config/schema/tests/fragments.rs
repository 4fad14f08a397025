//! Fragments that several APISIX schemas share, and what users are told.

use super::{
    Expect::{Filled, Refused, Same},
    check,
};

#[test]
fn ip_lists() {
    check(
        r#"{"type":"array","minItems":1,"items":{"anyOf":[{"title":"IPv4",
            "type":"string","format":"ipv4"},{"type":"string",
            "pattern":"^([0-9]{1,3}\\.){3}[0-9]{1,3}/([12]?[0-9]|3[0-2])$"},{"type":"string",
            "format":"ipv6"}]}}"#,
        &[
            (r#"["10.0.0.0/8","::1"]"#, Same),
            (
                r#"["10.0.0.0/33"]"#,
                Refused("failed to validate item 1: object matches none of the required"),
            ),
            ("[]", Refused("expect array to have at least 1 items")),
            (r#"{"a":1}"#, Refused("wrong type: expected array, got table")),
        ],
    );
}

#[test]
fn kafka_brokers() {
    check(
        r#"{"type":"object","properties":{"broker_list":{"type":"object",
            "minProperties":1,"patternProperties":{".*":{"type":"integer","minimum":1,
            "maximum":65535}}},"brokers":{"type":"array","minItems":1,"items":{
            "type":"object","properties":{"host":{"type":"string"},"port":{"type":"integer",
            "minimum":1,"maximum":65535},"sasl_config":{"type":"object","properties":{
            "mechanism":{"type":"string","default":"PLAIN","enum":["PLAIN"]},"user":{
            "type":"string"}},"required":["user"]}},"required":["host","port"]},
            "uniqueItems":true}},"oneOf":[{"required":["broker_list"]},{"required":[
            "brokers"]}]}"#,
        &[
            (r#"{"broker_list":{"127.0.0.1":9092}}"#, Same),
            (
                r#"{"broker_list":{"127.0.0.1":0}}"#,
                Refused(
                    r#"property "broker_list" validation failed: failed to validate 127.0.0.1 (matching ".*"): expected 0 to be at least 1"#,
                ),
            ),
            (
                r#"{"broker_list":{"127.0.0.1":65536}}"#,
                Refused(
                    r#"property "broker_list" validation failed: failed to validate 127.0.0.1 (matching ".*"): expected 65536 to be at most 65535"#,
                ),
            ),
            (
                r#"{"broker_list":{"127.0.0.1":"x"}}"#,
                Refused(
                    r#"property "broker_list" validation failed: failed to validate 127.0.0.1 (matching ".*"): wrong type: expected integer, got string"#,
                ),
            ),
            (
                r#"{"broker_list":{}}"#,
                Refused(
                    r#"property "broker_list" validation failed: expect object to have at least 1 properties"#,
                ),
            ),
            (
                r#"{"brokers":[{"host":"a"}]}"#,
                Refused(
                    r#"property "brokers" validation failed: failed to validate item 1: property "port" is required"#,
                ),
            ),
            (
                r#"{"brokers":[{"host":"a","port":1,"sasl_config":{"user":"u"}}]}"#,
                Filled(
                    r#"{"brokers":[{"sasl_config":{"mechanism":"PLAIN","user":"u"},"host":"a","port":1}]}"#,
                ),
            ),
            (
                r#"{"brokers":[{"host":"a","port":1,"sasl_config":{"mechanism":"x","user":"u"}}]}"#,
                Refused(
                    r#"property "brokers" validation failed: failed to validate item 1: property "sasl_config" validation failed: property "mechanism" validation failed: matches none of the enum values"#,
                ),
            ),
        ],
    );
}

#[test]
fn ids() {
    check(
        r#"{"anyOf":[{"type":"string","minLength":1,"maxLength":64,
            "pattern":"^[a-zA-Z0-9-_.]+$"},{"type":"integer","minimum":1}]}"#,
        &[
            (r#""a-1_b.c""#, Same),
            (r#""""#, Refused("object matches none of the required")),
            (r#""a b""#, Refused("object matches none of the required")),
            ("0", Refused("object matches none of the required")),
            ("7", Same),
            ("1.5", Refused("object matches none of the required")),
        ],
    );
}

#[test]
fn hash_on_vars() {
    check(
        r#"{"type":"string",
            "pattern":"^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$"}"#,
        &[
            (r#""arg_id""#, Same),
            (
                r#""args_invalid""#,
                Refused(
                    r#"failed to match pattern "^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$" with "args_invalid""#,
                ),
            ),
        ],
    );
}

#[test]
fn injected_meta() {
    check(
        r#"{"type":"object","properties":{"_meta":{"type":"object","properties":{
            "disable":{"type":"boolean"},"error_response":{"oneOf":[{"type":"string"},{
            "type":"object"}]},"priority":{"type":"integer"},"filter":{"type":"array"}},
            "additionalProperties":false}}}"#,
        &[
            (r#"{"_meta":{"disable":true,"error_response":{"a":1}}}"#, Same),
            (
                r#"{"_meta":{"x":1}}"#,
                Refused(
                    r#"property "_meta" validation failed: additional properties forbidden, found x"#,
                ),
            ),
            (
                r#"{"_meta":{"disable":"x"}}"#,
                Refused(
                    r#"property "_meta" validation failed: property "disable" validation failed: wrong type: expected boolean, got string"#,
                ),
            ),
            (
                r#"{"_meta":{"error_response":1}}"#,
                Refused(
                    r#"property "_meta" validation failed: property "error_response" validation failed: value should match only one schema, but matches none"#,
                ),
            ),
        ],
    );
}

#[test]
fn labels() {
    check(
        r#"{"type":"object","patternProperties":{".*":{"type":"string",
            "pattern":"^\\S+$","maxLength":256,"minLength":1}}}"#,
        &[
            (r#"{"env":"prod"}"#, Same),
            (
                r#"{"env":"p rod"}"#,
                Refused(
                    r#"failed to validate env (matching ".*"): failed to match pattern "^\\S+$" with "p rod""#,
                ),
            ),
            (
                r#"{"env":1}"#,
                Refused(
                    r#"failed to validate env (matching ".*"): wrong type: expected string, got number"#,
                ),
            ),
            (
                r#"{"env":""}"#,
                Refused(
                    r#"failed to validate env (matching ".*"): string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}
