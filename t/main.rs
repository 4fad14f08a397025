//! End-to-end tests: each starts the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not know that helpers of integration tests are tests"
)]

mod bodies;
mod gateway;
mod harness;
mod http2;
mod mirror;
mod reload;
