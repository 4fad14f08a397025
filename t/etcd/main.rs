//! The store in etcd, against real servers: each case starts its own on loopback ports, with its
//! own data. Needs Debian's etcd-server, etcd-client and openssl. What the sink is told is checked
//! as it comes (see `seen`): a mix of two etcds, a torn revision or one told twice fails any case.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not know that helpers of integration tests are tests"
)]

mod endpoints;
mod hostile;
mod login;
mod lost;
mod others;
mod past;
mod seen;
mod server;
mod slow;
mod writes;
