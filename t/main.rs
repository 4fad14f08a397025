//! End-to-end tests: each starts the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not know that helpers of integration tests are tests"
)]

mod bodies;
mod control;
mod gateway;
mod harness;
mod http2;
mod mirror;
mod reload;
mod roles;
#[path = "etcd/server.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod server;
