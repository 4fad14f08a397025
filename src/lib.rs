//! moongate: an API gateway with a Rust core and APISIX-compatible Lua plugins.
//!
//! Read the modules in the order a request travels; [`pipeline`] shows the whole way in
//! two functions. `src/ARCHITECTURE.md` is the map with its invariants.
#![doc = include_str!("ARCHITECTURE.md")]

// The way of a request.
pub mod accept;
pub mod balance;
pub mod log;
pub mod parse;
pub mod phase;
pub mod pipeline;
pub mod rescue;
pub mod route;
pub mod upstream;

// What it travels with and through.
pub mod codec;
pub mod exchange;
pub mod http1;
pub mod lua;

// State, and who brings it.
pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod discovery;
pub mod gate;
pub mod health;
pub mod live;
pub mod shared;
pub mod store;
pub mod worker;

// Vocabulary.
pub mod clock;
pub mod error;
pub mod fields;
pub mod limits;
pub mod sys;

/// The version of moongate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of APISIX whose plugin contract, files and APIs moongate speaks.
pub const APISIX_VERSION: &str = "3.18.0";

/// The nginx version that plugins find in `ngx.config.nginx_version` terms.
pub const NGINX_VERSION: &str = "1.27.1";

/// The `Server` field: what tooling made for APISIX looks for, and who really answers.
pub const SERVER: &str = concat!("APISIX/3.18.0 moongate/", env!("CARGO_PKG_VERSION"));
