//! Rotation of log files: when, under which name, and which old ones go.
//!
//! A rotated file stands beside the original as `YYYY-MM-DD_HH-MM-SS__NAME` in local time,
//! with `.gz` behind it once compressed. Files of any other name are never touched.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use super::stamp;

const STAMP_BYTES: usize = "2026-01-02_03-04-05".len();

/// How many seconds a name may move on: an hour comes twice when summer time ends.
const NAME_TRIES_MAX: u64 = 2 * 3600;

/// When a file is rotated and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotateOptions {
    /// Seconds between rotations, aligned to multiples since 1970; 0 switches them off.
    pub interval_s: u64,
    /// Bytes after which a file is rotated; 0 means no bound.
    pub max_size: u64,
    /// How many rotated files stay.
    pub max_kept: usize,
    /// Bytes of the file and its rotated ones together; 0 means no bound.
    pub max_total_size: u64,
    /// Whether rotated files are compressed with gzip.
    pub compress: bool,
}

impl Default for RotateOptions {
    /// On: every hour or 256 MiB, a week of hours, 4 GiB in all.
    fn default() -> Self {
        Self {
            interval_s: 3600,
            max_size: 256 << 20,
            max_kept: 168,
            max_total_size: 4 << 30,
            compress: false,
        }
    }
}

impl RotateOptions {
    /// Never rotates and never removes.
    #[must_use]
    pub fn off() -> Self {
        Self {
            interval_s: 0,
            max_size: 0,
            max_kept: usize::MAX,
            max_total_size: 0,
            compress: false,
        }
    }

    /// Bytes after which a file is rotated, small enough for `max_total_size`; 0 means no bound.
    pub(super) fn file_size_max(&self) -> u64 {
        match (self.max_size, self.max_total_size / 2) {
            (size, 0) => size,
            (0, half) => half,
            (size, half) => size.min(half),
        }
    }

    /// The start of the interval after `now_s`.
    pub(super) fn next_s(&self, now_s: u64) -> u64 {
        match now_s.checked_rem(self.interval_s) {
            Some(into) => now_s - into + self.interval_s,
            None => u64::MAX,
        }
    }
}

/// Renames `path` to its rotated name and returns that.
pub(super) fn rename(path: &Path, now_s: u64, offset_s: i32) -> io::Result<PathBuf> {
    let name = file_name(path)?;
    let found = rotated(path)?;
    let newest = found.last().and_then(|(path, _)| path.file_name()?.to_str()?.get(..STAMP_BYTES));
    let free = |later: u64| {
        let stamp = stamp::file_time(now_s + later, offset_s);
        let taken = |(old, _): &(PathBuf, u64)| {
            old.file_name().is_some_and(|old| old.as_encoded_bytes().starts_with(stamp.as_bytes()))
        };
        (!found.iter().any(taken)).then_some(stamp)
    };
    // After the newest one, so that the order of names is the order of lines even when two
    // fall into one second; unless the clock was turned back too far for that.
    let after = |stamp: &String| newest.is_none_or(|newest| stamp.as_str() > newest);
    let stamp = (0..NAME_TRIES_MAX).filter_map(free).find(after);
    let Some(stamp) = stamp.or_else(|| (0..NAME_TRIES_MAX).find_map(free)) else {
        let why = "no free name for the rotated file";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    };
    let to = path.with_file_name(format!("{stamp}__{name}"));
    fs::rename(path, &to)?;
    Ok(to)
}

/// Rotated files of `path`, oldest first, with their sizes in bytes.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let name = file_name(path)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|entry| is_rotated(entry, name)) {
            // One that vanished meanwhile is none of ours any more.
            if let Ok(meta) = entry.metadata() {
                found.push((entry.path(), meta.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the oldest rotated files until count and bytes are within bounds; says how many.
pub(super) fn prune(path: &Path, size: u64, options: &RotateOptions) -> io::Result<usize> {
    let found = rotated(path)?;
    let mut total = found.iter().fold(size, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let mut removed = 0;
    for (old, bytes) in &found {
        let too_many = found.len() - removed > options.max_kept;
        let too_big = options.max_total_size > 0 && total > options.max_total_size;
        if !too_many && !too_big {
            break;
        }
        fs::remove_file(old)?;
        total -= bytes;
        removed += 1;
    }
    Ok(removed)
}

/// Replaces a rotated file by its gzip form. A half-made one never bears the final name.
pub(super) fn compress(path: &Path) -> io::Result<PathBuf> {
    let (half, done) = (with_suffix(path, ".gz.tmp"), with_suffix(path, ".gz"));
    let made = (|| {
        let mut from = File::open(path)?;
        let mut to = GzEncoder::new(File::create(&half)?, Compression::fast());
        io::copy(&mut from, &mut to)?;
        to.finish()?.sync_all()?;
        fs::rename(&half, &done)?;
        fs::remove_file(path)
    })();
    if made.is_err() {
        // The original is still there; the half-made copy only takes room.
        let _ = fs::remove_file(&half);
    }
    made.map(|()| done)
}

fn is_rotated(entry: &str, name: &str) -> bool {
    let Some((stamp, rest)) = entry.split_at_checked(STAMP_BYTES) else { return false };
    let dated = stamp.bytes().zip("0000-00-00_00-00-00".bytes()).all(|(byte, like)| match like {
        b'0' => byte.is_ascii_digit(),
        like => byte == like,
    });
    let suffix = rest.strip_prefix("__").and_then(|rest| rest.strip_prefix(name));
    dated && matches!(suffix, Some("" | ".gz" | ".gz.tmp" | ".tar.gz"))
}

fn file_name(path: &Path) -> io::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the log has no usable name"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
