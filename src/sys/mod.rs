//! The operating system: what needs `unsafe`, and what both sides of the gateway share.

pub mod allocator;
pub mod conn;
pub mod cpu;
pub mod deadline;
pub mod platform;
pub mod port;
pub mod scratch;
pub mod tasks;
pub mod turns;
