//! TARS: calls in a binary format whose meaning stands in `.tars` files, from and to JSON.
//!
//! Start with [`Dialect`], which makes a call of what a client sent. Below it, from the outside
//! in: [`packet`] has the packets, [`json`] the values, [`idl`] the types, [`wire`] the bytes.
//! Versions: 1 (the body is items by position, which every server understands), 2 and 3 (TUP, by
//! name), 5 (JSON).
//!
//! What a server sends is not trusted: see the bounds in [`wire`], [`packet`] and [`json`].

mod dialect;
pub mod idl;
pub mod json;
mod options;
mod outcome;
pub mod packet;
mod plain;
mod tup;
pub mod wire;

use std::rc::Rc;

pub use dialect::Dialect;

use super::registry::{Protocol, Source};

/// The row for TARS.
pub const PROTOCOL: Protocol = Protocol {
    name: "tars",
    dialect: |options, sources| Ok(Rc::new(Dialect::new(options, sources)?)),
    suffix: ".tars",
    check,
};

fn check(source: &Source<'_>) -> Result<(), String> {
    idl::Schema::check(source).map_err(|errors| idl::lines(&errors))
}

#[cfg(test)]
mod tests;
