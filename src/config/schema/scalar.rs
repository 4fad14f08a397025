//! Strings and numbers.

use serde_json::Value;

use super::{
    check::{Fail, Run},
    equal,
    format::Format,
    message,
    node::{NumberRule, TextRule},
};

/// How far a quotient may be from a whole number, relative to its size, and still count as one:
/// 1.13 / 0.01 is 112.99999999999999.
const QUOTIENT_TOLERANCE: f64 = 1e-12;

impl Run<'_> {
    /// Lengths and pattern; values that are no strings pass.
    pub(super) fn text(&self, rule: &TextRule, value: &Value) -> Result<(), Fail> {
        let Value::String(text) = value else { return Ok(()) };
        if rule.length_min.is_some() || rule.length_max.is_some() {
            let count = text.chars().count();
            if let Some(min) = rule.length_min.filter(|&min| (count as f64) < min) {
                let min = message::number(min);
                let text = || format!("string too short, expected at least {min}, got {count}");
                return Err(self.fail(text));
            }
            if let Some(max) = rule.length_max.filter(|&max| count as f64 > max) {
                let max = message::number(max);
                let text = || format!("string too long, expected at most {max}, got {count}");
                return Err(self.fail(text));
            }
        }
        let Some(pattern) = &rule.pattern else { return Ok(()) };
        let refused = || {
            let (source, text) = (message::quoted(pattern.source()), message::quoted(text));
            format!("failed to match pattern {source} with {text}")
        };
        match pattern.is_match(text) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.fail(refused)),
            // Fatal, else `not` would take a pattern that gave up for one that did not match.
            Err(why) => Err(Fail::fatal(format!("{}: {why}", refused()))),
        }
    }

    /// Bounds and `multipleOf`; values that are no numbers pass.
    pub(super) fn number(&self, rule: &NumberRule, value: &Value) -> Result<(), Fail> {
        let Value::Number(number) = value else { return Ok(()) };
        let n = equal::float(number);
        let bounds = [
            (rule.minimum.filter(|&min| n < min), "at least"),
            (rule.above.filter(|&min| n <= min), "greater than"),
            (rule.maximum.filter(|&max| n > max), "at most"),
            (rule.below.filter(|&max| n >= max), "smaller than"),
            (rule.multiple_of.filter(|&of| !is_multiple(n, of)), "a multiple of"),
        ];
        for (broken, wanted) in bounds {
            if let Some(bound) = broken {
                let (n, bound) = (message::number(n), message::number(bound));
                return Err(self.fail(|| format!("expected {n} to be {wanted} {bound}")));
            }
        }
        Ok(())
    }

    /// A named format; values that are no strings pass.
    pub(super) fn format(&self, format: Format, value: &Value) -> Result<(), Fail> {
        let Value::String(text) = value else { return Ok(()) };
        if format.accepts(text) {
            return Ok(());
        }
        let name = format.name();
        Err(self.fail(|| format!("expect valid {name} format but got: {text}")))
    }
}

/// Nothing is a multiple of zero.
fn is_multiple(n: f64, of: f64) -> bool {
    if of.fract() == 0.0 {
        return n % of == 0.0;
    }
    let quotient = n / of;
    let rounded = (quotient + 0.5).floor();
    let size = if rounded == 0.0 { 1.0 } else { rounded.abs() };
    (quotient - rounded).abs() <= QUOTIENT_TOLERANCE * size
}
