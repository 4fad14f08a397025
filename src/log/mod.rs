//! Logs: access lines, error lines, and the files that plugins write.
//!
//! No caller ever waits for a disk or a pipe. Lines go into bounded queues; one thread per kind
//! of target writes them, rotates files, and comes back by itself after an outage. What does
//! not fit is dropped and counted.
//!
//! Start at [`writer::Writer`] for files, [`format::Template`] for access lines,
//! [`error_log::log`] for errors. [`install`] comes first, in `main`.

use std::{path::Path, sync::OnceLock};

pub mod access;
pub mod error_log;
pub mod format;
mod lane;
mod queue;
pub mod rotate;
pub mod stamp;
pub mod target;
pub mod writer;

#[cfg(test)]
mod rotate_tests;
#[cfg(test)]
mod writer_tests;

/// The two questions that safe Rust cannot ask the operating system.
#[derive(Debug, Clone, Copy)]
pub struct Platform {
    /// Seconds that local time is ahead of UTC at this moment (seconds since 1970, UTC).
    pub local_offset_s: fn(i64) -> i32,
    /// Bytes that an unprivileged process may still write to the file system of this path.
    pub free_bytes: fn(&Path) -> Option<u64>,
}

static PLATFORM: OnceLock<Platform> = OnceLock::new();

/// Gives the log its view of the operating system. The first call counts; says if this was it.
/// Without it local time is UTC and free space is not watched.
pub fn install(platform: Platform) -> bool {
    PLATFORM.set(platform).is_ok()
}

fn local_offset_s(now_s: u64) -> i32 {
    PLATFORM.get().map_or(0, |platform| (platform.local_offset_s)(now_s.cast_signed()))
}

fn free_bytes(path: &Path) -> Option<u64> {
    PLATFORM.get().and_then(|platform| (platform.free_bytes)(path))
}
