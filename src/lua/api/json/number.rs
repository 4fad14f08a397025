//! Numbers between text and double, in C's spelling.

use std::io::Write as _;

/// Appends `number` as `printf("%.{precision}g")` would.
pub(crate) fn write_number(out: &mut Vec<u8>, number: f64, precision: usize) {
    // Integers below 10^14 print as they are with 14 digits and are nearly all there are.
    if precision >= 14 && number.trunc() == number && number.abs() < 1e14 {
        if number == 0.0 && number.is_sign_negative() {
            out.push(b'-');
        }
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
        return;
    }
    if !number.is_finite() {
        let text = match (number.is_nan(), number > 0.0) {
            (true, _) => "nan",
            (false, true) => "inf",
            (false, false) => "-inf",
        };
        out.extend_from_slice(text.as_bytes());
        return;
    }
    write_general(out, number, precision.max(1));
}

fn write_general(out: &mut Vec<u8>, number: f64, precision: usize) {
    let start = out.len();
    let _ = write!(out, "{number:.*e}", precision - 1);
    let text = out.split_off(start);
    // "-1.2500e-7"
    let Some(at) = memchr::memrchr(b'e', &text) else {
        out.extend_from_slice(&text);
        return;
    };
    let exponent = std::str::from_utf8(&text[at + 1..]).ok().and_then(|text| text.parse().ok());
    let exponent: i32 = exponent.unwrap_or(0);
    let (sign, mantissa) = match text[..at].strip_prefix(b"-") {
        Some(mantissa) => (&b"-"[..], mantissa),
        None => (&b""[..], &text[..at]),
    };
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    out.extend_from_slice(sign);
    let wide = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= wide {
        write_scientific(out, &digits, exponent);
    } else {
        write_plain(out, &digits, exponent);
    }
}

fn write_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.extend_from_slice(&digits[..1]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
}

fn write_plain(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let Ok(before) = usize::try_from(exponent) else {
        out.extend_from_slice(b"0.");
        let zeros = exponent.unsigned_abs().saturating_sub(1) as usize;
        out.resize(out.len() + zeros, b'0');
        out.extend_from_slice(digits);
        return;
    };
    let whole = before + 1;
    if digits.len() <= whole {
        out.extend_from_slice(digits);
        out.resize(out.len() + whole - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

/// Reads a number from the front of `text` as `strtod` does: value and bytes used.
pub(super) fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let (negative, at) = match text.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    };
    let rest = &text[at..];
    let (value, used) = words(rest).or_else(|| hex(rest)).or_else(|| decimal(rest))?;
    Some((if negative { -value } else { value }, at + used))
}

fn words(text: &[u8]) -> Option<(f64, usize)> {
    let starts =
        |word: &[u8]| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if starts(b"infinity") {
        Some((f64::INFINITY, 8))
    } else if starts(b"inf") {
        Some((f64::INFINITY, 3))
    } else if starts(b"nan") {
        Some((f64::NAN, 3))
    } else {
        None
    }
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let run = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = run(0);
    let mut end = whole;
    let mut digits = whole;
    if text.get(end) == Some(&b'.') {
        let fraction = run(end + 1);
        digits += fraction;
        if digits > 0 {
            end += 1 + fraction;
        }
    }
    if digits == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = text.get(end + 1 + sign..).map_or(0, |_| run(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let value = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((value, end))
}

/// `0x1F`, `0x1.8p3`.
fn hex(text: &[u8]) -> Option<(f64, usize)> {
    let [b'0', b'x' | b'X', rest @ ..] = text else { return None };
    let digit = |at: usize| rest.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut at = 0;
    let mut value = 0.0_f64;
    let mut scale = 0_i32;
    let mut digits = 0;
    while let Some(number) = digit(at) {
        value = value * 16.0 + f64::from(number);
        at += 1;
        digits += 1;
    }
    if rest.get(at) == Some(&b'.') && (digits > 0 || digit(at + 1).is_some()) {
        at += 1;
        while let Some(number) = digit(at) {
            value = value * 16.0 + f64::from(number);
            scale = scale.saturating_sub(4);
            at += 1;
            digits += 1;
        }
    }
    if digits == 0 {
        // Only the "0" in front of the x is a number.
        return Some((0.0, 1));
    }
    if matches!(rest.get(at), Some(b'p' | b'P')) {
        let sign = usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        let from = at + 1 + sign;
        let count = rest
            .get(from..)
            .map_or(0, |tail| tail.iter().take_while(|byte| byte.is_ascii_digit()).count());
        if count > 0 {
            let power = std::str::from_utf8(&rest[at + 1..from + count]).ok();
            let power = power.and_then(|text| text.trim_start_matches('+').parse::<i32>().ok());
            scale = scale.saturating_add(power.unwrap_or(i32::MAX));
            at = from + count;
        }
    }
    Some((value * 2.0_f64.powi(scale), 2 + at))
}
