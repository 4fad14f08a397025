//! The operators of `vars` expressions, with Lua's rules for what equals what.

use std::borrow::Cow;

use pcre2::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::{
    expr::{EvalError, VarValue},
    ip::IpMatcher,
};

/// Backtracking steps after which PCRE gives up: a hostile subject costs milliseconds at most.
const MATCH_LIMIT: u32 = 500_000;

/// An operator with its right side.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// `==`
    Equal(Literal),
    /// `~=`
    Unequal(Literal),
    /// `<`, `<=`, `>`, `>=`; `None` if the right side is no number, which nothing fulfils.
    Order(Order, Option<f64>),
    /// `~~` and `~*`
    Matches(Regex),
    /// `in`
    In(Members),
    /// `has`
    Has(Literal),
    /// `ipmatch`
    Ip(IpMatcher),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A constant in an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Nil,
    Text(Box<[u8]>),
    Num(f64),
    Bool(bool),
    /// Equal to nothing: Lua compares tables by identity.
    Table,
}

/// The right side of `in`; strings are sorted, so that a long list costs a short search.
#[derive(Debug, Clone)]
pub(super) struct Members {
    texts: Box<[Box<[u8]>]>,
    others: Box<[Literal]>,
}

impl Test {
    /// Whether `op`, in lower case, is a comparison.
    pub(super) fn is_operator(op: &str) -> bool {
        matches!(op, "==" | "~=" | ">" | ">=" | "<" | "<=" | "~~" | "~*" | "in" | "has" | "ipmatch")
    }

    /// Compiles `op`, in lower case, with its right side.
    pub(super) fn compile(op: &str, right: &Value) -> Result<Self, String> {
        let order = |order| Self::Order(order, Literal::new(right).number());
        Ok(match op {
            "==" => Self::Equal(Literal::new(right)),
            "~=" => Self::Unequal(Literal::new(right)),
            ">" => order(Order::Greater),
            ">=" => order(Order::GreaterEqual),
            "<" => order(Order::Less),
            "<=" => order(Order::LessEqual),
            "~~" => Self::Matches(regex(right, false)?),
            "~*" => Self::Matches(regex(right, true)?),
            "in" => Self::In(Members::new(right)),
            "has" => Self::Has(Literal::new(right)),
            "ipmatch" => Self::Ip(networks(right)?),
            _ => return Err(format!("invalid operator '{op}'")),
        })
    }

    /// Whether the left side, nil if there is none, fulfils the test.
    pub(super) fn holds(&self, left: Option<&VarValue<'_>>) -> Result<bool, EvalError> {
        Ok(match self {
            Self::Equal(right) => right.equals(left),
            Self::Unequal(right) => !right.equals(left),
            Self::Order(order, right) => match (left.and_then(number_of), right) {
                (Some(left), Some(right)) => order.holds(left, *right),
                _ => false,
            },
            Self::Matches(regex) => match left.and_then(text_of) {
                Some(text) => {
                    regex.is_match(&text).map_err(|error| EvalError(error.to_string()))?
                }
                None => false,
            },
            Self::In(members) => left.is_some_and(|left| members.contain(left)),
            Self::Has(right) => match left {
                Some(VarValue::List(items)) => items.iter().any(|item| right.same_as(Some(item))),
                _ => false,
            },
            Self::Ip(networks) => match left {
                Some(VarValue::Str(text)) => networks.matches_text(text),
                _ => false,
            },
        })
    }
}

impl Order {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
        }
    }
}

impl Literal {
    fn new(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => number.as_f64().map_or(Self::Nil, Self::Num),
            Value::String(text) => Self::Text(text.as_bytes().into()),
            Value::Array(_) | Value::Object(_) => Self::Table,
        }
    }

    /// Lua's `tonumber`.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Num(number) => Some(*number),
            Self::Text(text) => parse_number(text),
            _ => None,
        }
    }

    /// `left == self`; a number on the right side makes a number of the left side first.
    fn equals(&self, left: Option<&VarValue<'_>>) -> bool {
        match self {
            Self::Num(right) => left.and_then(number_of).is_some_and(|left| left == *right),
            _ => self.same_as(left),
        }
    }

    /// `left == self` without any conversion.
    fn same_as(&self, left: Option<&VarValue<'_>>) -> bool {
        match (left, self) {
            (None, Self::Nil) => true,
            (Some(VarValue::Str(left)), Self::Text(right)) => **left == **right,
            (Some(VarValue::Num(left)), Self::Num(right)) => left == right,
            (Some(VarValue::Bool(left)), Self::Bool(right)) => left == right,
            _ => false,
        }
    }
}

impl Members {
    fn new(value: &Value) -> Self {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        let mut texts = Vec::new();
        let mut others = Vec::new();
        for item in items {
            match Literal::new(item) {
                Literal::Text(text) => texts.push(text),
                other => others.push(other),
            }
        }
        texts.sort_unstable();
        Self { texts: texts.into(), others: others.into() }
    }

    fn contain(&self, left: &VarValue<'_>) -> bool {
        match left {
            VarValue::Str(left) => {
                self.texts.binary_search_by(|text| text[..].cmp(&left[..])).is_ok()
            }
            _ => self.others.iter().any(|member| member.same_as(Some(left))),
        }
    }
}

/// A string or a number as Lua shows it; `None` for the rest.
pub(super) fn lua_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_f64().map(number_text),
        _ => None,
    }
}

fn regex(right: &Value, caseless: bool) -> Result<Regex, String> {
    let pattern = lua_text(right).ok_or("invalid expression")?;
    compile_regex(&pattern, caseless)
}

/// Compiles a PCRE pattern that works on bytes and within [`MATCH_LIMIT`].
pub(super) fn compile_regex(pattern: &str, caseless: bool) -> Result<Regex, String> {
    RegexBuilder::new()
        .caseless(caseless)
        .jit_if_available(true)
        .build(&format!("(*LIMIT_MATCH={MATCH_LIMIT}){pattern}"))
        .map_err(|error| format!("invalid regular expression '{pattern}': {error}"))
}

fn networks(right: &Value) -> Result<IpMatcher, String> {
    let one = std::slice::from_ref(right);
    let items = match right {
        Value::Array(items) => items.as_slice(),
        Value::Object(_) | Value::Null | Value::Bool(false) => &[],
        Value::String(text) if text.is_empty() => &[],
        _ => one,
    };
    if items.is_empty() {
        return Err("invalid ip address".to_owned());
    }
    let texts = items.iter().map(lua_text).collect::<Option<Vec<_>>>();
    IpMatcher::new(texts.ok_or("invalid ip address")?)
}

fn number_of(value: &VarValue<'_>) -> Option<f64> {
    match value {
        VarValue::Num(number) => Some(*number),
        VarValue::Str(text) => parse_number(text),
        _ => None,
    }
}

/// The left side of a regular expression; nil, `false` and tables have no text.
fn text_of<'v>(value: &'v VarValue<'_>) -> Option<Cow<'v, [u8]>> {
    match value {
        VarValue::Str(text) => Some(Cow::Borrowed(text)),
        VarValue::Num(number) => Some(Cow::Owned(number_text(*number).into_bytes())),
        VarValue::Bool(true) => Some(Cow::Borrowed(b"true")),
        VarValue::Bool(false) | VarValue::List(_) => None,
    }
}

/// LuaJIT's `tonumber` on a string: decimal, `0x`, `0b`, `inf` and `nan`, blanks around.
fn parse_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let lower = digits.to_ascii_lowercase();
    let number = match (lower.strip_prefix("0x"), lower.strip_prefix("0b")) {
        (Some(hex), _) => parse_hex(hex)?,
        (_, Some(binary)) => parse_binary(binary)?,
        // `str::parse` takes a second sign.
        _ if digits.starts_with(['+', '-']) => return None,
        _ => digits.parse().ok()?,
    };
    Some(sign * number)
}

/// `1f`, `1f.8`, `1fp4`.
fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once('p') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(part.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = 4 * i32::try_from(part.len()).ok()?;
    Some(value * 2f64.powi(exponent.saturating_sub(shift)))
}

fn parse_binary(text: &str) -> Option<f64> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0.0, |value, digit| Some(value * 2.0 + f64::from(digit.to_digit(2)?)))
}

/// `%.14g`, as Lua's `tostring` shows a number.
pub(super) fn number_text(number: f64) -> String {
    const DIGITS: i32 = 14;
    if !number.is_finite() {
        return if number.is_nan() { "nan" } else { ["-inf", "inf"][usize::from(number > 0.0)] }
            .to_owned();
    }
    let scientific = format!("{number:.13e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return trim(&format!("{number:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}
