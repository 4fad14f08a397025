//! Requests and answers, as far from HTTP as the rest of this module needs them.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use bytes::Bytes;

/// Arguments of a query that are read.
const ARGS_MAX: usize = 100;

/// Why there is no whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than may be; how many, as far as that is known.
    TooLarge(u64),
    /// The client broke off, or is too slow.
    Broken(String),
}

/// The segments of a path after the slash in front, decoded: doubled slashes are one, `.` and `..`
/// are followed. `None` if it is no path: bad escapes, bytes that are no UTF-8, NUL, or more `..`
/// than there are segments.
pub(super) fn segments(path: &str) -> Option<Vec<String>> {
    let decoded = decode(path.as_bytes(), false)?;
    if decoded.contains('\0') {
        return None;
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            name => segments.push(name.to_owned()),
        }
    }
    Some(segments)
}

/// Undoes percent-encoding; a `+` is a blank in queries.
fn decode(text: &[u8], plus: bool) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// The arguments of a query. One that cannot be decoded is left out.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(query: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name.as_bytes(), true)?, decode(value.as_bytes(), true)?))
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(ARGS_MAX);
        Self(pairs.filter_map(pair).collect())
    }

    /// The first argument with this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All arguments; of several with one name the last counts.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A number, as Lua reads one.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        number(self.get(name)?)
    }
}

/// Reads a number as Lua's `tonumber` does: blanks around it, decimal or hexadecimal.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if let Some(digits) = hexadecimal {
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Fifteen digits are below 2^60 and never overflow; more are nobody's page or time.
        let short = (1..=15).contains(&digits.len());
        return (plain && short).then(|| u64::from_str_radix(digits, 16).ok())?.map(|n| n as f64);
    }
    let spelled = text.bytes().any(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number: &f64| spelled && number.is_finite())
}

/// Reads JSON, in whose texts line breaks and tabs may stand as they are: APISIX's parser takes
/// them, and people paste interface descriptions.
///
/// # Errors
///
/// It is no JSON, or nested deeper than 127 levels.
pub(super) fn json(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).or_else(|error| match with_escapes(bytes) {
        Some(escaped) => serde_json::from_slice(&escaped),
        None => Err(error),
    })
}

/// The same with escapes for what has to be escaped in texts; nothing if there is no such thing.
fn with_escapes(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut inside, mut escaped, mut found) = (false, false, false);
    for byte in bytes {
        let escape: Option<&[u8]> = match byte {
            b'\n' => Some(b"\\n"),
            b'\r' => Some(b"\\r"),
            b'\t' => Some(b"\\t"),
            _ => None,
        };
        match escape.filter(|_| inside && !escaped) {
            Some(escape) => {
                out.extend_from_slice(escape);
                found = true;
            }
            None => out.push(*byte),
        }
        inside ^= *byte == b'"' && !escaped;
        escaped = inside && *byte == b'\\' && !escaped;
    }
    found.then_some(out)
}

/// What an answer carries.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    None,
    /// Written with a line feed after it.
    Json(Value),
    /// Written as it is.
    Text(String),
    /// The page that nginx shows for a status.
    Page,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Body) -> Self {
        Self { status, body, fields: Vec::new() }
    }

    pub(super) fn json(status: u16, body: Value) -> Self {
        Self::new(status, Body::Json(body))
    }

    pub(super) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, Body::Text(text.into()))
    }

    pub(super) fn error(status: u16, message: impl Into<String>) -> Self {
        Self::json(status, json!({"error_msg": message.into()}))
    }

    pub(super) fn key_not_found() -> Self {
        Self::json(404, json!({"message": "Key not found"}))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// As an HTTP response.
    pub(super) fn into_response(self, common: &[(&'static str, &str)]) -> Response<Bytes> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, body) = match self.body {
            Body::None => ("application/json", String::new()),
            Body::Json(value) => ("application/json", format!("{value}\n")),
            Body::Text(text) => ("application/json", text),
            Body::Page => ("text/html", page(status)),
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        set(fields, "content-type", kind);
        common.iter().for_each(|(name, value)| set(fields, name, value));
        self.fields.iter().for_each(|(name, value)| set(fields, name, value));
        response
    }
}

fn set(fields: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(header::HeaderName::from_static(name), value);
    }
}

fn page(status: StatusCode) -> String {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_decoded_and_normalised() {
        let check = |path: &str, expected: Option<&[&str]>| {
            let found = segments(path);
            let found: Option<Vec<&str>> =
                found.as_ref().map(|list| list.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{path}");
        };
        check("/apisix/admin/routes/1", Some(&["apisix", "admin", "routes", "1"]));
        check("//apisix/./admin/x/../routes/", Some(&["apisix", "admin", "routes"]));
        check("/a%2Fb%20c", Some(&["a", "b c"]));
        check("/a/%2e%2e/b", Some(&["b"]));
        for bad in ["/..", "/a/%2E./../b", "/%zz", "/%4", "/%00", "/%ff"] {
            check(bad, None);
        }
    }

    #[test]
    fn queries_are_read_as_lua_does() {
        let query = Query::read("page=%31&page=2&a+b=c+d&flag&bad=%zz&&x=0x10");
        assert_eq!(query.get("page"), Some("1"));
        assert_eq!(query.get("a b"), Some("c d"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("bad"), None);
        assert_eq!(query.number("x"), Some(16.0));
        assert_eq!(Query::read(&"a=b&".repeat(5000)).pairs().count(), ARGS_MAX);
    }

    #[test]
    fn line_breaks_may_stand_in_texts() {
        let check = |text: &str, expected: Option<Value>| {
            assert_eq!(json(text.as_bytes()).ok(), expected, "{text}");
        };
        check("{\n\"a\":\t\"b\nc\td\r\"}", Some(json!({"a": "b\nc\td\r"})));
        check("[\"\\\"\n\", \"\\\\\",\n\"x\"]", Some(json!(["\"\n", "\\", "x"])));
        for bad in ["\"\u{0}\"", "\"\u{1f}\"", "\"a\nb", "\"a\\\nb\"", "\"a\n\" x"] {
            check(bad, None);
        }
    }

    #[test]
    fn numbers_are_read_as_lua_does() {
        for (text, expected) in [(" 5 ", 5.0), ("1e2", 100.0), ("-3.5", -3.5), (".5", 0.5)] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in ["", "a", "nan", "inf", "-infinity", "1e999", "0x", "0xg", "1,5", "infinity1"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = (segments(&text), Query::read(&text), number(&text), json(text.as_bytes()));
        }

        #[test]
        fn what_was_json_stays_what_it_was(text in "([a\"\\\\\n\t]|\\[|\\]|,){0,12}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(json(text.as_bytes()).unwrap(), value);
            }
        }

        #[test]
        fn nothing_leaves_the_path(text in "(/|[.]|%2e|%2F|a){0,20}") {
            for segment in segments(&text).into_iter().flatten() {
                prop_assert!(!segment.contains('/') && segment != ".." && !segment.is_empty());
            }
        }
    }
}
