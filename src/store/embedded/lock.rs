//! Who holds the store: one process at a time, and others are told which.

use super::{OpenError, disk};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process,
};

/// The name of the file that is locked. Its first line is the process's id.
pub(super) const FILE: &str = "moongate.lock";

/// Bytes of a lock file that are looked at.
const BYTES_MAX: u64 = 64;

/// The line behind the id of a process that saw a sync fail and did not mend it. A start after it
/// may still find in memory what the disk does not have; after a start of the machine, memory and
/// this line are both gone.
const SYNC_FAILED: &str = "sync failed";

/// The lock, for as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    noted: bool,
}

impl Lock {
    /// Takes it, or says who has it.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let failed = |error: io::Error| OpenError::Io {
            path: path.display().to_string(),
            why: error.to_string(),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let locked = file.try_lock();
        let text = read(&file);
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = dir.join(disk::FILE).display().to_string();
                return Err(OpenError::InUse { path, by: holder(&text) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file, noted: text.contains(SYNC_FAILED) };
        lock.write();
        Ok(lock)
    }

    /// Whether a sync failed and was not mended, in this process or the one before.
    pub(super) fn sync_failed(&self) -> bool {
        self.noted
    }

    /// Notes that for the process after this one.
    pub(super) fn note_sync_failed(&mut self, failed: bool) {
        if failed != self.noted {
            self.noted = failed;
            self.write();
        }
    }

    /// Only for people and for the rarest of cases: on a full disk the lock holds without it.
    fn write(&mut self) {
        let note = if self.noted { SYNC_FAILED } else { "" };
        let text = format!("{}\n{note}\n", process::id());
        let written = self.file.rewind().and_then(|()| self.file.write_all(text.as_bytes()));
        let _ = written.and_then(|()| self.file.set_len(text.len() as u64));
    }
}

/// The process that has the store of a directory open, if one has it and says which.
pub(super) fn owner(dir: &Path) -> Option<i32> {
    let file = File::open(dir.join(FILE)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read(&file).lines().next()?.parse().ok(),
        _ => None,
    }
}

fn read(file: &File) -> String {
    let mut text = Vec::new();
    let _ = file.take(BYTES_MAX).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The process that wrote its id, and its name where it runs on this machine.
fn holder(text: &str) -> Option<String> {
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    Some(match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    })
}
