//! The rewrite rules of snippets: `set`, `rewrite`, `return`, `break`, in the order written.

use crate::{
    config::snippet::{Flag, Piece, Rule, Template},
    error::{Error, Kind, Result},
    exchange::{Exchange, vars},
    log::error_log::Level,
    lua::log_line,
    parse::uri,
};

/// What the rules of a server or a location come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What follows them goes on.
    Next,
    /// The path is another one: a location is looked for again.
    Changed,
    /// This status; the text, or where to go.
    Return(u16, Option<Vec<u8>>),
}

/// The text of `template` for `x`.
pub(super) fn text(template: &Template, x: &Exchange) -> Vec<u8> {
    text_with(template, x, <[u8]>::to_vec)
}

/// The same, where `capture` says how what an expression captured is written.
fn text_with(template: &Template, x: &Exchange, capture: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut text = Vec::new();
    for piece in &template.0 {
        match piece {
            Piece::Text(fixed) => text.extend_from_slice(fixed),
            Piece::Var(name) => {
                if let Some(value) = vars::get(x, name.as_bytes()) {
                    text.extend_from_slice(&value);
                }
            }
            Piece::Capture(number) => {
                let numbered = x.inner.as_ref().map(|inner| &inner.captured.numbered);
                let at = usize::from(*number).wrapping_sub(1);
                if let Some(Some(value)) = numbered.and_then(|all| all.get(at)) {
                    text.extend_from_slice(&capture(value));
                }
            }
        }
    }
    text
}

/// Keeps what an expression captured, its named parts as variables.
pub(super) fn keep(x: &mut Exchange, captured: crate::config::snippet::Captured) {
    for (name, value) in &captured.named {
        x.set_var(name.as_bytes(), Some(value));
    }
    x.inner.get_or_insert_default().captured = captured;
}

/// Runs `rules`.
///
/// # Errors
///
/// [`Kind::Plugin`] where an expression gave up or the path came out empty; it is logged.
pub(super) fn run(rules: &[Rule], x: &mut Exchange) -> Result<Outcome> {
    let mut changed = false;
    for rule in rules {
        match rule {
            Rule::Set(name, template) => set(x, name, template),
            Rule::Break => return Ok(Outcome::Next),
            Rule::Return(status, template) => {
                let text = template.as_ref().map(|template| text(template, x));
                return Ok(Outcome::Return(*status, text));
            }
            Rule::Rewrite { pattern, to, drop_args, flag } => {
                let Some(captured) = pattern.captures(&x.path).map_err(|why| gave_up(x, &why))?
                else {
                    continue;
                };
                keep(x, captured);
                if let Flag::Redirect(status) = flag {
                    return Ok(Outcome::Return(*status, Some(address(to, x, *drop_args))));
                }
                rewrite(x, to, *drop_args)?;
                match flag {
                    Flag::Last => return Ok(Outcome::Changed),
                    Flag::Break => return Ok(Outcome::Next),
                    _ => changed = true,
                }
            }
        }
    }
    Ok(if changed { Outcome::Changed } else { Outcome::Next })
}

/// An expression took too many steps.
pub(super) fn gave_up(x: &Exchange, why: &str) -> Error {
    log_line(Level::Error, x, &format!("a regular expression gave up: {why}"));
    Kind::Plugin.into()
}

fn set(x: &mut Exchange, name: &str, template: &Template) {
    let value = text(template, x);
    if name == "args" {
        x.args = value;
        x.rewritten = true;
        return;
    }
    x.set_var(name.as_bytes(), Some(&value));
}

/// Where a client is sent: what was captured is encoded again.
fn address(to: &Template, x: &Exchange, drop_args: bool) -> Vec<u8> {
    let mut address = text_with(to, x, |value| uri::encode_path(value));
    if !drop_args && !x.args.is_empty() {
        address.push(if address.contains(&b'?') { b'&' } else { b'?' });
        address.extend_from_slice(&x.args);
    }
    address
}

/// Gives `x` another path, and arguments if `to` has some.
fn rewrite(x: &mut Exchange, to: &Template, drop_args: bool) -> Result<()> {
    let text = text(to, x);
    let (path, args) = match memchr::memchr(b'?', &text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (&text[..], None),
    };
    if path.is_empty() {
        log_line(Level::Error, x, "the rewritten URI has a zero length");
        return Err(Kind::Plugin.into());
    }
    let kept = if drop_args { Vec::new() } else { std::mem::take(&mut x.args) };
    x.args = match args {
        Some(args) if kept.is_empty() => args.to_vec(),
        Some(args) => [args, &kept].join(&b'&'),
        None => kept,
    };
    x.path = path.to_vec();
    x.rewritten = true;
    Ok(())
}
