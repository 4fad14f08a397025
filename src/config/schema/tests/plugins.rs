//! Schemas of APISIX plugins, shortened, and what their users are told.

use super::{
    Expect::{Filled, Refused, Same},
    check,
};

#[test]
fn key_auth() {
    check(
        r#"{"type":"object","properties":{"header":{"type":"string",
            "default":"apikey"},"query":{"type":"string","default":"apikey"},"realm":{
            "type":"string","pattern":"^[\u0020-\u0021\u0023-\u005B\\]-\u007E]+$",
            "default":"key","minLength":1,"maxLength":128},"hide_credentials":{
            "type":"boolean","default":false},"anonymous_consumer":{"type":"string",
            "minLength":1}}}"#,
        &[
            (
                "{}",
                Filled(
                    r#"{"realm":"key","header":"apikey","query":"apikey","hide_credentials":false}"#,
                ),
            ),
            (
                r#"{"anonymous_consumer":""}"#,
                Refused(
                    r#"property "anonymous_consumer" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
            (
                r#"{"anonymous_consumer":1}"#,
                Refused(
                    r#"property "anonymous_consumer" validation failed: wrong type: expected string, got number"#,
                ),
            ),
            (
                r#"{"anonymous_consumer":true}"#,
                Refused(
                    r#"property "anonymous_consumer" validation failed: wrong type: expected string, got boolean"#,
                ),
            ),
            (
                r#"{"anonymous_consumer":{}}"#,
                Refused(
                    r#"property "anonymous_consumer" validation failed: wrong type: expected string, got table"#,
                ),
            ),
            (
                r#"{"realm":"a\"b"}"#,
                Refused(
                    r#"property "realm" validation failed: failed to match pattern "^[ -!#-[\\]-~]+$" with "a\"b""#,
                ),
            ),
            (
                r#"{"hide_credentials":"yes"}"#,
                Refused(
                    r#"property "hide_credentials" validation failed: wrong type: expected boolean, got string"#,
                ),
            ),
        ],
    );
}

#[test]
fn key_auth_consumer() {
    check(
        r#"{"type":"object","properties":{"key":{"type":"string"}},
            "encrypt_fields":["key"],"required":["key"]}"#,
        &[
            (r#"{"key":"k"}"#, Same),
            ("{}", Refused(r#"property "key" is required"#)),
            (
                r#"{"key":1}"#,
                Refused(
                    r#"property "key" validation failed: wrong type: expected string, got number"#,
                ),
            ),
        ],
    );
}

#[test]
fn request_id() {
    check(
        r#"{"type":"object","properties":{"header_name":{"type":"string",
            "default":"X-Request-Id"},"algorithm":{"type":"string","enum":["uuid","nanoid",
            "range_id","ksuid","uuidv7"],"default":"uuid"},"range_id":{"type":"object",
            "properties":{"length":{"type":"integer","minimum":6,"default":16},"char_set":{
            "type":"string","minLength":6,"default":"abcdef"}},"default":{"length":16,
            "char_set":"abcdef"}}}}"#,
        &[
            (
                "{}",
                Filled(
                    r#"{"algorithm":"uuid","header_name":"X-Request-Id","range_id":{"char_set":"abcdef","length":16}}"#,
                ),
            ),
            (
                r#"{"range_id":{}}"#,
                Filled(
                    r#"{"algorithm":"uuid","range_id":{"char_set":"abcdef","length":16},"header_name":"X-Request-Id"}"#,
                ),
            ),
            (
                r#"{"range_id":{"length":5}}"#,
                Refused(
                    r#"property "range_id" validation failed: property "length" validation failed: expected 5 to be at least 6"#,
                ),
            ),
            (
                r#"{"algorithm":"bad"}"#,
                Refused(
                    r#"property "algorithm" validation failed: matches none of the enum values"#,
                ),
            ),
        ],
    );
}

#[test]
fn proxy_rewrite() {
    check(
        r#"{"type":"object","properties":{"uri":{"type":"string","minLength":1,
            "maxLength":4096,"pattern":"^\\/.*"},"regex_uri":{"type":"array","minItems":2,
            "items":{"type":"string"}},"host":{"type":"string",
            "pattern":"^[0-9a-zA-Z-.]+(:\\d{1,5})?$"},"headers":{"oneOf":[{"type":"object",
            "minProperties":1,"additionalProperties":false,"properties":{"set":{
            "type":"object","minProperties":1,"patternProperties":{"^[^:]+$":{"oneOf":[{
            "type":"string"},{"type":"number"}]}}},"remove":{"type":"array","minItems":1,
            "items":{"type":"string","pattern":"^[^:]+$"}}}},{"type":"object",
            "minProperties":1,"patternProperties":{"^[^:]+$":{"oneOf":[{"type":"string"},{
            "type":"number"}]}}}]}},"minProperties":1}"#,
        &[
            (r#"{"uri":"/a"}"#, Same),
            (
                r#"{"uri":"a"}"#,
                Refused(
                    r#"property "uri" validation failed: failed to match pattern "^\\/.*" with "a""#,
                ),
            ),
            (
                r#"{"uri":""}"#,
                Refused(
                    r#"property "uri" validation failed: string too short, expected at least 1, got 0"#,
                ),
            ),
            (r#"{"host":"a.b:80"}"#, Same),
            (
                r#"{"host":"a_b"}"#,
                Refused(
                    r#"property "host" validation failed: failed to match pattern "^[0-9a-zA-Z-.]+(:\\d{1,5})?$" with "a_b""#,
                ),
            ),
            (
                r#"{"regex_uri":["a"]}"#,
                Refused(
                    r#"property "regex_uri" validation failed: expect array to have at least 2 items"#,
                ),
            ),
            (r#"{"headers":{"X":"1"}}"#, Same),
            (r#"{"headers":{"set":{"X":1}}}"#, Same),
            (
                r#"{"headers":{}}"#,
                Refused(
                    r#"property "headers" validation failed: value should match only one schema, but matches none"#,
                ),
            ),
            ("{}", Refused("expect object to have at least 1 properties")),
        ],
    );
}

#[test]
fn redirect() {
    check(
        r#"{"type":"object","properties":{"ret_code":{"type":"integer",
            "minimum":200,"default":302},"uri":{"type":"string","minLength":2},"regex_uri":{
            "type":"array","maxItems":2,"minItems":2,"items":{"type":"string"}},
            "http_to_https":{"type":"boolean"},"encode_uri":{"type":"boolean",
            "default":false}},"oneOf":[{"required":["uri"]},{"required":["regex_uri"]},{
            "required":["http_to_https"]}]}"#,
        &[
            (r#"{"uri":"/a"}"#, Filled(r#"{"encode_uri":false,"ret_code":302,"uri":"/a"}"#)),
            (
                r#"{"uri":"/a","http_to_https":true}"#,
                Refused("value should match only one schema, but matches both schemas 1 and 3"),
            ),
            ("{}", Refused("value should match only one schema, but matches none")),
            (
                r#"{"regex_uri":["a","b","c"]}"#,
                Refused(
                    r#"property "regex_uri" validation failed: expect array to have at most 2 items"#,
                ),
            ),
            (
                r#"{"ret_code":100,"uri":"/a"}"#,
                Refused(
                    r#"property "ret_code" validation failed: expected 100 to be at least 200"#,
                ),
            ),
        ],
    );
}

#[test]
fn consumer_restriction() {
    check(
        r#"{"type":"object","properties":{"type":{"type":"string","enum":[
            "consumer_name","service_id"],"default":"consumer_name"},"blacklist":{
            "type":"array","minItems":1,"items":{"type":"string"}},"whitelist":{
            "type":"array","minItems":1,"items":{"type":"string"}},"rejected_code":{
            "type":"integer","minimum":200,"default":403}},"anyOf":[{"required":[
            "blacklist"]},{"required":["whitelist"]},{"required":["allowed_by_methods"]}]}"#,
        &[
            (
                r#"{"whitelist":["jack"]}"#,
                Filled(r#"{"rejected_code":403,"type":"consumer_name","whitelist":["jack"]}"#),
            ),
            (
                r#"{"blacklist":[]}"#,
                Refused(
                    r#"property "blacklist" validation failed: expect array to have at least 1 items"#,
                ),
            ),
            (
                r#"{"type":"x","blacklist":["a"]}"#,
                Refused(r#"property "type" validation failed: matches none of the enum values"#),
            ),
            (
                "{}",
                Refused(
                    r#"object matches none of the required: ["blacklist"] or ["whitelist"] or ["allowed_by_methods"]"#,
                ),
            ),
            (
                r#"{"whitelist":"jack"}"#,
                Refused(
                    r#"property "whitelist" validation failed: wrong type: expected array, got string"#,
                ),
            ),
        ],
    );
}

#[test]
fn gzip() {
    check(
        r#"{"type":"object","properties":{"types":{"anyOf":[{"type":"array",
            "minItems":1,"items":{"type":"string","minLength":1}},{"enum":["*"]}],"default":[
            "text/html"]},"min_length":{"type":"integer","minimum":1,"default":20},
            "http_version":{"enum":[1.1,1.0],"default":1.1},"buffers":{"type":"object",
            "properties":{"number":{"type":"integer","minimum":1,"default":32},"size":{
            "type":"integer","minimum":1,"default":4096}},"default":{"number":32,
            "size":4096}}}}"#,
        &[
            (
                "{}",
                Filled(
                    r#"{"http_version":1.1,"buffers":{"size":4096,"number":32},"types":["text/html"],"min_length":20}"#,
                ),
            ),
            (
                r#"{"types":"*"}"#,
                Filled(
                    r#"{"types":"*","buffers":{"size":4096,"number":32},"http_version":1.1,"min_length":20}"#,
                ),
            ),
            (
                r#"{"types":[]}"#,
                Refused(
                    r#"property "types" validation failed: object matches none of the required"#,
                ),
            ),
            (
                r#"{"types":[""]}"#,
                Refused(
                    r#"property "types" validation failed: object matches none of the required"#,
                ),
            ),
            (
                r#"{"http_version":1}"#,
                Filled(
                    r#"{"http_version":1,"buffers":{"size":4096,"number":32},"types":["text/html"],"min_length":20}"#,
                ),
            ),
            (
                r#"{"http_version":2}"#,
                Refused(
                    r#"property "http_version" validation failed: matches none of the enum values"#,
                ),
            ),
            (
                r#"{"min_length":0}"#,
                Refused(r#"property "min_length" validation failed: expected 0 to be at least 1"#),
            ),
            (
                r#"{"buffers":{"number":0}}"#,
                Refused(
                    r#"property "buffers" validation failed: property "number" validation failed: expected 0 to be at least 1"#,
                ),
            ),
            (
                r#"{"buffers":{"size":1}}"#,
                Filled(
                    r#"{"http_version":1.1,"buffers":{"size":1,"number":32},"types":["text/html"],"min_length":20}"#,
                ),
            ),
        ],
    );
}
