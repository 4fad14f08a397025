//! What a match captured: `:name` and `*rest` values, the route's own path and host.

use std::ops::Range;

use super::expr::EvalError;

/// The captures of one match. It owns its bytes and is reused from request to request, so that a
/// look-up allocates nothing once it has grown to its usual size.
#[derive(Debug, Clone, Default)]
pub struct Params {
    text: Vec<u8>,
    captures: Vec<(Range<usize>, Range<usize>)>,
    path: Range<usize>,
    host: Option<Range<usize>>,
    error: Option<EvalError>,
}

impl Params {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.captures.clear();
        self.path = 0..0;
        self.host = None;
        self.error = None;
    }

    /// The value of `:name` or `*name`. A bare `*` is called `:ext`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.captures.iter().rfind(|(known, _)| self.text[known.clone()] == *name);
        found.map(|(_, value)| &self.text[value.clone()])
    }

    /// Names and values in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.captures
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// `_path`: the pattern of the route that matched, such as `/a/:id/*`; the path of the
    /// request if the route names it exactly. Empty if nothing matched.
    #[must_use]
    pub fn matched_path(&self) -> &[u8] {
        &self.text[self.path.clone()]
    }

    /// `_host`: the host pattern that matched, such as `*.foo.com`. `None` if the route has no
    /// hosts.
    #[must_use]
    pub fn matched_host(&self) -> Option<&[u8]> {
        self.host.clone().map(|host| &self.text[host])
    }

    /// A `vars` expression that could not be evaluated during the look-up, for the log. Its
    /// route was taken as not matching.
    #[must_use]
    pub fn eval_error(&self) -> Option<&EvalError> {
        self.error.as_ref()
    }

    pub(super) fn capture(&mut self, name: &[u8], value: &[u8]) {
        let capture = (self.keep(&[name]), self.keep(&[value]));
        self.captures.push(capture);
    }

    pub(super) fn set_path(&mut self, parts: &[&[u8]]) {
        self.path = self.keep(parts);
    }

    pub(super) fn set_host(&mut self, parts: &[&[u8]]) {
        self.host = Some(self.keep(parts));
    }

    pub(super) fn set_error(&mut self, error: Option<EvalError>) {
        self.error = error;
    }

    fn keep(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.text.len();
        for part in parts {
            self.text.extend_from_slice(part);
        }
        start..self.text.len()
    }
}
