//! The Lua host: the only door to mlua.
//!
//! A worker has one [`Vm`] that serves and perhaps older ones whose last requests are not
//! over. [`loader::Generation`] is the code a VM runs, `task` runs coroutines as futures,
//! `host` and `api` are what Lua can call, `raw` is the fence around the C API.
//! Everything Lua sees of a request goes through [`crate::exchange::Exchange`].

mod api;
mod aside;
mod boot;
pub mod breaker;
mod call;
mod clean;
mod content;
mod control;
mod core;
pub mod env;
mod filter;
mod host;
pub mod loader;
mod merges;
pub mod pace;
mod probe;
mod raw;
mod slot;
mod task;
mod timer;
pub mod versions;
mod vm;

pub use call::{Call, Ended};
pub use host::process::publish;
pub use vm::{Loaded, Phases, Plan, Vm};

use crate::{
    error::Result,
    exchange::{Exchange, body::Room},
    log::error_log::Level,
};

/// Logs a line about a request.
pub(crate) fn log_line(level: Level, x: &Exchange, message: &str) {
    env::log_about(level, x, message);
}

/// Reads the whole body of a request, and says so if it went to a file.
///
/// # Errors
///
/// As [`crate::exchange::RequestBody::hold`].
pub(crate) async fn hold_body(x: &mut Exchange, room: &Room) -> Result<()> {
    let was_there = x.body.file.is_some();
    let held = x.body.hold(room).await;
    if !was_there && x.body.file.is_some() {
        let line = "a client request body is buffered to a temporary file in";
        log_line(Level::Warn, x, &format!("{line} {}", room.dir.display()));
    }
    held
}
