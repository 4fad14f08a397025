//! End-to-end tests: each starts the real binary, or feeds a pure part with hostile bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy does not know that helpers of integration tests are tests"
)]

mod bodies;
mod fuzz;
mod gateway;
mod harness;
mod http2;
mod reload;
