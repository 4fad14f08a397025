//! From a pattern and its option letters to a compiled PCRE2 program.
//!
//! The `pcre2` crate takes UTF-8 patterns and a handful of flags; the rest of what
//! `ngx.re` promises is written into the pattern itself: a match limit as a leading verb,
//! `(?J)` for duplicate names, `\G(?:…)` for anchoring.

use std::{borrow::Cow, cell::OnceCell, cell::RefCell, fmt::Write as _};

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::lua::raw::dfa::Dfa;

/// Steps one match may take before it ends with PCRE2's error -47; APISIX ships
/// `lua_regex_match_limit 100000`.
const MATCH_STEPS_MAX: u32 = 100_000;
/// PCRE2's own code for "the machine code ran out of its 32 KiB stack".
const ERROR_JIT_STACK: i32 = -46;
/// PCRE2's own code for "the start lies behind the subject".
const ERROR_BAD_OFFSET: i32 = -33;

/// The option letters of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    anchored: bool,
    dfa: bool,
    pub(super) duplicate_names: bool,
    caseless: bool,
    javascript: bool,
    multi_line: bool,
    dotall: bool,
    pub(super) utf: bool,
    extended: bool,
}

impl Flags {
    /// Reads option letters; the error is the message `ngx.re` raises.
    pub(super) fn parse(letters: &[u8]) -> Result<Self, String> {
        let mut flags = Self::default();
        for &letter in letters {
            match letter {
                b'a' => flags.anchored = true,
                b'd' => flags.dfa = true,
                b'D' => flags.duplicate_names = true,
                b'i' => flags.caseless = true,
                b'J' => flags.javascript = true,
                b'm' => flags.multi_line = true,
                b's' => flags.dotall = true,
                b'u' | b'U' => flags.utf = true,
                b'x' => flags.extended = true,
                // Every pattern is cached and compiled to machine code anyway.
                b'j' | b'o' => {}
                other => {
                    let all = String::from_utf8_lossy(letters);
                    return Err(format!(
                        "unknown flag \"{}\" (flags \"{all}\")",
                        char::from(other)
                    ));
                }
            }
        }
        Ok(flags)
    }

    /// The same as PCRE2's own options.
    fn bits(self) -> u32 {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        flag(self.caseless, pcre2_sys::PCRE2_CASELESS)
            | flag(self.multi_line, pcre2_sys::PCRE2_MULTILINE)
            | flag(self.dotall, pcre2_sys::PCRE2_DOTALL)
            | flag(self.utf, pcre2_sys::PCRE2_UTF)
            | flag(self.extended, pcre2_sys::PCRE2_EXTENDED)
    }
}

/// A compiled pattern with its scratch memory.
pub(super) struct Program {
    regex: Regex,
    source: String,
    flags: Flags,
    /// The same pattern without machine code, for subjects that overflow its small stack.
    slow: OnceCell<Option<Regex>>,
    /// Kept between calls; a call made from a replacement function takes a second one.
    spare: RefCell<Vec<Places>>,
    /// Matches instead of `regex`, with flag `d`.
    dfa: Option<Dfa>,
}

/// Where the groups of a match are.
pub(super) enum Places {
    /// Of the usual matcher.
    Groups(CaptureLocations),
    /// Of the one that knows no groups: the whole match.
    Whole(Option<(usize, usize)>),
}

impl Places {
    /// Start and end of a group that took part.
    pub(super) fn get(&self, group: usize) -> Option<(usize, usize)> {
        match self {
            Self::Groups(places) => places.get(group),
            Self::Whole(place) => place.filter(|_| group == 0),
        }
    }

    /// How many groups there are, the whole match included.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Groups(places) => places.len(),
            Self::Whole(_) => 1,
        }
    }
}

impl Program {
    /// Compiles `pattern`; the error is the message of `ngx.re`.
    pub(super) fn compile(pattern: &[u8], flags: Flags) -> Result<Self, String> {
        let source = translate(pattern, flags)?;
        let regex = build(&source.text, flags, true)
            .map_err(|error| compile_message(pattern, &error, source.prefix))?;
        let dfa = flags.dfa.then(|| Dfa::compile(&source.text, flags.bits())).flatten();
        Ok(Self {
            regex,
            source: source.text,
            flags,
            slow: OnceCell::new(),
            spare: RefCell::default(),
            dfa,
        })
    }

    /// The option letters it was compiled with.
    pub(super) fn flags(&self) -> Flags {
        self.flags
    }

    /// Number of groups, the whole match included.
    pub(super) fn groups(&self) -> usize {
        if self.dfa.is_some() { 1 } else { self.regex.capture_names().len() }
    }

    /// Group names by index.
    pub(super) fn names(&self) -> &[Option<String>] {
        if self.dfa.is_some() { &[] } else { self.regex.capture_names() }
    }

    /// Scratch memory for [`Program::run`]; give it back with [`Program::give_back`].
    pub(super) fn scratch(&self) -> Places {
        if self.dfa.is_some() {
            return Places::Whole(None);
        }
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Places::Groups(self.regex.capture_locations()))
    }

    /// Keeps scratch memory for the next call.
    pub(super) fn give_back(&self, scratch: Places) {
        let mut spare = self.spare.borrow_mut();
        if spare.is_empty() {
            spare.push(scratch);
        }
    }

    /// Looks for a match at or after byte `start`.
    ///
    /// # Errors
    ///
    /// PCRE2's negative code: a limit was hit or the subject is not UTF-8 in UTF mode.
    pub(super) fn run(
        &self,
        subject: &[u8],
        start: usize,
        places: &mut Places,
    ) -> Result<bool, i32> {
        if start > subject.len() {
            return Err(ERROR_BAD_OFFSET);
        }
        let scratch = match (&self.dfa, places) {
            (_, Places::Groups(scratch)) => scratch,
            (None, Places::Whole(_)) => return Ok(false),
            (Some(dfa), Places::Whole(place)) => {
                *place = dfa.find(subject, start)?;
                return Ok(place.is_some());
            }
        };
        match self.regex.captures_read_at(scratch, subject, start) {
            Ok(found) => Ok(found.is_some()),
            Err(error) if error.code() == ERROR_JIT_STACK => self.run_slow(subject, start, scratch),
            Err(error) => Err(error.code()),
        }
    }

    fn run_slow(
        &self,
        subject: &[u8],
        start: usize,
        scratch: &mut CaptureLocations,
    ) -> Result<bool, i32> {
        let slow = self.slow.get_or_init(|| build(&self.source, self.flags, false).ok());
        let Some(regex) = slow else { return Err(ERROR_JIT_STACK) };
        // Locations belong to the program that made them.
        let mut own = regex.capture_locations();
        let found = regex.captures_read_at(&mut own, subject, start);
        let found = found.map(|found| found.is_some()).map_err(|error| error.code());
        *scratch = own;
        found
    }
}

fn build(source: &str, flags: Flags, jit: bool) -> Result<Regex, pcre2::Error> {
    let mut builder = RegexBuilder::new();
    builder
        .caseless(flags.caseless)
        .multi_line(flags.multi_line)
        .dotall(flags.dotall)
        .extended(flags.extended)
        .utf(flags.utf);
    if jit {
        builder.jit_if_available(true);
    }
    builder.build(source)
}

/// A pattern as PCRE2 gets it.
struct Source {
    text: String,
    /// Bytes that stand before the caller's pattern.
    prefix: usize,
}

fn translate(pattern: &[u8], flags: Flags) -> Result<Source, String> {
    let verbs_end = leading_verbs(pattern);
    let (verbs, body) = pattern.split_at(verbs_end);
    let mut text = String::with_capacity(pattern.len() + 40);
    let _ = write!(text, "(*LIMIT_MATCH={MATCH_STEPS_MAX})");
    text.push_str(&String::from_utf8_lossy(verbs).replace("(*UTF8)", "(*UTF)"));
    if flags.duplicate_names {
        text.push_str("(?J)");
    }
    if flags.anchored {
        text.push_str(r"\G(?:");
    }
    let prefix = text.len() - verbs.len();
    let body = utf8_body(body, flags)?;
    let body = if flags.javascript { javascript(&body).into() } else { body };
    text.push_str(&body);
    if flags.anchored {
        // In extended mode a comment may run to the end of the last line.
        text.push_str(if flags.extended { "\n)" } else { ")" });
    }
    Ok(Source { text, prefix })
}

/// Length of the run of `(*NAME)` settings that PCRE2 wants before anything else.
fn leading_verbs(pattern: &[u8]) -> usize {
    const SETTINGS: [&str; 16] = [
        "UTF",
        "UCP",
        "LIMIT_",
        "NO_",
        "NOTEMPTY",
        "CR)",
        "LF)",
        "CRLF)",
        "ANY)",
        "ANYCRLF)",
        "NUL)",
        "BSR_",
        "TURKISH_CASING)",
        "CASELESS_RESTRICT)",
        "UTF8)",
        "AUTO",
    ];
    let mut end = 0;
    while let Some(rest) = pattern.get(end..).and_then(|rest| rest.strip_prefix(b"(*")) {
        let known = SETTINGS.iter().any(|name| rest.starts_with(name.as_bytes()));
        let Some(close) = memchr::memchr(b')', rest).filter(|_| known) else { break };
        end += 2 + close + 1;
    }
    end
}

/// The pattern as text. Outside UTF mode a byte above 127 that is no UTF-8 becomes `\xHH`.
fn utf8_body(body: &[u8], flags: Flags) -> Result<Cow<'_, str>, String> {
    if let Ok(text) = std::str::from_utf8(body) {
        return Ok(Cow::Borrowed(text));
    }
    if flags.utf {
        let text = String::from_utf8_lossy(body);
        return Err(format!("pcre2_compile() failed: UTF-8 error: invalid bytes in \"{text}\""));
    }
    let mut text = String::with_capacity(body.len() * 2);
    let mut quoted = false;
    for chunk in body.utf8_chunks() {
        let valid = chunk.valid();
        text.push_str(valid);
        for (at, _) in valid.match_indices('\\') {
            match valid.as_bytes().get(at + 1) {
                Some(b'Q') => quoted = true,
                Some(b'E') => quoted = false,
                _ => {}
            }
        }
        for byte in chunk.invalid() {
            escape_byte(&mut text, *byte, quoted);
        }
    }
    Ok(Cow::Owned(text))
}

fn escape_byte(text: &mut String, byte: u8, quoted: bool) {
    let backslashes = text.bytes().rev().take_while(|&byte| byte == b'\\').count();
    if !quoted && backslashes % 2 == 1 {
        // An escaped byte above 127 means the byte itself.
        text.pop();
    }
    let (before, after) = if quoted { (r"\E", r"\Q") } else { ("", "") };
    let _ = write!(text, "{before}\\x{byte:02x}{after}");
}

/// JavaScript's reading of `\u`, `\U`, `\x` and of the empty class, spelt for PCRE2.
fn javascript(body: &str) -> String {
    let mut text = String::with_capacity(body.len() + 8);
    let mut rest = body;
    let mut in_class = false;
    while let Some(next) = rest.chars().next() {
        let hex = |from: usize, to: usize| {
            rest.get(from..to).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let mut used = next.len_utf8();
        if rest.starts_with(r"\u") || rest.starts_with(r"\x") {
            let digits = if rest.starts_with(r"\u") { hex(2, 6) } else { hex(2, 4) };
            used = 2 + digits.map_or(0, str::len);
            match digits {
                Some(digits) => drop(write!(text, "\\x{{{digits}}}")),
                None => text.push_str(&rest[1..2]),
            }
        } else if rest.starts_with(r"\U") {
            used = 2;
            text.push('U');
        } else if next == '\\' {
            used += rest[1..].chars().next().map_or(0, char::len_utf8);
            text.push_str(&rest[..used]);
        } else if !in_class && rest.starts_with("[]") {
            used = 2;
            text.push_str("(?!)");
        } else if !in_class && rest.starts_with("[^]") {
            used = 3;
            text.push_str(r"[\s\S]");
        } else {
            in_class = if in_class { next != ']' } else { next == '[' };
            text.push(next);
        }
        rest = &rest[used..];
    }
    text
}

/// The message of a failed compilation, in nginx's form.
fn compile_message(pattern: &[u8], error: &pcre2::Error, prefix: usize) -> String {
    let text = error.to_string();
    // "PCRE2: error compiling pattern at offset 7: missing closing parenthesis"
    let reason = text.splitn(3, ": ").nth(2).unwrap_or(&text).to_owned();
    let at = error.offset().unwrap_or(0).saturating_sub(prefix).min(pattern.len());
    let shown = String::from_utf8_lossy(pattern);
    if at >= pattern.len() {
        return format!("pcre2_compile() failed: {reason} in \"{shown}\"");
    }
    let tail = String::from_utf8_lossy(&pattern[at..]);
    format!("pcre2_compile() failed: {reason} in \"{shown}\" at \"{tail}\"")
}
