//! What all workers of the process share: dictionaries, metrics, node health, Redis.
//!
//! Everything here may be called from any thread, and holds its locks for no longer than one
//! map operation. But for [`redis`] nothing here waits for I/O or reads the clock: callers
//! pass the time.

pub mod counts;
pub mod dict;
mod dict_list;
pub mod dicts;
pub mod health;
mod metric_family;
mod metric_text;
pub mod metrics;
pub mod nonces;
pub mod redis;

#[cfg(test)]
mod dict_tests;
#[cfg(test)]
mod metrics_tests;
