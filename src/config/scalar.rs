//! What a plain YAML scalar means.
//!
//! APISIX reads its files with lyaml on libyaml, which is YAML 1.1 with a few habits of its
//! own: `on` and `no` are booleans, but `y` is text; `010` is eight; `12:30` is 750. A
//! file that means one thing there must not mean another here, so the order and the
//! forms below are that reader's.

use serde_json::{Number, Value};

/// The value of a scalar written without quotes or tag.
///
/// # Errors
///
/// Infinity and not-a-number, which no JSON value can hold.
pub(super) fn plain(text: &str) -> Result<Value, &'static str> {
    let Some(first) = text.bytes().next() else { return Ok(Value::Null) };
    // Most scalars are words; only these bytes can begin anything else.
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' | b'_' => number(text),
        b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O' => {
            Ok(word(text).unwrap_or_else(|| Value::String(text.to_owned())))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// The value of a scalar with a core tag such as `!!int`; `None` if the text is not one.
pub(super) fn tagged(tag: &str, text: &str) -> Option<Value> {
    match tag {
        "str" => Some(Value::String(text.to_owned())),
        "null" => word(text).filter(Value::is_null),
        "bool" => word(text).filter(Value::is_boolean),
        "int" | "float" => plain(text).ok().filter(Value::is_number),
        _ => plain(text).ok(),
    }
}

fn word(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        _ => None,
    }
}

fn number(text: &str) -> Result<Value, &'static str> {
    if let Some(value) = integer(text) {
        return Ok(value);
    }
    let digits = || text.chars().filter(|c| *c != '_').collect::<String>();
    if text.contains(['.', 'e', 'E'])
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-._eE".contains(&b))
        && let Ok(value) = digits().parse::<f64>()
    {
        return finite(value);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err("infinity and not-a-number are not values");
    }
    let negative = text.starts_with('-');
    if let Some(rest) = unsigned.strip_prefix("0x")
        && let Some(value) = radix(rest, 16)
    {
        return Ok(signed(negative, value));
    }
    if let Some(rest) = unsigned.strip_prefix("0b")
        && let Some(value) = radix(rest, 2)
    {
        return Ok(signed(negative, value));
    }
    if let Some(value) = sexagesimal(unsigned) {
        return finite(if negative { -value } else { value });
    }
    Ok(Value::String(text.to_owned()))
}

/// Octal and decimal integers, with `_` between digits.
fn integer(text: &str) -> Option<Value> {
    // The common case, without the rules for signs, octals and underscores.
    let bytes = text.as_bytes();
    if bytes.len() < 16 && bytes[0] != b'0' && bytes.iter().all(u8::is_ascii_digit) {
        return text.parse::<u64>().ok().map(Value::from);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    if let Some(rest) = unsigned.strip_prefix('0') {
        let rest = rest.trim_start_matches('_');
        if !rest.is_empty()
            && let Some(value) = radix(rest, 8)
        {
            return Some(signed(negative, value));
        }
    }
    let digits: String = unsigned.chars().filter(|c| *c != '_').collect();
    if digits.is_empty() {
        return None;
    }
    match digits.parse::<u64>() {
        Ok(value) => Some(signed(negative, value)),
        Err(_) => digits.parse::<f64>().ok().map(|v| Value::from(if negative { -v } else { v })),
    }
}

fn radix(digits: &str, base: u32) -> Option<u64> {
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    // `from_str_radix` takes a sign of its own, which has no place here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(&digits, base).ok()
}

fn signed(negative: bool, value: u64) -> Value {
    if !negative {
        return Value::from(value);
    }
    match i64::try_from(value) {
        Ok(value) => Value::from(-value),
        #[expect(clippy::cast_precision_loss, reason = "as a Lua number would")]
        Err(_) => Value::from(-(value as f64)),
    }
}

fn finite(value: f64) -> Result<Value, &'static str> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        // In Lua 1.0 is 1; a schema that asks for an integer must see one.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a small whole number")]
        return Ok(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number).ok_or("infinity and not-a-number are not values")
}

/// `190:20:30` and `190:20:30.15`: base 60, as YAML 1.1 has it for times and angles.
fn sexagesimal(text: &str) -> Option<f64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            (whole, format!("0.{digits}").parse::<f64>().ok()?)
        }
        Some(_) => return None,
        None => (text, 0.0),
    };
    let mut parts = whole.split(':');
    let mut value = parts.next()?.parse::<u32>().map(f64::from).ok()?;
    let mut seen = 1;
    for part in parts {
        let small = part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
        value = value * 60.0 + f64::from(part.parse::<u8>().ok().filter(|n| small && *n < 60)?);
        seen += 1;
    }
    (seen > 1).then_some(value + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        assert_eq!(plain(text), Ok(expected), "{text}");
    }

    #[test]
    fn scalars_mean_what_lyaml_makes_of_them() {
        for (text, expected) in [("on", true), ("Yes", true), ("off", false), ("NO", false)] {
            check(text, json!(expected));
        }
        for text in ["y", "n", "oN", "nope", "1.2.3.4", "v1", "1_a", "0x", "1.5s", "60s", "1e", "-"]
        {
            check(text, json!(text));
        }
        check("", Value::Null);
        check("~", Value::Null);
        check("010", json!(8));
        check("08", json!(8));
        check("1_000", json!(1000));
        check("-5", json!(-5));
        check("+5", json!(5));
        check("0x1F", json!(31));
        check("-0b11", json!(-3));
        check("1.5", json!(1.5));
        check("1.0", json!(1));
        check("1e3", json!(1000));
        check("12:30", json!(750));
        check("12:30.5", json!(750.5));
        check("127.0.0.1:80", json!("127.0.0.1:80"));
        check("18446744073709551615", json!(u64::MAX));
        assert!(plain(".inf").is_err());
        assert!(plain("-.NaN").is_err());
    }

    #[test]
    fn a_tag_decides_over_the_text() {
        assert_eq!(tagged("str", "on"), Some(json!("on")));
        assert_eq!(tagged("int", "7"), Some(json!(7)));
        assert_eq!(tagged("int", "seven"), None);
        assert_eq!(tagged("bool", "yes"), Some(json!(true)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9xb_.:eEinf~]{0,12}") {
            let _ = plain(&text);
        }

        #[test]
        fn integers_survive(value in proptest::num::i64::ANY) {
            proptest::prop_assert_eq!(plain(&value.to_string()), Ok(json!(value)));
        }
    }
}
