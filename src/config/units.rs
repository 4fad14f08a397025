//! nginx's notations of times (`60s`, `1h30m`, `500ms`) and sizes (`16k`, `1m`).

use std::time::Duration;

use serde_json::Value;

/// A time; a bare number counts seconds.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(number) => {
            let seconds = number.as_f64().filter(|s| *s >= 0.0)?;
            Duration::try_from_secs_f64(seconds).ok()
        }
        Value::String(text) => parse_duration(text.trim()),
        _ => None,
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (unit, after) = rest.split_at(letters);
        let ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(ms)?))?;
        rest = after.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

/// A size in bytes; a bare number counts bytes.
pub(super) fn bytes(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => {
            let text = text.trim().to_ascii_lowercase();
            let (digits, unit) = match text.strip_suffix(['k', 'm', 'g']) {
                Some(digits) => (digits, text.as_bytes().last().copied()),
                None => (text.as_str(), None),
            };
            let shift = match unit {
                Some(b'k') => 10,
                Some(b'm') => 20,
                Some(b'g') => 30,
                _ => 0,
            };
            digits.parse::<u64>().ok()?.checked_mul(1 << shift)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_as_nginx_does() {
        for (value, ms) in [
            (json!("60s"), 60_000),
            (json!("1h30m"), 5_400_000),
            (json!("500ms"), 500),
            (json!("75"), 75_000),
            (json!(2), 2_000),
            (json!(0.5), 500),
            (json!("1m 30s"), 90_000),
        ] {
            assert_eq!(duration(&value), Some(Duration::from_millis(ms)), "{value}");
        }
        for value in [json!("s"), json!(""), json!("1x"), json!(-1), json!(true), json!("-1s")] {
            assert_eq!(duration(&value), None, "{value}");
        }
    }

    #[test]
    fn sizes_are_read_as_nginx_does() {
        for (value, size) in
            [(json!("16k"), 16_384), (json!("1M"), 1 << 20), (json!("2g"), 2 << 30), (json!(7), 7)]
        {
            assert_eq!(bytes(&value), Some(size), "{value}");
        }
        for value in [json!("k"), json!("1kb"), json!(-1), json!("99999999999999g"), json!([])] {
            assert_eq!(bytes(&value), None, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-zé .]{0,24}") {
            let _ = (duration(&json!(text)), bytes(&json!(text)));
        }
    }
}
