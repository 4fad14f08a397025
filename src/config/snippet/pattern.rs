//! Regular expressions of `location ~` and `rewrite`: PCRE over bytes, bounded.

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

/// Backtracking steps after which PCRE gives up: a hostile path costs milliseconds at most.
const STEPS_MAX: u32 = 500_000;

/// Memory for the backtracking of compiled patterns, in bytes.
const JIT_STACK_BYTES_MAX: usize = 512 * 1024;

/// Bytes of one pattern.
const BYTES_MAX: usize = 4096;

/// Named and numbered parts of one pattern.
const CAPTURES_MAX: usize = 32;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written.
    pub source: Box<str>,
    regex: Regex,
}

/// What a pattern captured.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// `$1` and on; `None` for those that took no part.
    pub numbered: Vec<Option<Box<[u8]>>>,
    /// `(?<name>...)`.
    pub named: Vec<(Box<str>, Box<[u8]>)>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// What PCRE says of it.
    pub fn compile(source: &str, caseless: bool) -> Result<Self, String> {
        if source.len() > BYTES_MAX {
            return Err(format!("a regular expression is longer than {BYTES_MAX} bytes"));
        }
        // A pattern can only lower what was said first.
        let limited = format!("(*LIMIT_MATCH={STEPS_MAX}){source}");
        let regex = RegexBuilder::new()
            .caseless(caseless)
            .jit_if_available(true)
            .max_jit_stack_size(Some(JIT_STACK_BYTES_MAX))
            .build(&limited)
            .map_err(|error| {
                // Its place is told without what stands in front.
                let plain = RegexBuilder::new().caseless(caseless).build(source).err();
                format!("invalid regular expression \"{source}\": {}", plain.unwrap_or(error))
            })?;
        if regex.captures_len() > CAPTURES_MAX {
            return Err(format!("\"{source}\" has more than {CAPTURES_MAX} captures"));
        }
        Ok(Self { source: source.into(), regex })
    }

    /// Matches `subject`.
    ///
    /// # Errors
    ///
    /// The match gave up; the text says why.
    pub fn captures(&self, subject: &[u8]) -> Result<Option<Captured>, String> {
        let mut places = self.regex.capture_locations();
        let found = self.regex.captures_read(&mut places, subject);
        if found.map_err(|error| error.to_string())?.is_none() {
            return Ok(None);
        }
        let taken = |places: &CaptureLocations, at| {
            places.get(at).and_then(|(from, to)| subject.get(from..to)).map(Into::into)
        };
        let names = self.regex.capture_names().iter().enumerate();
        Ok(Some(Captured {
            numbered: (1..places.len()).map(|at| taken(&places, at)).collect(),
            named: names
                .filter_map(|(at, name)| Some((name.as_deref()?.into(), taken(&places, at)?)))
                .collect(),
        }))
    }
}
