//! Where objects come from. Every source ends in a [`super::raw::RawDocument`].

pub mod file;
pub mod watch;
