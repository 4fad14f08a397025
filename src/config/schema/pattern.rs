//! Regular expressions of `pattern` and `patternProperties`: PCRE over bytes, bounded.

use pcre2::bytes::{Regex, RegexBuilder};

use super::{PATTERN_STEPS_MAX, SchemaError, message};

/// Memory for the backtracking of compiled patterns, in bytes.
const JIT_STACK_BYTES_MAX: usize = 512 * 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    source: Box<str>,
    /// `None` for patterns every string matches.
    regex: Option<Regex>,
}

impl Pattern {
    pub(super) fn compile(source: &str) -> Result<Self, SchemaError> {
        if matches!(source, "" | ".*" | "^.*" | "^") {
            return Ok(Pattern { source: source.into(), regex: None });
        }
        // The binding has no call for match limits, but the pattern language has. A pattern can
        // only lower what was said first.
        let limited = format!("(*LIMIT_MATCH={PATTERN_STEPS_MAX}){source}");
        let regex = RegexBuilder::new()
            .jit_if_available(true)
            .max_jit_stack_size(Some(JIT_STACK_BYTES_MAX))
            .build(&limited)
            .map_err(|e| {
                let text = e.to_string();
                SchemaError::new(format!("invalid pattern {}: {text}", message::quoted(source)))
            })?;
        Ok(Pattern { source: source.into(), regex: Some(regex) })
    }

    /// The pattern as written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern is found anywhere in `text`.
    ///
    /// # Errors
    ///
    /// The match gave up; the text says why.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, String> {
        match &self.regex {
            None => Ok(true),
            Some(regex) => regex.is_match(text.as_bytes()).map_err(|e| e.to_string()),
        }
    }
}
