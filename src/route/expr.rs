//! `vars` expressions: what `lua-resty-expr` accepts, compiled once, evaluated without copying.
//!
//! An expression is a JSON array of comparisons `[name, op, value]` or `[name, "!", op, value]`,
//! joined by an optional first element `AND` (the default), `OR`, `!AND` or `!OR`, nested at
//! will. A [`Vars`] supplies the variables: a request's, or the fields of a Lua table.
//!
//! Two rules are stricter than the original. A regular expression that does not compile is an
//! error when the expression is compiled, where the original would never match. One that runs
//! into the match limit ends the evaluation with an error, where the original counts it as no
//! match, which under `!` means a match.

use std::{borrow::Cow, error, fmt};

use serde_json::Value;

use super::expr_ops::{Test, lua_text};

/// How deep arrays may nest in an expression.
const DEPTH_MAX: usize = 64;

/// Where the variables of an expression come from.
pub trait Vars {
    /// The value of `name`; `None` if there is none (Lua's nil).
    fn get(&self, name: &str) -> Option<VarValue<'_>>;
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum VarValue<'a> {
    /// A string: nearly every variable.
    Str(Cow<'a, [u8]>),
    /// A number.
    Num(f64),
    /// A boolean.
    Bool(bool),
    /// The array part of a table, for `has`.
    List(Vec<VarValue<'a>>),
}

impl<'a> From<&'a str> for VarValue<'a> {
    fn from(text: &'a str) -> Self {
        VarValue::Str(Cow::Borrowed(text.as_bytes()))
    }
}

/// No variables at all: every name is nil.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoVars;

impl Vars for NoVars {
    fn get(&self, _name: &str) -> Option<VarValue<'_>> {
        None
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expr {
    /// `None` is the empty expression: always true.
    root: Option<Node>,
}

/// Why an expression could not be evaluated. It then counts as not matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError(pub(super) String);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to eval expression: {}", self.0)
    }
}

impl error::Error for EvalError {}

#[derive(Debug, Clone)]
enum Node {
    Join { op: Join, nodes: Box<[Node]> },
    Compare { name: Box<str>, test: Test, reverse: bool },
}

#[derive(Debug, Clone, Copy)]
enum Join {
    And,
    Or,
    NotAnd,
    NotOr,
}

impl Expr {
    /// Compiles `rule`.
    ///
    /// # Errors
    /// The message `lua-resty-expr` gives: `invalid operator 'xx'`, `rule too short`, …
    pub fn compile(rule: &Value) -> Result<Self, String> {
        let rules = match rule {
            Value::Null | Value::Bool(false) => return Err("missing argument rule".to_owned()),
            Value::Array(rules) => rules.as_slice(),
            // Lua cannot tell {} from [].
            Value::Object(fields) if fields.is_empty() => &[],
            _ => return Err("rule should be wrapped inside brackets".to_owned()),
        };
        let root = match rules.first() {
            None => None,
            Some(first) if !is_table(first) && join_of(first).is_none() => {
                return Err("rule should be wrapped inside brackets".to_owned());
            }
            Some(_) => Some(compile(rule, DEPTH_MAX)?),
        };
        Ok(Self { root })
    }

    /// Whether the expression holds for `vars`.
    ///
    /// # Errors
    /// [`EvalError`] if a regular expression ran into PCRE's match limit.
    pub fn eval(&self, vars: &dyn Vars) -> Result<bool, EvalError> {
        self.root.as_ref().map_or(Ok(true), |root| root.eval(vars))
    }
}

impl Node {
    fn eval(&self, vars: &dyn Vars) -> Result<bool, EvalError> {
        match self {
            Self::Compare { name, test, reverse } => {
                Ok(test.holds(vars.get(name).as_ref())? != *reverse)
            }
            Self::Join { op, nodes } => {
                let (stop_at, negate) = match op {
                    Join::And => (false, false),
                    Join::Or => (true, false),
                    Join::NotAnd => (false, true),
                    Join::NotOr => (true, true),
                };
                for node in nodes {
                    if node.eval(vars)? == stop_at {
                        return Ok(stop_at != negate);
                    }
                }
                Ok(stop_at == negate)
            }
        }
    }
}

fn is_table(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn join_of(value: &Value) -> Option<Join> {
    let name = value.as_str()?;
    [("AND", Join::And), ("OR", Join::Or), ("!AND", Join::NotAnd), ("!OR", Join::NotOr)]
        .into_iter()
        .find_map(|(known, join)| known.eq_ignore_ascii_case(name).then_some(join))
}

fn compile(rule: &Value, depth: usize) -> Result<Node, String> {
    let depth = depth.checked_sub(1).ok_or("expression nested too deeply")?;
    let rules = match rule {
        Value::Array(rules) => rules.as_slice(),
        Value::Object(_) => &[],
        _ => return Err("invalid expression".to_owned()),
    };
    let first = rules.first().ok_or("rule too short")?;
    let (op, rules) = match join_of(first) {
        Some(_) if rules.len() <= 2 => return Err("rule too short".to_owned()),
        Some(op) => (op, &rules[1..]),
        None if is_table(first) => (Join::And, rules),
        None => return compile_comparison(rules),
    };
    let nodes = rules.iter().map(|rule| compile(rule, depth)).collect::<Result<_, _>>()?;
    Ok(Node::Join { op, nodes })
}

fn compile_comparison(rule: &[Value]) -> Result<Node, String> {
    let invalid = || "invalid expression".to_owned();
    let (reverse, op, right) = match rule {
        [_, not, op, right] if not.as_str() == Some("!") => (true, Some(op), Some(right)),
        [_, _, _, _] => return Err("bad 'not' expression".to_owned()),
        _ => (false, rule.get(1), rule.get(2)),
    };
    let name = rule.first().and_then(lua_text).ok_or_else(invalid)?.into();
    let op = op.and_then(lua_text).ok_or_else(invalid)?.to_ascii_lowercase();
    let test = match right {
        // `[name, value]` is an old short form of `==`. The value comes out in lower case, as in
        // the original.
        None if !Test::is_operator(&op) => Test::compile("==", &Value::String(op))?,
        None => Test::compile(&op, &Value::Null)?,
        Some(right) => Test::compile(&op, right)?,
    };
    Ok(Node::Compare { name, test, reverse })
}

#[cfg(test)]
#[path = "expr_tests.rs"]
mod tests;
