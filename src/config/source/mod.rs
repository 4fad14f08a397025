//! Where objects come from. Every source ends in a [`super::raw::RawDocument`].

mod chunks;
pub mod file;
pub mod reader;
pub mod watch;
