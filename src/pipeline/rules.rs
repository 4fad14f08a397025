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
    let mut address = text_with(to, x, uri::encode_path);
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
    // As in nginx: from here on it is one of ours.
    x.inner.get_or_insert_default().internal = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snippet;

    /// What `rules` make of a request for `path` with these arguments.
    fn made(rules: &str, path: &str, args: &str) -> (Result<Outcome>, Exchange) {
        let key = "http_server_configuration_snippet";
        let read = snippet::read(|asked| if asked == key { rules } else { "" }).unwrap();
        let mut x = Exchange { path: path.into(), args: args.into(), ..Exchange::default() };
        let outcome = run(&read.unwrap().gateway.scope.rules, &mut x);
        (outcome, x)
    }

    #[track_caller]
    fn rewrites(rules: &str, args: &str, expected: (Outcome, &str, &str)) {
        let (outcome, x) = made(rules, "/a/b c", args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = (outcome.unwrap(), text(&x.path), text(&x.args));
        assert_eq!(found, (expected.0, expected.1.to_owned(), expected.2.to_owned()), "{rules}");
        let changed = x.path != b"/a/b c";
        assert_eq!(x.inner.as_ref().is_some_and(|inner| inner.internal), changed);
    }

    #[test]
    fn a_rewrite_gives_path_and_arguments() {
        let last = Outcome::Changed;
        rewrites("rewrite ^/a/(.*)$ /x/$1 last;", "q", (last, "/x/b c", "q"));
        rewrites("rewrite ^/a/(.*)$ /x?n=$1 last;", "q", (Outcome::Changed, "/x", "n=b c&q"));
        rewrites("rewrite ^/a/(.*)$ /x?n=$1 last;", "", (Outcome::Changed, "/x", "n=b c"));
        rewrites("rewrite ^/a/(.*)$ /x?n=$1? last;", "q", (Outcome::Changed, "/x", "n=b c"));
        rewrites("rewrite ^ /x? break;", "q", (Outcome::Next, "/x", ""));
        rewrites("rewrite ^/z /x last;", "q", (Outcome::Next, "/a/b c", "q"));
        rewrites("rewrite a /b; rewrite b /c;", "", (Outcome::Changed, "/c", ""));
        rewrites("break; rewrite ^ /c;", "", (Outcome::Next, "/a/b c", ""));
        rewrites("rewrite ^/(a)(z)? /$1$2$3 last;", "", (Outcome::Changed, "/a", ""));
    }

    #[test]
    fn a_redirect_encodes_what_was_captured() {
        let (outcome, _) = made("rewrite ^/a(.*)$ http://e$1 permanent;", "/a/b c", "q=1");
        let address = b"http://e/b%20c?q=1".to_vec();
        assert_eq!(outcome.unwrap(), Outcome::Return(301, Some(address)));
        let (outcome, _) = made("rewrite ^/a(.*)$ /x?y=$1 redirect;", "/a/é", "q=1");
        let address = b"/x?y=/%C3%A9&q=1".to_vec();
        assert_eq!(outcome.unwrap(), Outcome::Return(302, Some(address)));
    }

    #[test]
    fn variables_are_set_in_their_order() {
        let rules = "set $a \"1$arg_q\"; set $b \"${a}2$uri\"; rewrite ^/(?<first>.) /; set $c $first;\n\
                     set $args x=y; return 200 \"$b $c $args $nothing.\";";
        let (outcome, x) = made(rules, "/a/b c", "q=7");
        assert_eq!(outcome.unwrap(), Outcome::Return(200, Some(b"172/a/b c a x=y .".to_vec())));
        assert_eq!(x.set_value(b"a"), Some(Some(&b"17"[..])));
    }

    #[test]
    fn what_cannot_go_on_is_an_error() {
        let (outcome, _) = made("set $e \"\"; rewrite ^ $e last;", "/a", "");
        assert!(outcome.is_err());
        let path = format!("/{}!", "a".repeat(5000));
        let (outcome, _) = made("rewrite ^/(a+)+$ /b last;", &path, "");
        assert!(outcome.is_err());
    }
}
