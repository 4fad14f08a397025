//! The access log format, compiled once so that no name is looked up per request.
//!
//! A template is text with `$name` or `${name}`. The caller says what a name is when the
//! template is compiled, and writes its value when a line is rendered.

use std::fmt;

/// APISIX's default.
pub const APISIX_DEFAULT: &str = "$remote_addr - $remote_user [$time_local] $http_host \
    \"$request\" $status $body_bytes_sent $request_time \"$http_referer\" \"$http_user_agent\" \
    $upstream_addr $upstream_status $upstream_response_time \
    \"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\"";

/// APISIX's default for layer-4 proxying.
pub const APISIX_STREAM_DEFAULT: &str =
    "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";

/// How values are made harmless; the text of the template is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// `"`, `\`, control characters and everything beyond ASCII become `\xHH`; missing is `-`.
    #[default]
    Default,
    /// As inside a JSON string; missing is empty.
    Json,
    /// As they are; missing is empty. A value with a line end then forges a line.
    None,
}

impl Escape {
    /// Reads `access_log_format_escape`.
    ///
    /// # Errors
    ///
    /// A sentence for any other word than `default`, `json`, `none`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            "json" => Ok(Self::Json),
            "none" => Ok(Self::None),
            _ => Err(format!("unknown log format escaping \"{text}\"")),
        }
    }
}

/// Why a template was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// A `$` that starts no name; the text from there on.
    InvalidParameter(String),
    /// `${` without `}`; the name so far.
    Unclosed(String),
    /// The resolver does not know the name.
    Unknown(String),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidParameter(text) => write!(f, "invalid parameter \"{text}\""),
            Self::Unclosed(name) => {
                write!(f, "the closing bracket in \"{name}\" variable is missing")
            }
            Self::Unknown(name) => write!(f, "unknown \"{name}\" variable"),
        }
    }
}

impl std::error::Error for FormatError {}

#[derive(Debug, Clone, Copy)]
enum Part<V> {
    /// A range of `Template::text`.
    Text(usize, usize),
    Var(V),
}

/// A compiled format; `V` is the caller's id of a variable.
#[derive(Debug, Clone)]
pub struct Template<V> {
    text: Box<[u8]>,
    parts: Box<[Part<V>]>,
    escape: Escape,
}

impl<V: Copy> Template<V> {
    /// Compiles `text`; `resolve` turns a name into an id, `None` if there is no such variable.
    ///
    /// # Errors
    ///
    /// The first thing wrong with the text.
    pub fn compile(
        text: &str,
        escape: Escape,
        resolve: &dyn Fn(&str) -> Option<V>,
    ) -> Result<Self, FormatError> {
        let (mut literal, mut parts) = (Vec::new(), Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let (before, dollar) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
            if !before.is_empty() {
                parts.push(Part::Text(literal.len(), literal.len() + before.len()));
                literal.extend_from_slice(before.as_bytes());
            }
            rest = dollar;
            if !dollar.is_empty() {
                let (name, after) = variable(dollar)?;
                let id = resolve(name).ok_or_else(|| FormatError::Unknown(name.into()))?;
                parts.push(Part::Var(id));
                rest = after;
            }
        }
        Ok(Self { text: literal.into(), parts: parts.into(), escape })
    }

    /// Appends one line without its end. `value` appends the raw value of a variable and
    /// returns true, or returns false if it has none.
    pub fn render(&self, out: &mut Vec<u8>, value: &dyn Fn(V, &mut Vec<u8>) -> bool) {
        for part in &self.parts {
            match *part {
                Part::Text(from, to) => out.extend_from_slice(&self.text[from..to]),
                Part::Var(id) => {
                    let start = out.len();
                    if value(id, out) {
                        escape_tail(out, start, self.escape);
                    } else {
                        out.truncate(start);
                        if self.escape == Escape::Default {
                            out.push(b'-');
                        }
                    }
                }
            }
        }
    }
}

/// Splits `$name…` or `${name}…` into name and what follows.
fn variable(dollar: &str) -> Result<(&str, &str), FormatError> {
    let after = &dollar[1..];
    let (braced, body) = match after.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, after),
    };
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let len = body.bytes().take_while(|byte| word(byte)).count();
    let (name, rest) = body.split_at(len);
    match (braced, rest.strip_prefix('}')) {
        (true, None) => Err(FormatError::Unclosed(name.into())),
        _ if name.is_empty() => Err(FormatError::InvalidParameter(dollar.into())),
        (true, Some(rest)) => Ok((name, rest)),
        (false, _) => Ok((name, rest)),
    }
}

/// Escapes what was appended from `start` on. Nothing is copied unless something needs it.
fn escape_tail(out: &mut Vec<u8>, start: usize, escape: Escape) {
    let special = |byte: &u8| match escape {
        Escape::Default => *byte < 0x20 || *byte > 0x7e || matches!(byte, b'"' | b'\\'),
        Escape::Json => *byte < 0x20 || *byte > 0x7f || matches!(byte, b'"' | b'\\'),
        Escape::None => false,
    };
    // Nearly no value has any: eight at a time are looked at together.
    let (words, _) = out[start..].as_chunks::<8>();
    let clean = |word: &&[u8; 8]| !word.iter().fold(false, |found, byte| found | special(byte));
    let plain = words.iter().take_while(clean).count() * 8;
    let Some(first) = out[start + plain..].iter().position(special) else { return };
    let first = plain + first;
    let tail = out.split_off(start + first);
    match escape {
        Escape::Default => {
            for byte in tail {
                if special(&byte) { hex(out, b"\\x", byte) } else { out.push(byte) }
            }
        }
        // A JSON string must be UTF-8, whatever the client sent.
        Escape::Json => {
            for chunk in tail.utf8_chunks() {
                chunk.valid().bytes().for_each(|byte| json(out, byte));
                if !chunk.invalid().is_empty() {
                    out.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
        }
        Escape::None => {}
    }
}

fn json(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        0..0x20 => hex(out, b"\\u00", byte),
        byte => out.push(byte),
    }
}

pub(super) fn hex(out: &mut Vec<u8>, prefix: &[u8], byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(prefix);
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn id(name: &str) -> Option<char> {
        name.chars().next().filter(|_| name.len() == 1)
    }

    /// Renders with `$a` = `value` and `$b` missing.
    fn render(text: &str, escape: Escape, value: &[u8]) -> Vec<u8> {
        let template = Template::compile(text, escape, &id).unwrap();
        let mut out = b"before ".to_vec();
        template.render(&mut out, &|id, out| {
            out.extend_from_slice(value);
            id == 'a'
        });
        out.split_off(7)
    }

    #[test]
    fn both_spellings_and_missing_values() {
        assert_eq!(render("x$a-${a}y $b.", Escape::Default, b"v"), b"xv-vy -.");
        assert_eq!(render("{\"k\": \"$b\"}", Escape::Json, b"v"), b"{\"k\": \"\"}");
        assert_eq!(render("$b|", Escape::None, b"v"), b"|");
        assert_eq!(render("", Escape::None, b"v"), b"");
    }

    #[test]
    fn values_are_escaped_as_nginx_does() {
        let nasty = b"a\"b\\c\n\x01\x7f\xc3\xa9";
        let default = b"\"a\\x22b\\x5Cc\\x0A\\x01\\x7F\\xC3\\xA9\"";
        assert_eq!(render("\"$a\"", Escape::Default, nasty), default);
        let json = b"a\\\"b\\\\c\\n\\u0001\x7f\xc3\xa9";
        assert_eq!(render("$a", Escape::Json, nasty), json);
        assert_eq!(render("$a", Escape::None, nasty), nasty);
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        let compile = |text| Template::compile(text, Escape::Default, &id).unwrap_err().to_string();
        assert_eq!(compile("a $"), "invalid parameter \"$\"");
        assert_eq!(compile("$ b"), "invalid parameter \"$ b\"");
        assert_eq!(compile("${}"), "invalid parameter \"${}\"");
        assert_eq!(compile("${a"), "the closing bracket in \"a\" variable is missing");
        assert_eq!(compile("$long"), "unknown \"long\" variable");
        assert!(Escape::parse("html").is_err());
        assert_eq!(Escape::parse("json"), Ok(Escape::Json));
    }

    #[test]
    fn the_defaults_compile() {
        for text in [APISIX_DEFAULT, APISIX_STREAM_DEFAULT] {
            Template::compile(text, Escape::Default, &|_| Some(())).unwrap();
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_out_of_its_line(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let line = render("\"$a\"", Escape::Default, &value);
            assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)));
            assert_eq!(line.iter().filter(|byte| **byte == b'"').count(), 2);
            let json = render("\"$a\"", Escape::Json, &value);
            let parsed: String = serde_json::from_slice(&json).unwrap();
            assert_eq!(parsed, String::from_utf8_lossy(&value));
        }
    }
}
