//! The `uri` of a route, taken apart: `/exact`, `/prefix*`, `/a/:id/*rest`.
//!
//! The rules are those of `lua-resty-radixtree`. Up to its first wildcard a pattern is a literal
//! prefix. `*` at the start of the last segment takes the rest of the path, and with `params` on,
//! `:name` takes one whole segment. A `*` inside a segment, with no named wildcard anywhere, ends
//! the pattern: `/a*b` is `/a*`. The original makes a regular expression of the rest without
//! escaping it, so that `/:id/nodes/?` has an optional slash; patterns with such characters
//! behind a wildcard are regular expressions here too. Two slips of the original are not kept:
//! `.` is a dot, and a `:` inside a segment (`/file:list`) is a colon.

use memchr::{memchr, memrchr};
use pcre2::bytes::Regex;

use super::{expr_ops::compile_regex, params::Params};

/// What a pattern without a name calls the rest of the path.
pub(super) const REST_NAME: &[u8] = b":ext";

/// A pattern from its first segment with a wildcard on: `:id/posts` of `/users/:id/posts`. What
/// stands before it is the same in the paths that are compared with it. So very many routes share
/// a few of these, and a look-up finds them in the cache.
#[derive(Debug)]
pub(super) struct Pattern {
    tail: Box<str>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Whatever follows the prefix.
    Prefix,
    /// Segment by segment.
    Segments { params: bool },
    /// As a regular expression with one group for each name.
    Regex(Box<RegexKind>),
}

#[derive(Debug)]
struct RegexKind {
    regex: Regex,
    names: Vec<Box<[u8]>>,
}

/// A segment of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'p> {
    /// Exactly this.
    Literal(&'p [u8]),
    /// Anything but the empty segment, under this name.
    Param(&'p [u8]),
    /// This segment and all that follow, under this name.
    Rest(&'p [u8]),
}

/// Where the literal prefix of `uri` ends; `None` if all of it is literal.
pub(super) fn prefix_len(uri: &str, params: bool) -> Option<usize> {
    let mut last = b'/';
    uri.bytes().position(|byte| {
        let wild = byte == b'*' || (params && byte == b':' && last == b'/');
        last = byte;
        wild
    })
}

/// Where the segment begins in which `prefix` ends: there begins what [`Pattern`] looks at.
pub(super) fn tail_at(prefix: &[u8]) -> usize {
    memrchr(b'/', prefix).map_or(0, |slash| slash + 1)
}

impl Pattern {
    /// Parses what follows [`tail_at`] of a path's literal prefix.
    ///
    /// # Errors
    /// If the part behind a wildcard is not a regular expression though it looks like one.
    pub(super) fn new(tail: &str, params: bool) -> Result<Self, String> {
        let segments: Vec<_> = segments(tail.as_bytes(), params).collect();
        let kind = if segments.iter().all(|segment| matches!(segment, Segment::Literal(_))) {
            Kind::Prefix
        } else if is_plain(&segments) {
            Kind::Segments { params }
        } else {
            Kind::Regex(Box::new(RegexKind::new(tail, params)?))
        };
        Ok(Self { tail: tail.into(), kind })
    }

    /// Bytes before the first wildcard.
    pub(super) fn literal_len(&self) -> usize {
        let params = match &self.kind {
            Kind::Prefix => false,
            Kind::Segments { params } => *params,
            // Only a name makes a regular expression of a path.
            Kind::Regex(_) => true,
        };
        prefix_len(&self.tail, params).unwrap_or(self.tail.len())
    }

    /// This part of the pattern as configured.
    pub(super) fn text(&self) -> &[u8] {
        self.tail.as_bytes()
    }

    /// Whether `tail`, what follows [`tail_at`] in a path with the pattern's literal prefix,
    /// matches.
    pub(super) fn matches(&self, tail: &[u8]) -> bool {
        match &self.kind {
            Kind::Prefix => true,
            Kind::Segments { params } => self.walk(*params, tail, |_, _| {}),
            Kind::Regex(kind) => kind.regex.is_match(tail).unwrap_or(false),
        }
    }

    /// Notes what the wildcards stand for in `tail`, which matches.
    pub(super) fn capture(&self, tail: &[u8], found: &mut Params) {
        match &self.kind {
            Kind::Prefix => {}
            Kind::Segments { params } => {
                self.walk(*params, tail, |name, value| found.capture(name, value));
            }
            Kind::Regex(kind) => kind.capture(tail, found),
        }
    }

    /// The segments, for the index; `None` where the path is not compared segment by segment.
    pub(super) fn segments(&self) -> Option<impl Iterator<Item = Segment<'_>>> {
        match self.kind {
            Kind::Segments { params } => Some(segments(self.text(), params)),
            _ => None,
        }
    }

    /// Whether this is a bare `*`.
    pub(super) fn is_star(&self) -> bool {
        matches!(self.kind, Kind::Segments { .. }) && &*self.tail == "*"
    }

    fn walk(&self, params: bool, path: &[u8], mut capture: impl FnMut(&[u8], &[u8])) -> bool {
        let mut rest = Some(path);
        for segment in segments(self.text(), params) {
            let Some(left) = rest else { return false };
            let (value, after) = match memchr(b'/', left) {
                Some(slash) => (&left[..slash], Some(&left[slash + 1..])),
                None => (left, None),
            };
            rest = after;
            match segment {
                Segment::Literal(text) if text == value => {}
                Segment::Param(name) if !value.is_empty() => capture(name, value),
                Segment::Rest(name) => {
                    capture(name, left);
                    return true;
                }
                _ => return false,
            }
        }
        rest.is_none()
    }
}

impl RegexKind {
    fn new(tail: &str, params: bool) -> Result<Self, String> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut parts = Vec::new();
        for (text, segment) in tail.split('/').zip(segments(tail.as_bytes(), params)) {
            let (name, value) = match segment {
                Segment::Literal(_) => {
                    parts.push(text.to_owned());
                    continue;
                }
                Segment::Param(name) => (name, "[^/]+"),
                Segment::Rest(name) => (name, "(?s:.*)"),
            };
            parts.push(format!("(?<{}>{value})", group(names.len())));
            names.push(name.into());
        }
        let regex = compile_regex(&format!("\\A(?:{})\\z", parts.join("/")), false)?;
        Ok(Self { regex, names })
    }

    fn capture(&self, tail: &[u8], found: &mut Params) {
        let Ok(Some(captures)) = self.regex.captures(tail) else { return };
        for (number, name) in self.names.iter().enumerate() {
            if let Some(value) = captures.name(&group(number)) {
                found.capture(name, value.as_bytes());
            }
        }
    }
}

/// The name of the group of the wildcard with this number. Groups of the pattern's own may stand
/// between, so numbers alone would not do.
fn group(number: usize) -> String {
    format!("moongate{number}")
}

fn segments(tail: &[u8], params: bool) -> impl Iterator<Item = Segment<'_>> {
    tail.split(|&byte| byte == b'/').map(move |text| match text {
        b"*" => Segment::Rest(REST_NAME),
        [b'*', name @ ..] => Segment::Rest(name),
        [b':', name @ ..] if params => Segment::Param(name),
        _ => Segment::Literal(text),
    })
}

/// Whether the segments can be compared one by one.
fn is_plain(segments: &[Segment<'_>]) -> bool {
    segments.iter().enumerate().all(|(number, segment)| match segment {
        Segment::Param(_) => true,
        Segment::Rest(_) => number + 1 == segments.len(),
        Segment::Literal(text) => !text.iter().any(|byte| b"*?+()[]{}|^$\\".contains(byte)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `path` captures, as `name=value` joined by blanks; `None` if it does not match.
    fn captured(uri: &str, params: bool, path: &str) -> Option<String> {
        let Some(prefix) = prefix_len(uri, params) else {
            return (uri == path).then(String::new);
        };
        let at = tail_at(&uri.as_bytes()[..prefix]);
        let pattern = Pattern::new(&uri[at..], params).unwrap();
        let path = path.as_bytes();
        if !path.starts_with(&uri.as_bytes()[..prefix]) || !pattern.matches(&path[at..]) {
            return None;
        }
        let mut found = Params::default();
        pattern.capture(&path[at..], &mut found);
        let shown = found.iter().map(|(name, value)| {
            format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        });
        Some(shown.collect::<Vec<_>>().join(" "))
    }

    #[track_caller]
    fn check(uri: &str, path: &str, want: Option<&str>) {
        assert_eq!(captured(uri, true, path).as_deref(), want, "{uri} on {path}");
    }

    #[test]
    fn names_capture_as_in_radixtree() {
        check("/name/*name", "/name/json", Some("name=json"));
        check("/name/*name", "/name/", Some("name="));
        check("/name/*name", "/name", None);
        check("/name/*", "/name/json/foo/bar", Some(":ext=json/foo/bar"));
        check("/name/*", "/name/", Some(":ext="));
        check("/name/:name/id/:id", "/name/json/id/1", Some("name=json id=1"));
        check("/name/:name/id/:id", "/name/json/id/", None);
        check("/name/:name/id/:id", "/name/json", None);
        check("/name/:name/id/:id", "/name//id/1", None);
        check("/name/:name/id/:id/*other", "/name/json/id/1/foo/bar", {
            Some("name=json id=1 other=foo/bar")
        });
        check("/name/:n/*rest", "/name/x", None);
        check("/name/:n/*rest", "/name/x/", Some("n=x rest="));
        check("/:name/foo", "/json/foo", Some("name=json"));
        check("/:name/foo", "/json/", None);
        check("/:name/foo", "/json/bar", None);
        check("/:name/foo", "/json/foo/bar", None);
        check("/file/:f", "/file/123&45@dd:d=test;", Some("f=123&45@dd:d=test;"));
        check("/file/:f", "/file/t!e*s't,(file)", Some("f=t!e*s't,(file)"));
        check("/name/:name/", "/name/json/", Some("name=json"));
        check("/name/:name/", "/name/json", None);
        check("/name/:name/", "/name/json/x", None);
        check("*", "/ip\ni\ni", Some(":ext=/ip\ni\ni"));
        check("/*", "/", Some(":ext="));
        check("/hello*", "/hello1/2", Some(""));
        check("/hello*", "/hello", Some(""));
        check("/a*b", "/axyz", Some(""));
        check("/:a/:a", "/1/2", Some("a=1 a=2"));
        check("/:", "/1", Some("=1"));
    }

    #[test]
    fn patterns_with_signs_behind_a_wildcard_are_regular_expressions() {
        check("/api/:v/nodes/?", "/api/4/nodes/", Some("v=4"));
        check("/api/:v/nodes/?", "/api/4/nodes", Some("v=4"));
        check("/api/:v/nodes/?", "/api/4/nodes/x", None);
        check("/articles/*/comments", "/articles/a/b/comments", Some(":ext=a/b"));
        check("/articles/*/comments", "/articles//comments", Some(":ext="));
        check("/articles/*/comments", "/articles/a/comments/1", None);
        check("/a/*x/b/*y", "/a/1/b/2/b/3", Some("x=1/b/2 y=3"));
        check("/:a/(x|y)/:b", "/1/y/2", Some("a=1 b=2"));
        let error = Pattern::new(":a/(", true).unwrap_err();
        assert!(error.starts_with("invalid regular expression"), "{error}");
    }

    #[test]
    fn a_dot_is_a_dot_and_an_inner_colon_a_colon() {
        check("/:v/file.txt", "/1/file.txt", Some("v=1"));
        check("/:v/file.txt", "/1/fileXtxt", None);
        check("/file:list", "/file:list", Some(""));
        check("/file:list", "/filex", None);
        check("/file:list/:id", "/file:list/1", Some("id=1"));
    }

    #[test]
    fn without_params_a_colon_is_literal() {
        let plain = |uri, path| captured(uri, false, path);
        assert_eq!(plain("/name/:name/id", "/name/:name/id").as_deref(), Some(""));
        assert_eq!(plain("/name/:name/id", "/name/x/id"), None);
        assert_eq!(plain("/:n/*", "/:n/x").as_deref(), Some(":ext=x"));
        assert_eq!(plain("/:n/*", "/m/x"), None);
        assert_eq!(plain("/a/*rest", "/a/b/c").as_deref(), Some("rest=b/c"));
    }
}
