//! `host.dict`: the dictionaries all workers share, with the methods of `ngx.shared.DICT`.

use std::sync::Arc;

use mlua::{Lua, Table, Value};

use super::{ApiDeps, string_arg};
use crate::{
    lua::raw::{
        current::wall_ms as now_ms,
        door::{BROKEN, door},
        frame::{Called, Frame, Kind, Outcome as End, Raise},
        object::{self, Object},
        state::host_function,
    },
    shared::dict::{self, Dict, DictError, Found, Init, Life, Outcome, Put},
};

/// Keys `get_keys` returns when the caller gives no number.
const KEYS_MAX_DEFAULT: f64 = 1024.0;

const ONE: Called = Ok(End::Return(1));

/// Fills `host.dict`.
pub(super) fn register(lua: &Lua, host: &Table, deps: &ApiDeps) -> mlua::Result<()> {
    let methods = methods(lua)?;
    object::class::<Shared>(lua, methods.clone())?;
    let table = lua.create_table()?;
    // What an old plugin's end may not remove is taken out there: moongate.plugins.
    table.raw_set("methods", methods)?;
    let dicts = Arc::clone(&deps.dicts);
    // One object per dictionary and VM, so that identity holds.
    let made = lua.create_table()?;
    let get = lua.create_function(move |lua, name: Value| {
        let name = string_arg(lua, name, 1, "get")?;
        if let object @ Value::UserData(_) = made.raw_get(&name)? {
            return Ok(object);
        }
        let Some(dict) = dicts.get(&name.to_string_lossy()) else { return Ok(Value::Nil) };
        let object = object::create(lua, Shared(dict))?;
        made.raw_set(name, &object)?;
        Ok(object)
    })?;
    table.raw_set("get", get)?;
    let dicts = Arc::clone(&deps.dicts);
    let names = lua.create_function(move |lua, (): ()| {
        lua.create_sequence_from(dicts.all().iter().map(|dict| dict.name()))
    })?;
    table.raw_set("names", names)?;
    host_function(lua, &table, "count", count)?;
    table.raw_set("incr_door", door::<Shared, _>(incr_door))?;
    host.raw_set("dict", table)
}

/// The object Lua holds.
struct Shared(Arc<Dict>);

impl Object for Shared {
    fn tag() -> &'static u8 {
        static TAG: u8 = 1;
        &TAG
    }
}

fn methods(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let t = &table;
    host_function(lua, t, "get", get)?;
    host_function(lua, t, "get_stale", get_stale)?;
    host_function(lua, t, "incr", incr)?;
    host_function(lua, t, "set", |frame| store(frame, true, Dict::set))?;
    host_function(lua, t, "safe_set", |frame| store(frame, true, Dict::safe_set))?;
    host_function(lua, t, "add", |frame| store(frame, false, Dict::add))?;
    host_function(lua, t, "safe_add", |frame| store(frame, false, Dict::safe_add))?;
    host_function(lua, t, "replace", |frame| store(frame, false, Dict::replace))?;
    host_function(lua, t, "delete", delete)?;
    host_function(lua, t, "ttl", ttl)?;
    host_function(lua, t, "expire", expire)?;
    host_function(lua, t, "lpush", |frame| push(frame, Dict::lpush))?;
    host_function(lua, t, "rpush", |frame| push(frame, Dict::rpush))?;
    host_function(lua, t, "lpop", |frame| pop(frame, Dict::lpop))?;
    host_function(lua, t, "rpop", |frame| pop(frame, Dict::rpop))?;
    host_function(lua, t, "llen", llen)?;
    host_function(lua, t, "flush_all", flush_all)?;
    host_function(lua, t, "flush_expired", flush_expired)?;
    host_function(lua, t, "get_keys", get_keys)?;
    host_function(lua, t, "capacity", capacity)?;
    host_function(lua, t, "free_space", free_space)?;
    Ok(table)
}

fn own<'f>(frame: &Frame<'f>) -> Result<&'f Dict, Raise> {
    let shared = frame.object::<Shared>(1).ok_or_else(|| Raise::new("bad \"zone\" argument"))?;
    Ok(&shared.0)
}

/// A bound given as argument 2; `default` if there is none.
fn bound(frame: &Frame<'_>, method: &str, default: f64) -> Result<usize, Raise> {
    if frame.is_nil(2) {
        return Ok(default as usize);
    }
    Ok(frame.need_num(2, method)?.max(0.0) as usize)
}

/// Pushes nil and the message.
fn fail(frame: &mut Frame<'_>, message: &str) -> Called {
    frame.push_nil();
    frame.push_str(message.as_bytes());
    Ok(End::Return(2))
}

/// Runs `then` with the dictionary and the key that a method was called with; a missing,
/// empty or overlong key is answered here.
fn on_key(
    frame: &mut Frame<'_>,
    then: impl FnOnce(&mut Frame<'_>, &Dict, &[u8]) -> Called,
) -> Called {
    let dict = own(frame)?;
    if frame.is_nil(2) {
        return fail(frame, "nil key");
    }
    let key = frame.text(2);
    match key.len() {
        0 => fail(frame, DictError::EmptyKey.as_str()),
        1..=dict::KEY_BYTES_MAX => then(frame, dict, &key),
        _ => fail(frame, DictError::KeyTooLong.as_str()),
    }
}

/// The value to store; `None` for a type that cannot be stored.
fn put_of<'f>(frame: &Frame<'f>, at: i32) -> Option<Put<'f>> {
    Some(match frame.kind(at) {
        Kind::None | Kind::Nil => Put::Nil,
        Kind::Bool => Put::Bool(frame.truth(at)),
        Kind::Number => Put::Number(frame.num(at)?),
        Kind::String => Put::Bytes(frame.str(at)?),
        Kind::Table | Kind::Function | Kind::Other => return None,
    })
}

fn push_value(frame: &mut Frame<'_>, value: &dict::Value) {
    match value {
        dict::Value::Bool(flag) => frame.push_bool(*flag),
        dict::Value::Number(number) => frame.push_num(*number),
        dict::Value::Bytes(bytes) => frame.push_str(bytes),
    }
}

/// Seconds to milliseconds; `None` for nil and false. A negative time raises.
fn milliseconds(frame: &Frame<'_>, at: i32) -> Result<Option<u64>, Raise> {
    if !frame.truth(at) {
        return Ok(None);
    }
    match frame.num(at) {
        Some(seconds) if seconds >= 0.0 => Ok(Some((seconds * 1000.0) as u64)),
        _ => Err(Raise::new("bad \"exptime\" argument")),
    }
}

fn get(frame: &mut Frame<'_>) -> Called {
    on_key(frame, |frame, dict, key| match dict.get(key, now_ms()) {
        Ok(None) => {
            frame.push_nil();
            ONE
        }
        Ok(Some(Found { value, flags, .. })) => {
            push_value(frame, &value);
            if flags == 0 {
                return ONE;
            }
            frame.push_num(f64::from(flags));
            Ok(End::Return(2))
        }
        Err(error) => fail(frame, error.as_str()),
    })
}

fn get_stale(frame: &mut Frame<'_>) -> Called {
    on_key(frame, |frame, dict, key| match dict.get_stale(key, now_ms()) {
        Ok(None) => {
            frame.push_nil();
            ONE
        }
        Ok(Some(found)) => {
            push_value(frame, &found.value);
            match found.flags {
                0 => frame.push_nil(),
                flags => frame.push_num(f64::from(flags)),
            }
            frame.push_bool(found.stale);
            Ok(End::Return(3))
        }
        Err(error) => fail(frame, error.as_str()),
    })
}

/// What an entry that must be stored cannot be.
const NIL_VALUE: &str = "attempt to add or replace nil values";

type Store = fn(&Dict, &[u8], Put<'_>, Life, u64) -> Outcome<()>;

/// `store(key, value, seconds, flags)`
fn store(frame: &mut Frame<'_>, removes: bool, write: Store) -> Called {
    let ttl_ms = milliseconds(frame, 4)?.unwrap_or(0);
    let flags = frame.num(5).map_or(0, |flags| flags as i64 as u32);
    on_key(frame, |frame, dict, key| match put_of(frame, 3) {
        None => fail(frame, DictError::BadValueType.as_str()),
        Some(Put::Nil) if !removes => {
            frame.push_bool(false);
            frame.push_str(NIL_VALUE.as_bytes());
            frame.push_bool(false);
            Ok(End::Return(3))
        }
        Some(value) => {
            let outcome = write(dict, key, value, Life { ttl_ms, flags }, now_ms());
            push_stored(frame, outcome)
        }
    })
}

fn push_stored(frame: &mut Frame<'_>, outcome: Outcome<()>) -> Called {
    frame.push_bool(outcome.result.is_ok());
    match outcome.result {
        Ok(()) => frame.push_nil(),
        Err(error) => frame.push_str(error.as_str().as_bytes()),
    }
    frame.push_bool(outcome.forcible);
    Ok(End::Return(3))
}

fn delete(frame: &mut Frame<'_>) -> Called {
    on_key(frame, |frame, dict, key| {
        push_stored(frame, dict.set(key, Put::Nil, Life::default(), now_ms()))
    })
}

/// What `incr` was called with, beside dictionary and key.
fn increment(frame: &Frame<'_>) -> Result<(f64, Option<Init>), Raise> {
    let number = |at: i32, name: &str| {
        frame.num(at).ok_or_else(|| {
            let got = frame.type_name(at);
            Raise(format!("bad {name} arg: number expected, got {got}"))
        })
    };
    let delta = number(3, "value")?;
    let init = if frame.truth(4) { Some(number(4, "init")?) } else { None };
    if frame.is_nil(5) {
        return Ok((delta, init.map(|value| Init { value, ttl_ms: 0 })));
    }
    let ttl_s = number(5, "init_ttl")?;
    if ttl_s < 0.0 {
        return Err(Raise::new("bad \"init_ttl\" argument"));
    }
    match init {
        Some(value) => Ok((delta, Some(Init { value, ttl_ms: (ttl_s * 1000.0) as u64 }))),
        None => Err(Raise::new("must provide \"init\" when providing \"init_ttl\"")),
    }
}

/// `incr(key, delta, init, init_ttl)`
fn incr(frame: &mut Frame<'_>) -> Called {
    let (delta, init) = increment(frame)?;
    on_key(frame, |frame, dict, key| {
        let outcome = dict.incr(key, delta, init, now_ms());
        match outcome.result {
            Ok(value) => frame.push_num(value),
            Err(error) => return fail(frame, error.as_str()),
        }
        if init.is_none() {
            return ONE;
        }
        frame.push_nil();
        frame.push_bool(outcome.forcible);
        Ok(End::Return(3))
    })
}

/// `incr` for compiled code: delta, 1 if there is an init, init and its lifetime in seconds go in;
/// the new value, and 1 if live entries were evicted for it, come out. 0 if it went well.
fn incr_door(dict: &Shared, key: &[u8], numbers: &mut [f64]) -> i32 {
    let &mut [delta, has_init, init, ttl_s, ..] = numbers else { return BROKEN };
    let init = (has_init == 1.0).then_some(Init { value: init, ttl_ms: (ttl_s * 1000.0) as u64 });
    let outcome = dict.0.incr(key, delta, init, now_ms());
    let Ok(value) = outcome.result else { return 1 };
    numbers[0] = value;
    numbers[1] = f64::from(u8::from(outcome.forcible));
    0
}

/// `count(dict, key, delta, init, init_ttl)`: like `incr`, and in the same step how many
/// seconds the counter still lives, 0 for ever. Returns both, or nil and why not.
fn count(frame: &mut Frame<'_>) -> Called {
    let (delta, init) = increment(frame)?;
    on_key(frame, |frame, dict, key| match dict.count(key, delta, init, now_ms()).result {
        Ok((value, ttl_ms)) => {
            frame.push_num(value);
            frame.push_num(ttl_ms as f64 / 1000.0);
            Ok(End::Return(2))
        }
        Err(error) => fail(frame, error.as_str()),
    })
}

fn ttl(frame: &mut Frame<'_>) -> Called {
    on_key(frame, |frame, dict, key| match dict.ttl(key, now_ms()) {
        Ok(ttl_ms) => {
            frame.push_num(ttl_ms as f64 / 1000.0);
            ONE
        }
        Err(error) => fail(frame, error.as_str()),
    })
}

fn expire(frame: &mut Frame<'_>) -> Called {
    let Some(ttl_ms) = milliseconds(frame, 3)? else {
        return Err(Raise::new("bad \"exptime\" argument"));
    };
    on_key(frame, |frame, dict, key| match dict.expire(key, ttl_ms, now_ms()) {
        Ok(()) => {
            frame.push_bool(true);
            ONE
        }
        Err(error) => fail(frame, error.as_str()),
    })
}

type Push = fn(&Dict, &[u8], Put<'_>, u64) -> Outcome<usize>;
type Pop = fn(&Dict, &[u8], u64) -> Result<Option<dict::Value>, DictError>;

fn push(frame: &mut Frame<'_>, push: Push) -> Called {
    if frame.count() < 3 {
        return Err(Raise(format!("expecting 3 arguments, but only seen {}", frame.count())));
    }
    on_key(frame, |frame, dict, key| match put_of(frame, 3) {
        None => fail(frame, DictError::BadValueType.as_str()),
        Some(item) => push_len(frame, push(dict, key, item, now_ms()).result),
    })
}

fn push_len(frame: &mut Frame<'_>, len: Result<usize, DictError>) -> Called {
    match len {
        Ok(len) => frame.push_num(len as f64),
        Err(error) => return fail(frame, error.as_str()),
    }
    ONE
}

fn pop(frame: &mut Frame<'_>, pop: Pop) -> Called {
    on_key(frame, |frame, dict, key| {
        match pop(dict, key, now_ms()) {
            Ok(Some(item)) => push_value(frame, &item),
            Ok(None) => frame.push_nil(),
            Err(error) => return fail(frame, error.as_str()),
        }
        ONE
    })
}

fn llen(frame: &mut Frame<'_>) -> Called {
    on_key(frame, |frame, dict, key| push_len(frame, dict.llen(key, now_ms())))
}

fn flush_all(frame: &mut Frame<'_>) -> Called {
    own(frame)?.flush_all();
    Ok(End::Return(0))
}

fn flush_expired(frame: &mut Frame<'_>) -> Called {
    let dict = own(frame)?;
    let max = bound(frame, "flush_expired", 0.0)?;
    frame.push_num(dict.flush_expired(max, now_ms()) as f64);
    ONE
}

fn get_keys(frame: &mut Frame<'_>) -> Called {
    let dict = own(frame)?;
    let max = bound(frame, "get_keys", KEYS_MAX_DEFAULT)?;
    let keys = dict.get_keys(max, now_ms());
    frame.push_table(keys.len(), 0);
    for (key, at) in keys.iter().zip(1..) {
        frame.push_str(key);
        frame.set_index(at);
    }
    ONE
}

fn capacity(frame: &mut Frame<'_>) -> Called {
    let dict = own(frame)?;
    frame.push_num(dict.capacity() as f64);
    ONE
}

fn free_space(frame: &mut Frame<'_>) -> Called {
    let dict = own(frame)?;
    frame.push_num(dict.free_space() as f64);
    ONE
}
