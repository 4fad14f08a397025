//! The Lua host: the only door to mlua.
//!
//! A worker has one [`Vm`] that serves and perhaps older ones whose last requests are not
//! over. [`loader::Generation`] is the code a VM runs, `task` runs coroutines as futures,
//! `host` and `api` are what Lua can call, `raw` is the fence around the C API.
//! Everything Lua sees of a request goes through [`crate::exchange::Exchange`].

mod api;
pub mod breaker;
mod call;
mod clean;
mod core;
pub mod env;
mod filter;
mod host;
pub mod loader;
mod merges;
mod probe;
mod raw;
mod slot;
mod task;
mod timer;
pub mod versions;
mod vm;

pub use call::{Call, Ended};
pub use vm::{Loaded, Phases, Plan, Vm};

use crate::{exchange::Exchange, log::error_log::Level};

/// Logs a line about a request.
pub(crate) fn log_line(level: Level, x: &Exchange, message: &str) {
    env::log_about(level, x, message);
}
