//! Keywords of single values. The Lua library says the same on every line.

use super::{
    Expect::{Refused, Same},
    check,
};

#[test]
fn type_names() {
    check(
        r#"{"type":"string"}"#,
        &[
            (r#""x""#, Same),
            ("1", Refused("wrong type: expected string, got number")),
            ("1.5", Refused("wrong type: expected string, got number")),
            ("true", Refused("wrong type: expected string, got boolean")),
            ("null", Refused("wrong type: expected string, got userdata")),
            ("[]", Refused("wrong type: expected string, got table")),
            ("{}", Refused("wrong type: expected string, got table")),
        ],
    );
}

#[test]
fn integers() {
    check(
        r#"{"type":"integer"}"#,
        &[
            ("1", Same),
            ("1.0", Same),
            ("-3", Same),
            ("1.5", Refused("wrong type: expected integer, got number")),
            (r#""1""#, Refused("wrong type: expected integer, got string")),
            ("1e20", Same),
        ],
    );
}

#[test]
fn numbers() {
    check(
        r#"{"type":"number"}"#,
        &[
            ("1", Same),
            ("0.5", Same),
            (r#""1""#, Refused("wrong type: expected number, got string")),
            ("null", Refused("wrong type: expected number, got userdata")),
        ],
    );
}

#[test]
fn nulls() {
    check(
        r#"{"type":"null"}"#,
        &[("null", Same), ("false", Refused("wrong type: expected null, got boolean"))],
    );
}

#[test]
fn several_types() {
    check(
        r#"{"type":["string","integer"]}"#,
        &[
            (r#""a""#, Same),
            ("1", Same),
            ("1.5", Refused("wrong type: expected one of string, integer, got number")),
            ("[1]", Refused("wrong type: expected one of string, integer, got table")),
            ("null", Refused("wrong type: expected one of string, integer, got userdata")),
        ],
    );
}

#[test]
fn enums() {
    check(
        r#"{"enum":["a",1,true,{"x":[1]},[]]}"#,
        &[
            (r#""a""#, Same),
            ("1.0", Same),
            ("true", Same),
            (r#"{"x":[1.0]}"#, Same),
            ("{}", Same),
            (r#""b""#, Refused("matches none of the enum values")),
            ("2", Refused("matches none of the enum values")),
            ("false", Refused("matches none of the enum values")),
            ("null", Refused("matches none of the enum values")),
            (r#"{"x":[2]}"#, Refused("matches none of the enum values")),
        ],
    );
}

#[test]
fn constants() {
    check(
        r#"{"const":{"a":[1]}}"#,
        &[
            (r#"{"a":[1]}"#, Same),
            (r#"{"a":[]}"#, Refused("failed to check const value")),
            ("1", Refused("failed to check const value")),
        ],
    );
}

#[test]
fn const_false() {
    check(
        r#"{"const":false}"#,
        &[
            ("false", Same),
            ("0", Refused("failed to check const value")),
            ("null", Refused("failed to check const value")),
        ],
    );
}

#[test]
fn ranges() {
    check(
        r#"{"minimum":1,"maximum":65535}"#,
        &[
            ("1", Same),
            ("65535", Same),
            ("0", Refused("expected 0 to be at least 1")),
            ("65536", Refused("expected 65536 to be at most 65535")),
            ("0.5", Refused("expected 0.5 to be at least 1")),
            (r#""x""#, Same),
            ("-1e30", Refused("expected -1e+30 to be at least 1")),
        ],
    );
}

#[test]
fn exclusive() {
    check(
        r#"{"exclusiveMinimum":0,"exclusiveMaximum":1}"#,
        &[
            ("0.5", Same),
            ("0", Refused("expected 0 to be greater than 0")),
            ("1", Refused("expected 1 to be smaller than 1")),
            ("-2.50", Refused("expected -2.5 to be greater than 0")),
        ],
    );
}

#[test]
fn small_bounds() {
    check(
        r#"{"minimum":0.00001,"maximum":1e15}"#,
        &[
            ("0", Refused("expected 0 to be at least 1e-05")),
            ("0.00001", Same),
            ("1e16", Refused("expected 1e+16 to be at most 1e+15")),
        ],
    );
}

#[test]
fn multiples() {
    check(
        r#"{"multipleOf":2}"#,
        &[
            ("4", Same),
            ("-4", Same),
            ("3", Refused("expected 3 to be a multiple of 2")),
            ("0.5", Refused("expected 0.5 to be a multiple of 2")),
        ],
    );
}

#[test]
fn fractional_multiples() {
    check(
        r#"{"multipleOf":0.01}"#,
        &[
            ("1.13", Same),
            ("4.35", Same),
            ("1.135", Refused("expected 1.135 to be a multiple of 0.01")),
            ("0", Same),
        ],
    );
}

#[test]
fn lengths() {
    check(
        r#"{"minLength":2,"maxLength":3}"#,
        &[
            (r#""ab""#, Same),
            (r#""a""#, Refused("string too short, expected at least 2, got 1")),
            (r#""abcd""#, Refused("string too long, expected at most 3, got 4")),
            (r#""éé""#, Same),
            (r#""ééé""#, Same),
            (r#""éééé""#, Refused("string too long, expected at most 3, got 4")),
            (r#""""#, Refused("string too short, expected at least 2, got 0")),
            ("5", Same),
        ],
    );
}

#[test]
fn pattern() {
    check(
        r#"{"pattern":"^[a-z]+$"}"#,
        &[
            (r#""abc""#, Same),
            (r#""aBc""#, Refused(r#"failed to match pattern "^[a-z]+$" with "aBc""#)),
            (r#""""#, Refused(r#"failed to match pattern "^[a-z]+$" with """#)),
            ("7", Same),
        ],
    );
}

#[test]
fn quoting() {
    check(
        r#"{"pattern":"^\"\\S+$"}"#,
        &[
            (r#""\"x""#, Same),
            (r#""a b""#, Refused(r#"failed to match pattern "^\"\\S+$" with "a b""#)),
            (r#""a\"b\\c""#, Refused(r#"failed to match pattern "^\"\\S+$" with "a\"b\\c""#)),
            (
                r#""line\nbreak\ttab""#,
                Refused("failed to match pattern \"^\\\"\\\\S+$\" with \"line\\\nbreak\\9tab\""),
            ),
        ],
    );
}

#[test]
fn percent() {
    check(
        r#"{"pattern":"^%d$"}"#,
        &[(r#""%d""#, Same), (r#""%s""#, Refused(r#"failed to match pattern "^%d$" with "%s""#))],
    );
}

#[test]
fn look_around() {
    check(
        r#"{"pattern":"^(?!admin)(?<!x)\\w+(?=!)"}"#,
        &[
            (r#""user!""#, Same),
            (
                r#""admin!""#,
                Refused(r#"failed to match pattern "^(?!admin)(?<!x)\\w+(?=!)" with "admin!""#),
            ),
            (
                r#""user""#,
                Refused(r#"failed to match pattern "^(?!admin)(?<!x)\\w+(?=!)" with "user""#),
            ),
        ],
    );
}

#[test]
fn properties_of_characters() {
    check(
        r#"{"pattern":"^\\p{Lu}\\d{2}$"}"#,
        &[
            (r#""A12""#, Same),
            (r#""a12""#, Refused(r#"failed to match pattern "^\\p{Lu}\\d{2}$" with "a12""#)),
        ],
    );
}

#[test]
fn ipv4() {
    check(
        r#"{"format":"ipv4"}"#,
        &[
            (r#""127.0.0.1""#, Same),
            (r#""127.0.0.256""#, Refused("expect valid ipv4 format but got: 127.0.0.256")),
            (r#""::1""#, Refused("expect valid ipv4 format but got: ::1")),
            (r#""01.2.3.4""#, Refused("expect valid ipv4 format but got: 01.2.3.4")),
            ("1", Same),
        ],
    );
}

#[test]
fn ipv6() {
    check(
        r#"{"format":"ipv6"}"#,
        &[
            (r#""::1""#, Same),
            (r#""fe80::1%eth0""#, Refused("expect valid ipv6 format but got: fe80::1%eth0")),
            (r#""::ffff:1.2.3.4""#, Same),
            (r#""1.2.3.4""#, Refused("expect valid ipv6 format but got: 1.2.3.4")),
            (r#""1::2::3""#, Refused("expect valid ipv6 format but got: 1::2::3")),
        ],
    );
}

#[test]
fn hostname() {
    check(
        r#"{"format":"hostname"}"#,
        &[
            (r#""a.example-1.org""#, Same),
            (r#""a_b""#, Refused("expect valid hostname format but got: a_b")),
            (r#""""#, Refused("expect valid hostname format but got: ")),
        ],
    );
}

#[test]
fn email() {
    check(
        r#"{"format":"email"}"#,
        &[
            (r#""a.b@c.org""#, Same),
            (r#""a@b""#, Refused("expect valid email format but got: a@b")),
            (r#""a@@b.co""#, Refused("expect valid email format but got: a@@b.co")),
            (r#""a@b.museum""#, Refused("expect valid email format but got: a@b.museum")),
        ],
    );
}

#[test]
fn uuid() {
    check(
        r#"{"format":"uuid"}"#,
        &[
            (r#""123e4567-e89b-12d3-a456-426614174000""#, Same),
            (
                r#""123e4567-e89b-12d3-a456-42661417400""#,
                Refused("expect valid uuid format but got: 123e4567-e89b-12d3-a456-42661417400"),
            ),
        ],
    );
}

#[test]
fn date() {
    check(
        r#"{"format":"date"}"#,
        &[
            (r#""2024-02-30""#, Same),
            (r#""2024-13-01""#, Refused("expect valid date format but got: 2024-13-01")),
            (r#""2024-00-10""#, Refused("expect valid date format but got: 2024-00-10")),
            (r#""24-01-01""#, Refused("expect valid date format but got: 24-01-01")),
        ],
    );
}

#[test]
fn date_time() {
    check(
        r#"{"format":"date-time"}"#,
        &[
            (r#""2024-02-28T23:59:59Z""#, Same),
            (r#""2024-02-28t00:00:00.123+08:00""#, Same),
            (
                r#""2024-02-28 00:00:00Z""#,
                Refused("expect valid date-time format but got: 2024-02-28 00:00:00Z"),
            ),
            (
                r#""2024-02-28T24:00:00Z""#,
                Refused("expect valid date-time format but got: 2024-02-28T24:00:00Z"),
            ),
            (
                r#""2024-02-28T00:00:00.""#,
                Refused("expect valid date-time format but got: 2024-02-28T00:00:00."),
            ),
        ],
    );
}

#[test]
fn uri() {
    check(
        r#"{"format":"uri"}"#,
        &[
            (r#""http://x/y?z""#, Same),
            (r#""x:""#, Same),
            (r#""1x:y""#, Refused("expect valid uri format but got: 1x:y")),
            (r#""http://a b""#, Refused("expect valid uri format but got: http://a b")),
        ],
    );
}

#[test]
fn unknown_formats_and_keywords() {
    check(r#"{"format":"phone","service_token":true,"title":1}"#, &[(r#""x""#, Same), ("1", Same)]);
}
