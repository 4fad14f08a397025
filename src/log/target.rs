//! Where lines go, and the opened thing they are written to.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How long a full pipe is tried before it counts as broken, in steps of [`PIPE_PAUSE`].
const PIPE_TRIES_MAX: u32 = 50;
const PIPE_PAUSE: Duration = Duration::from_millis(20);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// The standard output of the process.
    Stdout,
    /// The standard error of the process.
    Stderr,
    /// A file, a named pipe or a device.
    File(PathBuf),
}

impl Target {
    /// Reads `access_log` and `error_log` values; a relative path is below `prefix`.
    ///
    /// # Errors
    ///
    /// A sentence for an empty text and for syslog.
    pub fn parse(text: &str, prefix: &Path) -> Result<Self, String> {
        match text.trim() {
            "" => Err("a log needs a path, /dev/stdout, /dev/stderr or off".into()),
            "off" => Ok(Self::Off),
            "/dev/stdout" => Ok(Self::Stdout),
            "/dev/stderr" | "stderr" => Ok(Self::Stderr),
            text if text.starts_with("syslog:") => Err(format!(
                "log target \"{text}\" is not supported: use a file, /dev/stdout, or a logger plugin such as syslog"
            )),
            text if text.contains('\0') => Err("a log path must not contain a zero byte".into()),
            path => Ok(Self::File(prefix.join(path))),
        }
    }

    /// The path as configured, for messages and look-ups.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Off => Path::new("off"),
            Self::Stdout => Path::new("/dev/stdout"),
            Self::Stderr => Path::new("/dev/stderr"),
            Self::File(path) => path,
        }
    }
}

/// An opened [`Target`].
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// The file itself, links followed.
    path: PathBuf,
    /// Whether this is a file of ours that may be rotated and cut.
    regular: bool,
    size: u64,
    /// The last write ended in the middle of a line that could not be taken back.
    torn: bool,
}

/// A write that failed after `kept` bytes of whole lines.
#[derive(Debug)]
pub(super) struct Short {
    pub(super) kept: usize,
    pub(super) error: io::Error,
}

impl Output {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        let path = target.path().to_path_buf();
        let (file, path) = match target {
            Target::Off => return Err(io::Error::new(ErrorKind::NotFound, "log is off")),
            Target::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), path),
            Target::Stderr => (File::from(io::stderr().as_fd().try_clone_to_owned()?), path),
            // As in APISIX's image. By its path it may not be openable: a socket, or another user's.
            Target::File(_) if links_to(&path, "/dev/stdout", "/proc/self/fd/1") => {
                return Self::open(&Target::Stdout);
            }
            Target::File(_) if links_to(&path, "/dev/stderr", "/proc/self/fd/2") => {
                return Self::open(&Target::Stderr);
            }
            Target::File(_) => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                // Not to wait for a reader when it is a named pipe; files do not care.
                let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
                let file =
                    OpenOptions::new().append(true).create(true).custom_flags(flags).open(&path)?;
                (file, path)
            }
        };
        let meta = file.metadata()?;
        let regular = meta.is_file() && matches!(target, Target::File(_));
        let path = if regular { fs::canonicalize(&path)? } else { path };
        Ok(Self { file, path, regular, size: meta.len(), torn: false })
    }

    /// The path if this is a regular file: only those are rotated and have a size.
    pub(super) fn regular(&self) -> Option<&Path> {
        self.regular.then_some(&self.path)
    }

    /// Whether the last line is an unfinished one.
    pub(super) fn torn(&self) -> bool {
        self.torn
    }

    /// Makes the next write end an unfinished line first.
    pub(super) fn set_torn(&mut self, torn: bool) {
        self.torn = torn;
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Asks the file system again: someone else may have cut or moved the file.
    /// Returns false if the path no longer names what we write to.
    pub(super) fn refresh(&mut self) -> bool {
        if !self.regular {
            return true;
        }
        let (Ok(ours), Ok(named)) = (self.file.metadata(), fs::metadata(&self.path)) else {
            return false;
        };
        self.size = ours.len();
        (ours.dev(), ours.ino()) == (named.dev(), named.ino())
    }

    /// Writes whole lines. On failure a half-written line is taken back where that is possible.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Short> {
        if self.torn {
            self.write_raw(b"\n").map_err(|(_, error)| Short { kept: 0, error })?;
            self.torn = false;
        }
        let Err((written, error)) = self.write_raw(lines) else { return Ok(()) };
        let kept = memchr::memrchr(b'\n', &lines[..written]).map_or(0, |at| at + 1);
        if written > kept {
            let excess = (written - kept) as u64;
            let cut = self.regular && {
                let end = self.size.saturating_sub(excess);
                self.size = end;
                self.file.set_len(end).is_ok()
            };
            self.torn = !cut;
        }
        Err(Short { kept, error })
    }

    fn write_raw(&mut self, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let (all, mut tries) = (bytes.len(), 0);
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err((all - bytes.len(), ErrorKind::WriteZero.into())),
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.size += count as u64;
                    tries = 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && tries < PIPE_TRIES_MAX => {
                    tries += 1;
                    thread::sleep(PIPE_PAUSE);
                }
                Err(error) => return Err((all - bytes.len(), error)),
            }
        }
        Ok(())
    }
}

fn links_to(path: &Path, device: &str, process: &str) -> bool {
    fs::read_link(path).is_ok_and(|to| to == Path::new(device) || to == Path::new(process))
}

#[cfg(test)]
mod tests {
    use super::{super::rotate_tests::Dir, *};

    #[test]
    fn targets_are_read_as_configured() {
        let parse = |text| Target::parse(text, Path::new("/p"));
        assert_eq!(parse("off"), Ok(Target::Off));
        assert_eq!(parse("/dev/stdout"), Ok(Target::Stdout));
        assert_eq!(parse(" stderr "), Ok(Target::Stderr));
        assert_eq!(parse("logs/a.log"), Ok(Target::File("/p/logs/a.log".into())));
        assert_eq!(parse("/var/a.log"), Ok(Target::File("/var/a.log".into())));
        assert!(parse("").is_err());
        let refused = parse("syslog:server=127.0.0.1").unwrap_err();
        assert!(refused.contains("syslog:server=127.0.0.1") && refused.contains("not supported"));
    }

    #[test]
    fn a_full_device_is_an_error_and_no_regular_file() {
        let mut output = Output::open(&Target::File("/dev/full".into())).unwrap();
        assert!(output.regular().is_none());
        let short = output.write(b"line\n").unwrap_err();
        assert_eq!((short.kept, short.error.kind()), (0, ErrorKind::StorageFull));
    }

    #[test]
    fn a_link_to_a_standard_stream_is_that_stream() {
        let dir = Dir::new();
        for (name, to) in [("a", "/dev/stdout"), ("b", "/proc/self/fd/2"), ("c", "/dev/null")] {
            std::os::unix::fs::symlink(to, dir.path(name)).unwrap();
            let output = Output::open(&Target::File(dir.path(name))).unwrap();
            assert!(output.regular().is_none(), "{to}");
        }
    }

    #[test]
    fn a_link_to_a_file_is_rotated_where_the_file_is() {
        let dir = Dir::new();
        fs::write(dir.path("real"), "x\n").unwrap();
        std::os::unix::fs::symlink(dir.path("real"), dir.path("link")).unwrap();
        let output = Output::open(&Target::File(dir.path("link"))).unwrap();
        assert_eq!(output.regular(), Some(&*dir.path("real")));
        assert_eq!(output.size(), 2);
    }
}
