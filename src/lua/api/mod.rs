//! What Rust gives to Lua without touching a request: the pure, synchronous half of
//! `moongate.host`.
//!
//! Every function here takes Lua values, returns at once, never yields and never blocks.
//! Anything about the request in flight, sockets, timers or configuration lives elsewhere.
//! Start with [`register`]; one module fills one field of the host table.

mod brotli;
mod cipher;
pub(crate) mod convert;
mod crypto;
mod deflate;
mod dict;
mod expr;
mod ip;
mod json;
mod metrics;
mod pkey;
mod re;
mod saml;
mod schema;
mod time;
mod uri;
mod yaml;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use mlua::{Lua, LuaString, Table, Value};

use crate::{
    health,
    shared::{dicts::Dicts, metrics::Registry},
};

/// What the functions need from the process.
pub(crate) struct ApiDeps {
    /// The shared dictionaries.
    pub(crate) dicts: Arc<Dicts>,
    /// The metrics.
    pub(crate) metrics: Arc<Registry>,
    /// Health of upstream nodes, which is among the metrics.
    pub(crate) health: Arc<health::Registry>,
    /// Number of this worker; `usize::MAX` on any other thread.
    pub(crate) worker: usize,
}

/// Fills `host` with every pure function.
///
/// # Errors
///
/// Only when the VM is out of memory.
pub(crate) fn register(lua: &Lua, host: &Table, deps: &ApiDeps) -> mlua::Result<()> {
    json::register(lua, host)?;
    re::register(lua, host)?;
    cipher::register(lua, host)?;
    crypto::register(lua, host)?;
    pkey::register(lua, host)?;
    saml::register(lua, host)?;
    uri::register(lua, host)?;
    time::register(lua, host)?;
    deflate::register(lua, host)?;
    brotli::register(lua, host)?;
    yaml::register(lua, host)?;
    schema::register(lua, host)?;
    ip::register(lua, host)?;
    expr::register(lua, host)?;
    dict::register(lua, host, deps)?;
    metrics::register(lua, host, deps)
}

/// An error as `luaL_error` raises it: prefixed with the place of the Lua caller.
fn raise(lua: &Lua, message: &str) -> mlua::Error {
    let place = lua.inspect_stack(1, |frame| {
        let source = frame.source().short_src.map(|name| name.into_owned());
        source.zip(frame.current_line())
    });
    mlua::Error::RuntimeError(match place.flatten() {
        Some((source, line)) => format!("{source}:{line}: {message}"),
        None => message.to_owned(),
    })
}

/// `luaL_argerror`: names the argument, counted from 1, and what was wrong with it.
fn bad_argument(lua: &Lua, position: usize, function: &str, why: &str) -> mlua::Error {
    raise(lua, &format!("bad argument #{position} to '{function}' ({why})"))
}

/// `luaL_checkstring`: numbers pass as their decimal form, everything else raises.
fn string_arg(lua: &Lua, value: Value, position: usize, function: &str) -> mlua::Result<LuaString> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(_) | Value::Number(_) => match lua.coerce_string(value)? {
            Some(text) => Ok(text),
            None => Err(bad_argument(lua, position, function, "string expected")),
        },
        other => {
            let why = format!("string expected, got {}", type_name(&other));
            Err(bad_argument(lua, position, function, &why))
        }
    }
}

/// `tostring`: honours `__tostring`, never refuses.
fn text_of(lua: &Lua, value: Value) -> mlua::Result<LuaString> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value)?;
            text.map_or_else(|| lua.create_string(""), Ok)
        }
        other => lua.create_string(other.to_string()?),
    }
}

/// The name `type()` gives in Lua; mlua itself tells integers from numbers.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

/// A number argument as `f64`, strings converted as Lua does.
fn number_of(lua: &Lua, value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(_) => lua.coerce_number(value.clone()).ok().flatten(),
        _ => None,
    }
}

/// Nesting down to which tables are walked by [`Table::for_each`].
const FAST_DEPTH_MAX: usize = 24;

/// Calls `visit` with each pair of `table`, which lies `depth` levels deep.
///
/// `for_each` is the fastest walk, but what it calls runs inside a protected call that takes
/// kilobytes of native stack; deep down the slower iterator takes its place.
fn each_pair(
    table: &Table,
    depth: usize,
    visit: &mut dyn FnMut(Value, Value) -> mlua::Result<()>,
) -> mlua::Result<()> {
    if depth <= FAST_DEPTH_MAX {
        return table.for_each(visit);
    }
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        visit(key, value)?;
    }
    Ok(())
}
