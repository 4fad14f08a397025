//! What all workers of the process share: dictionaries, metrics, node health.
//!
//! Everything here may be called from any thread, never waits for I/O, and holds its locks
//! for no longer than one map operation. Nothing here reads the clock: callers pass the time.

pub mod counts;
pub mod dict;
mod dict_list;
pub mod dicts;
pub mod health;
mod metric_family;
mod metric_text;
pub mod metrics;
pub mod nonces;

#[cfg(test)]
mod dict_tests;
#[cfg(test)]
mod metrics_tests;
