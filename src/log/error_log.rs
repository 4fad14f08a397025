//! The error log: nginx-style lines from anywhere in the process.
//!
//! `2026/01/02 03:04:05 [warn] 12#34: *56 message, client: 1.2.3.4, server: _, request: "…"`.
//! A call formats on its own thread and appends to the writer's queue; it never waits. Control
//! characters are escaped, so that nothing a client sends can look like a line of its own.
//! Before [`set_file`] lines go to the standard error of the process.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt::{self, Write as _},
    fs,
    io::{self, Write as _},
    process,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;

use super::{format, stamp, writer::LogFile};
use crate::clock;

/// Longest value of a [`Context`] field in a line, in bytes.
const FIELD_BYTES_MAX: usize = 4096;

/// How grave a line is; the numbers are those of `ngx.ERR` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Always written.
    Stderr = 0,
    /// The process cannot go on.
    Emerg = 1,
    /// An operator must act.
    Alert = 2,
    /// A part does not work.
    Crit = 3,
    /// A request failed.
    Error = 4,
    /// Something looks wrong.
    Warn = 5,
    /// Normal but worth a line.
    Notice = 6,
    /// What happens.
    Info = 7,
    /// Everything.
    Debug = 8,
}

impl Level {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Stderr, "stderr"),
        (Self::Emerg, "emerg"),
        (Self::Alert, "alert"),
        (Self::Crit, "crit"),
        (Self::Error, "error"),
        (Self::Warn, "warn"),
        (Self::Notice, "notice"),
        (Self::Info, "info"),
        (Self::Debug, "debug"),
    ];

    /// The level of a number as Lua code uses it.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        let number = usize::try_from(number).ok()?;
        Self::ALL.get(number).map(|(level, _)| *level)
    }

    /// The level of a word in the configuration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level)
    }

    /// The word in brackets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What a line says about the request that caused it. Absent fields are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Serial number of the connection.
    pub connection: Option<u64>,
    /// Address of the client.
    pub client: Option<&'a str>,
    /// Name of the server block; `_` in APISIX.
    pub server: Option<&'a str>,
    /// The request line.
    pub request: Option<&'a [u8]>,
    /// URL of the upstream that was tried.
    pub upstream: Option<&'a [u8]>,
    /// Header `Host`.
    pub host: Option<&'a [u8]>,
    /// Header `Referer`.
    pub referrer: Option<&'a [u8]>,
}

/// A line kept for `ngx.errlog.get_logs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// Its level.
    pub level: Level,
    /// Seconds since 1970.
    pub time: f64,
    /// The whole line without its end.
    pub line: Box<[u8]>,
}

struct Capture {
    level: Level,
    bytes_max: usize,
    bytes: usize,
    lines: VecDeque<Captured>,
}

static FILE: ArcSwapOption<LogFile> = ArcSwapOption::const_empty();
static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);
static MESSAGE_BYTES_MAX: AtomicUsize = AtomicUsize::new(64 * 1024);

thread_local! {
    /// Taken while a line is made: a nested call finds an empty one and allocates its own.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// `pid#tid`, asked once per thread.
    static IDS: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
    static CAPTURE: RefCell<Option<Capture>> = const { RefCell::new(None) };
}

/// Sends all lines from now on to `file`; `None` means the standard error.
pub fn set_file(file: Option<LogFile>) {
    FILE.store(file.map(Arc::new));
}

/// Where lines go, unless that is the standard error.
#[must_use]
pub fn file() -> Option<Arc<LogFile>> {
    FILE.load_full()
}

/// Lines graver than or as grave as `level` are written.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The level set last.
#[must_use]
pub fn level() -> Level {
    Level::from_number(LEVEL.load(Ordering::Relaxed).into()).unwrap_or(Level::Warn)
}

/// Bytes after which a message is cut.
pub fn set_message_bytes_max(bytes: usize) {
    MESSAGE_BYTES_MAX.store(bytes, Ordering::Relaxed);
}

/// Whether a line of that level is worth making.
#[must_use]
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Logs a message as it is, such as one from Lua.
pub fn log(level: Level, context: &Context<'_>, message: &[u8]) {
    if enabled(level) {
        emit(level, context, |text| text.push(message));
    }
}

/// Logs a formatted message; see the macro `log_at!`.
pub fn log_args(level: Level, context: &Context<'_>, message: fmt::Arguments<'_>) {
    if enabled(level) {
        // Only a broken `Display` fails; what it wrote so far is still worth a line.
        emit(level, context, |text| {
            let _ = text.write_fmt(message);
        });
    }
}

/// Logs without a request: `log_at!(Level::Warn, "node {node} is down")`.
#[macro_export]
macro_rules! log_at {
    ($level:expr, $($message:tt)+) => {
        $crate::log::error_log::log_args(
            $level,
            &$crate::log::error_log::Context::default(),
            format_args!($($message)+),
        )
    };
}

/// Keeps this thread's lines up to `level` for [`take_captured`], at most `bytes_max` of them:
/// the oldest go first. 0 bytes stops it.
pub fn capture(level: Level, bytes_max: usize) {
    let capture = Capture { level, bytes_max, bytes: 0, lines: VecDeque::new() };
    CAPTURE.set((bytes_max > 0).then_some(capture));
}

/// Changes which levels this thread keeps; false if it keeps none at all.
pub fn set_capture_level(level: Level) -> bool {
    CAPTURE
        .with_borrow_mut(|capture| capture.as_mut().map(|capture| capture.level = level).is_some())
}

/// Takes up to `max` of this thread's kept lines, the oldest first.
#[must_use]
pub fn take_captured(max: usize) -> Vec<Captured> {
    CAPTURE.with_borrow_mut(|capture| {
        let Some(capture) = capture else { return Vec::new() };
        let count = max.min(capture.lines.len());
        let taken: Vec<_> = capture.lines.drain(..count).collect();
        capture.bytes -= taken.iter().map(|line| line.line.len()).sum::<usize>();
        taken
    })
}

fn emit(level: Level, context: &Context<'_>, message: impl FnOnce(&mut Text<'_>)) {
    let now = clock::wall();
    let mut line = LINE.take();
    line.clear();
    stamp::error_time(&mut line, now.as_secs());
    line.extend_from_slice(b" [");
    line.extend_from_slice(level.as_str().as_bytes());
    line.extend_from_slice(b"] ");
    IDS.with_borrow_mut(|ids| {
        line.extend_from_slice(ids.get_or_insert_with(thread_ids).as_bytes());
    });
    line.extend_from_slice(b": ");
    if let Some(connection) = context.connection {
        line.push(b'*');
        line.extend_from_slice(itoa::Buffer::new().format(connection).as_bytes());
        line.push(b' ');
    }
    let max = MESSAGE_BYTES_MAX.load(Ordering::Relaxed);
    let mut text = Text { out: &mut line, left: max, cut: false };
    message(&mut text);
    text.end();
    append_context(&mut line, context);
    line.push(b'\n');
    keep(level, now.as_secs_f64(), &line[..line.len() - 1]);
    match FILE.load().as_deref() {
        Some(file) => drop(file.write(&line)),
        // Nobody is left to tell.
        None => drop(io::stderr().write_all(&line)),
    }
    // A huge line must not keep its memory for ever.
    line.shrink_to(16 * 1024);
    LINE.set(line);
}

fn append_context(line: &mut Vec<u8>, context: &Context<'_>) {
    let plain = [(", client: ", context.client), (", server: ", context.server)];
    for (name, value) in plain {
        if let Some(value) = value {
            line.extend_from_slice(name.as_bytes());
            let mut text = Text { out: line, left: FIELD_BYTES_MAX, cut: false };
            text.push(value.as_bytes());
            text.end();
        }
    }
    let quoted = [
        (", request: \"", context.request),
        (", upstream: \"", context.upstream),
        (", host: \"", context.host),
        (", referrer: \"", context.referrer),
    ];
    for (name, value) in quoted {
        if let Some(value) = value {
            line.extend_from_slice(name.as_bytes());
            let mut text = Text { out: line, left: FIELD_BYTES_MAX, cut: false };
            text.push(value);
            text.end();
            line.push(b'"');
        }
    }
}

fn keep(level: Level, time: f64, line: &[u8]) {
    CAPTURE.with_borrow_mut(|capture| {
        let Some(capture) = capture.as_mut().filter(|capture| level <= capture.level) else {
            return;
        };
        if line.len() > capture.bytes_max {
            return;
        }
        capture.bytes += line.len();
        capture.lines.push_back(Captured { level, time, line: line.into() });
        while capture.bytes > capture.bytes_max {
            let Some(oldest) = capture.lines.pop_front() else { break };
            capture.bytes -= oldest.line.len();
        }
    });
}

fn thread_ids() -> Box<str> {
    let pid = process::id();
    let link = fs::read_link("/proc/thread-self");
    let tid = link.ok().and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
    format!("{pid}#{}", tid.unwrap_or_else(|| pid.to_string())).into()
}

/// Appends text with control characters escaped, up to a number of bytes read.
struct Text<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
    cut: bool,
}

impl Text<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let fitting = &bytes[..bytes.len().min(self.left)];
        self.cut |= fitting.len() < bytes.len();
        self.left -= fitting.len();
        let mut rest = fitting;
        while let Some(at) = rest.iter().position(|byte| is_control(*byte)) {
            self.out.extend_from_slice(&rest[..at]);
            match rest[at] {
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                byte => format::hex(self.out, b"\\x", byte),
            }
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
    }

    /// Marks what was cut.
    fn end(self) {
        if self.cut {
            self.out.extend_from_slice(b"...");
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// A tab is harmless and common in Lua's tracebacks.
fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs on a thread of its own, where capturing disturbs no other test.
    fn captured(bytes_max: usize, log: impl FnOnce() + Send) -> Vec<String> {
        set_file(Some(LogFile::off()));
        let run = || {
            capture(Level::Debug, bytes_max);
            log();
            take_captured(usize::MAX)
        };
        let lines = std::thread::scope(|scope| scope.spawn(run).join().unwrap());
        lines.into_iter().map(|line| String::from_utf8(line.line.into()).unwrap()).collect()
    }

    #[test]
    fn a_line_looks_as_nginx_writes_it() {
        let context = Context {
            connection: Some(7),
            client: Some("1.2.3.4"),
            server: Some("_"),
            request: Some(b"GET / HTTP/1.1"),
            upstream: Some(b"http://127.0.0.1:1/"),
            host: Some(b"x"),
            referrer: Some(b"r"),
        };
        let lines = captured(4096, || log(Level::Warn, &context, b"[lua] a.lua:12: f(): hi"));
        let (head, tail) = lines[0].split_once(" [warn] ").unwrap();
        let like: String = head.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(like, "0000/00/00 00:00:00");
        let (ids, tail) = tail.split_once(": ").unwrap();
        let (pid, tid) = ids.split_once('#').unwrap();
        assert_eq!(pid, process::id().to_string());
        assert_ne!(tid, pid, "this test runs on a second thread");
        let expected = "*7 [lua] a.lua:12: f(): hi, client: 1.2.3.4, server: _, \
            request: \"GET / HTTP/1.1\", upstream: \"http://127.0.0.1:1/\", host: \"x\", \
            referrer: \"r\"";
        assert_eq!(tail, expected);
    }

    #[test]
    fn a_client_cannot_forge_a_line() {
        let forged = b"GET /\n2026/01/02 03:04:05 [emerg] \x1b[31m\r\x00\x7f\t";
        let context = Context { request: Some(forged), ..Context::default() };
        let lines = captured(4096, || log(Level::Error, &context, forged));
        let escaped = "GET /\\n2026/01/02 03:04:05 [emerg] \\x1B[31m\\r\\x00\\x7F\t";
        assert!(lines[0].ends_with(&format!(": {escaped}, request: \"{escaped}\"")), "{lines:?}");
    }

    #[test]
    fn a_long_message_is_cut_and_a_long_line_is_not_captured() {
        let long = vec![b'x'; 70 * 1024];
        let lines = captured(1 << 20, || log(Level::Error, &Context::default(), &long));
        let cut = format!(": {}...", "x".repeat(64 * 1024));
        assert!(lines[0].ends_with(&cut));
        assert!(captured(1024, || log(Level::Error, &Context::default(), &long)).is_empty());
    }

    #[test]
    fn capture_keeps_the_newest_lines_of_its_level() {
        let lines = captured(200, || {
            set_capture_level(Level::Warn);
            for at in 0..20 {
                log_at!(Level::Warn, "line {at}");
                log_at!(Level::Notice, "not kept");
            }
        });
        assert!(lines.len() >= 2 && lines.len() < 10, "{lines:?}");
        assert!(lines.last().unwrap().ends_with(": line 19"));
        assert!(!lines.iter().any(|line| line.contains("not kept")));
    }

    #[test]
    fn logging_while_logging_works() {
        struct Chatty;
        impl fmt::Display for Chatty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                log_at!(Level::Error, "inner");
                f.write_str("outer")
            }
        }
        let lines = captured(4096, || log_at!(Level::Error, "{}", Chatty));
        assert!(lines[0].ends_with(": inner") && lines[1].ends_with(": outer"), "{lines:?}");
    }

    #[test]
    fn levels_are_read_by_word_and_number() {
        assert_eq!(Level::parse("WARN"), Some(Level::Warn));
        assert_eq!(Level::parse("loud"), None);
        assert_eq!(Level::from_number(8), Some(Level::Debug));
        assert_eq!(Level::from_number(9), None);
        assert_eq!(Level::from_number(-1), None);
        for (at, (level, name)) in Level::ALL.iter().enumerate() {
            assert_eq!((*level as usize, level.as_str()), (at, *name));
        }
    }
}
