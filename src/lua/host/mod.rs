//! Host functions that need the current request, the scheduler or the configuration.
//!
//! They are plain safe functions over [`Frame`]; what is pure and synchronous lives in
//! `lua::api` instead. `lua/moongate/` and the shelves are their only callers.

mod balancer;
mod conf;
mod consumers;
mod fields;
mod flow;
mod health;
mod instance;
mod location;
mod pipe;
pub(crate) mod process;
mod protocol;
mod redis;
mod request;
mod response;
mod sign;
pub(crate) mod socket;
mod sync;

use std::rc::Rc;

pub(crate) use conf::Known;
pub(crate) use fields::Names;
use fields::push_fields;

use super::{
    core::Core,
    raw::frame::{Called, Frame, Outcome},
};

/// One value was pushed.
const ONE: Called = Ok(Outcome::Return(1));
/// Nothing was pushed.
const NONE: Called = Ok(Outcome::Return(0));

/// Puts every host function of this module into `table`.
///
/// # Errors
///
/// When Lua has no memory for it.
pub(crate) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    request::register(core, table)?;
    balancer::register(core, table)?;
    response::register(core, table)?;
    flow::register(core, table)?;
    conf::register(core, table)?;
    consumers::register(core, table)?;
    health::register(core, table)?;
    instance::register(core, table)?;
    location::register(core, table)?;
    process::register(core, table)?;
    protocol::register(core, table)?;
    pipe::register(core, table)?;
    sync::register(core, table)?;
    sign::register(core, table)?;
    self::redis::register(core, table)?;
    socket::register(core, table)
}

/// Pushes a string or nil.
fn push_option(frame: &mut Frame<'_>, value: Option<&[u8]>) -> Called {
    match value {
        Some(value) => frame.push_str(value),
        None => frame.push_nil(),
    }
    ONE
}

/// Pushes `nil, message`.
fn push_failure(frame: &mut Frame<'_>, message: &str) -> Called {
    frame.push_nil();
    frame.push_str(message.as_bytes());
    Ok(Outcome::Return(2))
}
