//! `host.protocol_*`: upstreams that do not speak HTTP. `core.protocol` and `core.upstream` are
//! their only callers.

use std::{rc::Rc, time::Duration};

use mlua::{Lua, LuaString, Table, Value};

use super::{NONE, ONE};
#[cfg(test)]
use crate::codec::testing;
use crate::{
    codec::{
        Arguments, Dialect, Input, Refusal,
        registry::{self, Protocol, Source},
    },
    config::merge::UpstreamSource,
    exchange::{Asked, Exchange},
    lua::{
        api::convert,
        core::Core,
        raw::{
            frame::{Called, Frame, Kind, Outcome, Raise},
            object::{self, Object},
        },
    },
};

/// The protocols that Lua finds; in unit tests one that is small enough to look at.
#[cfg(not(test))]
const KNOWN: &[Protocol] = registry::PROTOCOLS;
#[cfg(test)]
const KNOWN: &[Protocol] = &[testing::TEXT];

/// Seconds that a call may be given; as many as a day has.
const TIMEOUT_SECONDS_MAX: f64 = 86_400.0;

/// What `core.protocol.new` gives.
struct Made(Rc<dyn Dialect>);

impl Object for Made {
    fn tag() -> &'static u8 {
        static TAG: u8 = 2;
        &TAG
    }
}

pub(super) fn register(core: &Rc<Core>, table: &Table) -> mlua::Result<()> {
    let lua = core.lua();
    object::class::<Made>(lua, lua.create_table()?)?;
    table.raw_set("protocol_new", lua.create_function(protocol_new)?)?;
    table.raw_set(
        "protocol_names",
        lua.create_function(|lua, ()| {
            lua.create_sequence_from(KNOWN.iter().map(|protocol| protocol.name))
        })?,
    )?;
    let state = core.state();
    state.host_function(table, "protocol_set", protocol_set)?;
    state.host_function(table, "protocol_reset", protocol_reset)
}

/// `protocol_new(name, options, sources)`: a dialect, or nil and what is wrong.
fn protocol_new(
    lua: &Lua,
    (name, options, sources): (String, Value, Option<Table>),
) -> mlua::Result<(Value, Option<String>)> {
    match dialect(lua, &name, &options, sources.as_ref()) {
        Ok(dialect) => Ok((object::create(lua, Made(dialect))?, None)),
        Err(reason) => Ok((Value::Nil, Some(reason))),
    }
}

fn dialect(lua: &Lua, name: &str, options: &Value, sources: Option<&Table>) -> registry::Made {
    let protocol = registry::find(KNOWN, name)?;
    let options = match options {
        Value::Nil => serde_json::Value::Object(serde_json::Map::new()),
        options => convert::from_lua(lua, options).map_err(|error| format!("options: {error}"))?,
    };
    let texts = sources.map_or_else(|| Ok(Vec::new()), texts);
    let texts = texts.map_err(|_| "sources: expected a list of { name, text }".to_owned())?;
    let bytes: Vec<_> = texts.iter().map(|(name, text)| (name, text.as_bytes())).collect();
    let sources: Vec<_> = bytes.iter().map(|(name, text)| Source { name, text }).collect();
    (protocol.dialect)(&options, &sources)
}

fn texts(sources: &Table) -> mlua::Result<Vec<(String, LuaString)>> {
    sources
        .sequence_values::<Table>()
        .map(|source| source.and_then(|source| Ok((source.get("name")?, source.get("text")?))))
        .collect()
}

/// `protocol_set(protocol, dialect, service, function, body, pairs, metadata, timeout)`: true, or
/// nil, a message and a status. `pairs` and `metadata` are flat: name, value, name, value.
fn protocol_set(frame: &mut Frame<'_>) -> Called {
    match asked(frame)? {
        Ok(asked) => {
            frame.exchange()?.upstream.asked = Some(asked);
            frame.push_bool(true);
            ONE
        }
        Err(refusal) => {
            frame.push_nil();
            frame.push_str(refusal.message.as_bytes());
            frame.push_num(f64::from(refusal.status));
            Ok(Outcome::Return(3))
        }
    }
}

/// The request goes upstream as HTTP again.
fn protocol_reset(frame: &mut Frame<'_>) -> Called {
    frame.exchange()?.upstream.asked = None;
    NONE
}

type Asking = Result<Asked, Refusal>;

fn asked(frame: &mut Frame<'_>) -> Result<Asking, Raise> {
    let protocol = String::from_utf8_lossy(frame.need_str(1, "set_protocol")?);
    if let Err(unknown) = registry::find(KNOWN, &protocol) {
        return Ok(wrong(unknown));
    }
    let Some(Made(dialect)) = frame.object::<Made>(2) else {
        let why = "opts.dialect is missing: core.protocol.new makes one, once for a conf";
        return Ok(wrong(why.to_owned()));
    };
    let framing = dialect.framing();
    if framing.name() != protocol {
        return Ok(wrong(format!("opts.dialect is of {}, not of {protocol}", framing.name())));
    }
    let timeout = match timeout(frame) {
        Ok(timeout) => timeout,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (service, function) = (frame.str(3), frame.str(4));
    let body = frame.str(5).unwrap_or_default();
    let (pairs, metadata) = (flat(frame, 6), flat(frame, 7));
    let within = match timeout {
        Some(timeout) => timeout,
        None => read_timeout(frame.exchange()?),
    };
    let call = || {
        let pairs = texts_of(&pairs)?;
        let metadata: Vec<(&str, &[u8])> = metadata
            .chunks_exact(2)
            .map(|pair| Ok((text("a header's name", &pair[0])?, pair[1].as_slice())))
            .collect::<Result<_, Refusal>>()?;
        dialect.call(&Input {
            service: service.map(|name| text("the service", name)).transpose()?,
            function: function.map(|name| text("the function", name)).transpose()?,
            arguments: if pairs.is_empty() {
                Arguments::Json(body)
            } else {
                Arguments::Pairs(&pairs)
            },
            metadata: &metadata,
            timeout: within,
        })
    };
    Ok(call().map(|call| Asked { call, framing, timeout }))
}

/// A mistake of the plugin's.
fn wrong<T>(message: String) -> Result<T, Refusal> {
    Err(Refusal { status: 500, message })
}

fn timeout(frame: &Frame<'_>) -> Result<Option<Duration>, Refusal> {
    if frame.is_nil(8) {
        return Ok(None);
    }
    match frame.num(8) {
        Some(seconds) if seconds > 0.0 && seconds <= TIMEOUT_SECONDS_MAX => {
            Ok(Some(Duration::from_secs_f64(seconds)))
        }
        _ => {
            let given = frame.text(8);
            let given = String::from_utf8_lossy(&given);
            wrong(format!(
                "opts.timeout: expected seconds up to {TIMEOUT_SECONDS_MAX}, got {given}"
            ))
        }
    }
}

fn flat(frame: &mut Frame<'_>, at: i32) -> Vec<Vec<u8>> {
    if frame.kind(at) == Kind::Table { frame.strings(at) } else { Vec::new() }
}

fn text<'t>(what: &str, bytes: &'t [u8]) -> Result<&'t str, Refusal> {
    std::str::from_utf8(bytes)
        .map_err(|_| Refusal { status: 400, message: format!("{what}: not valid UTF-8") })
}

fn texts_of(pairs: &[Vec<u8>]) -> Result<Vec<(&str, &str)>, Refusal> {
    let both = pairs.chunks_exact(2).map(|both| {
        let name = text("an argument's name", &both[0])?;
        Ok((name, text(name, &both[1])?))
    });
    both.collect()
}

/// `timeout.read` of whatever upstream `x` goes to, as far as that is known now.
fn read_timeout(x: &Exchange) -> Duration {
    let by_id = |id: &str| {
        let item = x.snapshot.as_ref()?.upstreams.get(id)?;
        Some(item.typed.timeout)
    };
    let of_route = || match &x.matched.as_ref()?.merged.upstream {
        UpstreamSource::Id(id) => by_id(id),
        UpstreamSource::Inline { upstream, .. } => Some(upstream.timeout),
        UpstreamSource::None => None,
    };
    let own = x.matched.as_ref().and_then(|matched| matched.timeout.as_deref().copied());
    own.or_else(|| x.upstream.chosen.as_ref().map(|upstream| upstream.timeout))
        .or_else(|| x.upstream.chosen_id.as_deref().and_then(by_id))
        .or_else(of_route)
        .unwrap_or_default()
        .read
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
