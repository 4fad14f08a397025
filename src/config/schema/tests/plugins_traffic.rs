//! Schemas of APISIX traffic plugins, shortened, and what their users are told.

use super::{
    Expect::{Filled, Refused, Same},
    check,
};

#[test]
fn limit_req() {
    check(
        r#"{"type":"object","properties":{"rate":{"type":"number",
            "exclusiveMinimum":0},"burst":{"type":"number","minimum":0},"key":{
            "type":"string"},"key_type":{"type":"string","enum":["var","var_combination"],
            "default":"var"},"policy":{"type":"string","enum":["redis","redis-cluster",
            "local"],"default":"local"},"rejected_code":{"type":"integer","minimum":200,
            "maximum":599,"default":503},"rejected_msg":{"type":"string","minLength":1},
            "nodelay":{"type":"boolean","default":false}},"required":["rate","burst","key"],
            "if":{"properties":{"policy":{"enum":["redis"]}}},"then":{"properties":{
            "redis_host":{"type":"string","minLength":2},"redis_port":{"type":"integer",
            "minimum":1,"default":6379},"redis_timeout":{"type":"integer","minimum":1,
            "default":1000}},"required":["redis_host"]},"else":{"if":{"properties":{"policy":{
            "enum":["redis-cluster"]}}},"then":{"required":["redis_cluster_nodes"]}}}"#,
        &[
            (
                r#"{"rate":1,"burst":0,"key":"remote_addr"}"#,
                Filled(
                    r#"{"rejected_code":503,"policy":"local","nodelay":false,"rate":1,"burst":0,"key":"remote_addr","key_type":"var"}"#,
                ),
            ),
            (
                r#"{"rate":0,"burst":0,"key":"x"}"#,
                Refused(r#"property "rate" validation failed: expected 0 to be greater than 0"#),
            ),
            (
                r#"{"rate":-1,"burst":0,"key":"x"}"#,
                Refused(r#"property "rate" validation failed: expected -1 to be greater than 0"#),
            ),
            (r#"{"rate":1,"burst":0}"#, Refused(r#"property "key" is required"#)),
            (
                r#"{"rate":1,"burst":0,"key":"x","policy":"redis","redis_host":"127.0.0.1"}"#,
                Filled(
                    r#"{"policy":"redis","rejected_code":503,"nodelay":false,"redis_host":"127.0.0.1","redis_port":6379,"redis_timeout":1000,"rate":1,"burst":0,"key":"x","key_type":"var"}"#,
                ),
            ),
            (
                r#"{"rate":1,"burst":0,"key":"x","policy":"redis"}"#,
                Refused("then clause did not match"),
            ),
            (
                r#"{"rate":1,"burst":0,"key":"x","policy":"redis-cluster"}"#,
                Refused("else clause did not match"),
            ),
            (
                r#"{"rate":1,"burst":0,"key":"x","rejected_code":600}"#,
                Refused(
                    r#"property "rejected_code" validation failed: expected 600 to be at most 599"#,
                ),
            ),
            (
                r#"{"rate":1,"burst":0,"key":"x","rejected_msg":""}"#,
                Refused(
                    r#"property "rejected_msg" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
        ],
    );
}

#[test]
fn limit_conn() {
    check(
        r#"{"type":"object","properties":{"conn":{"oneOf":[{"type":"integer",
            "exclusiveMinimum":0},{"type":"string"}]},"burst":{"oneOf":[{"type":"integer",
            "minimum":0},{"type":"string"}]},"default_conn_delay":{"type":"number",
            "exclusiveMinimum":0},"key":{"type":"string"},"rules":{"type":"array","items":{
            "type":"object","required":["conn","burst","key"]}}},"oneOf":[{"required":["conn",
            "burst","default_conn_delay","key"]},{"required":["default_conn_delay",
            "rules"]}]}"#,
        &[
            (r#"{"conn":1,"burst":0,"default_conn_delay":0.1,"key":"x"}"#, Same),
            (r#"{"conn":"$arg_c","burst":0,"default_conn_delay":0.1,"key":"x"}"#, Same),
            (
                r#"{"conn":0,"burst":0,"default_conn_delay":0.1,"key":"x"}"#,
                Refused(
                    r#"property "conn" validation failed: value should match only one schema, but matches none"#,
                ),
            ),
            (
                r#"{"conn":1,"burst":0,"default_conn_delay":0,"key":"x"}"#,
                Refused(
                    r#"property "default_conn_delay" validation failed: expected 0 to be greater than 0"#,
                ),
            ),
            (
                r#"{"conn":1,"burst":0}"#,
                Refused("value should match only one schema, but matches none"),
            ),
            (
                r#"{"conn":1,"burst":0,"default_conn_delay":1,"key":"x","rules":[]}"#,
                Refused("value should match only one schema, but matches both schemas 1 and 2"),
            ),
            (
                r#"{"default_conn_delay":1,"rules":[{"conn":1}]}"#,
                Refused(
                    r#"property "rules" validation failed: failed to validate item 1: property "burst" is required"#,
                ),
            ),
        ],
    );
}

#[test]
fn fault_injection() {
    check(
        r#"{"type":"object","properties":{"abort":{"type":"object","properties":{
            "http_status":{"type":"integer","minimum":200},"body":{"type":"string",
            "minLength":0},"percentage":{"type":"integer","minimum":0,"maximum":100},"vars":{
            "type":"array","maxItems":20,"items":{"type":"array"}}},"required":[
            "http_status"]},"delay":{"type":"object","properties":{"duration":{
            "type":"number","minimum":0}},"required":["duration"]}},"minProperties":1}"#,
        &[
            (r#"{"abort":{"http_status":200,"body":""}}"#, Same),
            (
                r#"{"abort":{"http_status":100}}"#,
                Refused(
                    r#"property "abort" validation failed: property "http_status" validation failed: expected 100 to be at least 200"#,
                ),
            ),
            (
                r#"{"delay":{}}"#,
                Refused(r#"property "delay" validation failed: property "duration" is required"#),
            ),
            ("{}", Refused("expect object to have at least 1 properties")),
            (r#"{"abort":{"http_status":200,"vars":[[["arg_x","==",1]],{}]}}"#, Same),
            (
                r#"{"abort":{"http_status":200,"vars":["x"]}}"#,
                Refused(
                    r#"property "abort" validation failed: property "vars" validation failed: failed to validate item 1: wrong type: expected array, got string"#,
                ),
            ),
            (
                r#"{"abort":{"http_status":200,"percentage":101}}"#,
                Refused(
                    r#"property "abort" validation failed: property "percentage" validation failed: expected 101 to be at most 100"#,
                ),
            ),
        ],
    );
}

#[test]
fn uri_blocker() {
    check(
        r#"{"type":"object","properties":{"block_rules":{"type":"array","items":{
            "type":"string","minLength":1,"maxLength":4096},"uniqueItems":true},
            "rejected_code":{"type":"integer","minimum":200,"default":403},"rejected_msg":{
            "type":"string","minLength":1},"case_insensitive":{"type":"boolean",
            "default":false}},"required":["block_rules"]}"#,
        &[
            (
                r#"{"block_rules":["aa"]}"#,
                Filled(r#"{"case_insensitive":false,"block_rules":["aa"],"rejected_code":403}"#),
            ),
            (
                r#"{"block_rules":["aa","aa"]}"#,
                Refused(
                    r#"property "block_rules" validation failed: expected unique items but items 1 and 2 are equal"#,
                ),
            ),
            (
                r#"{"block_rules":[""]}"#,
                Refused(
                    r#"property "block_rules" validation failed: failed to validate item 1: string too short, expected at least 1, got 0"#,
                ),
            ),
            (
                r#"{"block_rules":["a"],"rejected_msg":true}"#,
                Refused(
                    r#"property "rejected_msg" validation failed: wrong type: expected string, got boolean"#,
                ),
            ),
            (r#"{"rejected_code":403}"#, Refused(r#"property "block_rules" is required"#)),
        ],
    );
}

#[test]
fn api_breaker() {
    check(
        r#"{"type":"object","properties":{"break_response_code":{
            "type":"integer","minimum":200,"maximum":599},"max_breaker_sec":{"type":"integer",
            "minimum":3,"default":300},"unhealthy":{"type":"object","properties":{
            "http_statuses":{"type":"array","minItems":1,"items":{"type":"integer",
            "minimum":500,"maximum":599},"uniqueItems":true,"default":[500]},"failures":{
            "type":"integer","minimum":1,"default":3}},"default":{"http_statuses":[500],
            "failures":3}}},"required":["break_response_code"]}"#,
        &[
            (
                r#"{"break_response_code":502}"#,
                Filled(
                    r#"{"max_breaker_sec":300,"unhealthy":{"http_statuses":[500],"failures":3},"break_response_code":502}"#,
                ),
            ),
            (
                r#"{"break_response_code":502,"unhealthy":{}}"#,
                Filled(
                    r#"{"max_breaker_sec":300,"unhealthy":{"http_statuses":[500],"failures":3},"break_response_code":502}"#,
                ),
            ),
            (
                r#"{"break_response_code":502,"unhealthy":{"http_statuses":[500,500]}}"#,
                Refused(
                    r#"property "unhealthy" validation failed: property "http_statuses" validation failed: expected unique items but items 1 and 2 are equal"#,
                ),
            ),
            (
                r#"{"break_response_code":502,"unhealthy":{"http_statuses":[400]}}"#,
                Refused(
                    r#"property "unhealthy" validation failed: property "http_statuses" validation failed: failed to validate item 1: expected 400 to be at least 500"#,
                ),
            ),
            (
                r#"{"break_response_code":199}"#,
                Refused(
                    r#"property "break_response_code" validation failed: expected 199 to be at least 200"#,
                ),
            ),
            (r#"{"unhealthy":{}}"#, Refused(r#"property "break_response_code" is required"#)),
        ],
    );
}

#[test]
fn proxy_mirror() {
    check(
        r#"{"type":"object","properties":{"host":{"type":"string",
            "pattern":"^(http(s)?|grpc(s)?):\\/\\/([\\da-zA-Z.-]+|\\[[\\da-fA-F:]+\\])(:\\d+)?$"},
            "path":{"type":"string","pattern":"^/[^?&]+$"},"sample_ratio":{"type":"number",
            "minimum":0.00001,"maximum":1,"default":1}},"required":["host"]}"#,
        &[
            (
                r#"{"host":"http://127.0.0.1:1986"}"#,
                Filled(r#"{"host":"http://127.0.0.1:1986","sample_ratio":1}"#),
            ),
            (
                r#"{"host":"http://[::1]:80"}"#,
                Filled(r#"{"host":"http://[::1]:80","sample_ratio":1}"#),
            ),
            (
                r#"{"host":"127.0.0.1"}"#,
                Refused(
                    r#"property "host" validation failed: failed to match pattern "^(http(s)?|grpc(s)?):\\/\\/([\\da-zA-Z.-]+|\\[[\\da-fA-F:]+\\])(:\\d+)?$" with "127.0.0.1""#,
                ),
            ),
            (
                r#"{"host":"http://a","path":"/a?b"}"#,
                Refused(
                    r#"property "path" validation failed: failed to match pattern "^/[^?&]+$" with "/a?b""#,
                ),
            ),
            (
                r#"{"host":"http://a","sample_ratio":10}"#,
                Refused(
                    r#"property "sample_ratio" validation failed: expected 10 to be at most 1"#,
                ),
            ),
            (
                r#"{"host":"http://a","sample_ratio":0}"#,
                Refused(
                    r#"property "sample_ratio" validation failed: expected 0 to be at least 1e-05"#,
                ),
            ),
        ],
    );
}
