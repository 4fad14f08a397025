//! Values in error texts, printed as Lua prints them.

use std::fmt::Write;

/// Digits `%.14g` keeps.
const DIGITS: i32 = 14;

/// A number as `tostring` of Lua prints it, which is C's `%.14g`.
pub(super) fn number(n: f64) -> String {
    if n == 0.0 {
        return if n.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    if n.fract() == 0.0 && n.abs() < 1e14 {
        return format!("{n:.0}");
    }
    if !n.is_finite() {
        return if n.is_nan() { "nan".into() } else { format!("{n}") };
    }
    let scientific = format!("{n:.*e}", (DIGITS - 1) as usize);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let fixed = format!("{n:.*}", (DIGITS - 1 - exponent).max(0) as usize);
        return without_zeros(&fixed).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// A string in quotes as LuaJIT's `%q` writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\\' | '\n' => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                // Three digits if another digit follows, else it would be read as one number.
                let full = rest.peek().is_some_and(char::is_ascii_digit);
                let width = if full { 3 } else { 1 };
                // Writing to a String cannot fail.
                let _ = write!(out, "\\{:0width$}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of names as JSON, with `/` escaped as cjson does; an empty list is an empty Lua table
/// and so prints as an object.
pub(super) fn json_names(names: &[&str]) -> String {
    if names.is_empty() {
        return "{}".into();
    }
    serde_json::Value::from(names.to_vec()).to_string().replace('/', "\\/")
}

#[cfg(test)]
mod tests {
    use super::{json_names, number, quoted};

    #[test]
    fn numbers_print_with_fourteen_digits() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-65536.0, "-65536"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.3"),
            (1.5, "1.5"),
            (1.0 / 3.0, "0.33333333333333"),
            (2.0 / 3.0, "0.66666666666667"),
            (99_999_999_999_999.0, "99999999999999"),
            (1e14, "1e+14"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (1e100, "1e+100"),
            (-2.5e-7, "-2.5e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (12_345.678_9, "12345.6789"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_lua_does() {
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("a\nb"), "\"a\\\nb\"");
        assert_eq!(quoted("\t\r\u{1}9\u{7f}é"), "\"\\9\\13\\0019\\127é\"");
    }

    #[test]
    fn name_lists_print_as_cjson_does() {
        assert_eq!(json_names(&["a", "b/c"]), r#"["a","b\/c"]"#);
        assert_eq!(json_names(&[]), "{}");
    }
}
