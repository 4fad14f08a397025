//! Host functions that need the current request, the scheduler or the configuration.
//!
//! They are plain safe functions over [`Frame`]; what is pure and synchronous lives in
//! `lua::api` instead. `lua/moongate/` and the shelves are their only callers.

mod balancer;
mod conf;
mod flow;
mod instance;
mod location;
mod pipe;
mod process;
mod protocol;
mod redis;
mod request;
mod response;
mod sign;
pub(crate) mod socket;
mod sync;

use std::rc::Rc;

pub(crate) use conf::Known;

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

/// Pushes a table of header fields: lower-case names, repeated ones as arrays.
/// Returns whether there were more than `max`; 0 is no bound.
fn push_fields(
    frame: &mut Frame<'_>,
    fields: &crate::fields::Fields,
    max: usize,
    raw: bool,
) -> bool {
    let total = fields.len();
    let taken = if max == 0 { total } else { total.min(max) };
    // Names that may be repeated: each sets a bit, and most have theirs for themselves.
    let (mut seen, mut twice) = (0_u64, 0_u64);
    for (name, _) in fields.iter().take(taken) {
        let bit = bit_of(name);
        twice |= seen & bit;
        seen |= bit;
    }
    frame.push_table(0, taken);
    for (at, (name, value)) in fields.iter().take(taken).enumerate() {
        if twice & bit_of(name) == 0 {
            with_name(name, raw, |name| frame.set_text(name, value));
        } else {
            push_repeated(frame, fields, (at, taken), raw);
        }
    }
    total > taken
}

/// A bit that depends on the name, but not on the case of its letters; the usual names have
/// different ones.
fn bit_of(name: &[u8]) -> u64 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 1 };
    let letter = |byte: &u8| usize::from(byte | 0x20);
    1 << ((name.len() + 4 * letter(first) + 14 * letter(last)) % 64)
}

/// Sets the field at `at` with all of its values, unless an earlier one of its name did so.
fn push_repeated(
    frame: &mut Frame<'_>,
    fields: &crate::fields::Fields,
    (at, taken): (usize, usize),
    raw: bool,
) {
    let same = |a: &[u8], b: &[u8]| if raw { a == b } else { a.eq_ignore_ascii_case(b) };
    let mut rest = fields.iter().take(taken).skip(at);
    let Some((name, value)) = rest.next() else { return };
    if fields.iter().take(at).any(|(earlier, _)| same(earlier, name)) {
        return;
    }
    with_name(name, raw, |name| frame.push_str(name));
    let mut others = rest.filter(|(other, _)| same(other, name)).peekable();
    if others.peek().is_none() {
        frame.push_str(value);
    } else {
        frame.push_table(2, 0);
        frame.push_str(value);
        frame.set_index(1);
        for ((_, value), at) in others.zip(2..) {
            frame.push_str(value);
            frame.set_index(at);
        }
    }
    frame.set_pair();
}

/// Calls `then` with a name, in lower case unless it is to stay as it came.
fn with_name<R>(name: &[u8], raw: bool, then: impl FnOnce(&[u8]) -> R) -> R {
    if raw {
        return then(name);
    }
    let mut short = [0; 48];
    match short.get_mut(..name.len()) {
        Some(lower) => {
            for (to, from) in lower.iter_mut().zip(name) {
                *to = from.to_ascii_lowercase();
            }
            then(lower)
        }
        None => then(&name.to_ascii_lowercase()),
    }
}
