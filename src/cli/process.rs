//! Finding and signalling the running process, and talking to the terminal.

use std::{fs, io::Write as _, path::Path};

use crate::{control, sys::platform};

/// Prints a line.
pub(super) fn say(text: &str) {
    // A closed pipe is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints an error.
pub(super) fn complain(text: &str) {
    // A closed pipe is no reason to fail.
    let _ = writeln!(std::io::stderr(), "moongate: {text}");
}

/// Sends `signal` to the process that runs with `prefix`.
///
/// # Errors
///
/// When there is none.
pub(super) fn signal(prefix: &Path, signal: i32) -> Result<(), String> {
    let path = control::pid_file(prefix);
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("no running process: {}: {error}", path.display()))?;
    let pid: i32 =
        text.trim().parse().map_err(|_| format!("{} holds no process id", path.display()))?;
    platform::signal(pid, signal).map_err(|error| format!("process {pid}: {error}"))
}
