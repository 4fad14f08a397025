//! `host.dict`: the dictionaries all workers share, with the methods of `ngx.shared.DICT`.

use std::sync::Arc;

use mlua::{Lua, LuaString, MultiValue, Table, UserData, UserDataMethods, Value};

use super::{ApiDeps, number_of, raise, string_arg, text_of, type_name};
use crate::{
    clock,
    shared::dict::{self, Dict, DictError, Found, Init, Life, Outcome, Put},
};

/// Keys `get_keys` returns when the caller gives no number.
const KEYS_MAX_DEFAULT: f64 = 1024.0;

/// Fills `host.dict`.
pub(super) fn register(lua: &Lua, host: &Table, deps: &ApiDeps) -> mlua::Result<()> {
    let table = lua.create_table()?;
    let dicts = Arc::clone(&deps.dicts);
    // One object per dictionary and VM, so that identity holds.
    let made = lua.create_table()?;
    let get = lua.create_function(move |lua, name: Value| {
        let name = string_arg(lua, name, 1, "get")?;
        if let object @ Value::UserData(_) = made.raw_get(&name)? {
            return Ok(object);
        }
        let Some(dict) = dicts.get(&name.to_string_lossy()) else { return Ok(Value::Nil) };
        let object = Value::UserData(lua.create_userdata(Shared(dict))?);
        made.raw_set(name, &object)?;
        Ok(object)
    })?;
    table.raw_set("get", get)?;
    host.raw_set("dict", table)
}

/// The object Lua holds.
struct Shared(Arc<Dict>);

/// Arguments of the writing methods: key, value, lifetime in seconds, flags.
type StoreArgs = (Value, Value, Value, Value);
type Store = fn(&Dict, &[u8], Put<'_>, Life, u64) -> Outcome<()>;

impl UserData for Shared {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("get", |lua, own, key: Value| get(lua, &own.0, key));
        methods.add_method("get_stale", |lua, own, key: Value| get_stale(lua, &own.0, key));
        methods.add_method("incr", |lua, own, args: (Value, Value, Value, Value)| {
            incr(lua, &own.0, args)
        });
        let stores: [(&str, Store); 5] = [
            ("set", Dict::set),
            ("safe_set", Dict::safe_set),
            ("add", Dict::add),
            ("safe_add", Dict::safe_add),
            ("replace", Dict::replace),
        ];
        for (name, write) in stores {
            methods
                .add_method(name, move |lua, own, args: StoreArgs| store(lua, &own.0, args, write));
        }
        methods.add_method("delete", |lua, own, key: Value| {
            store(lua, &own.0, (key, Value::Nil, Value::Nil, Value::Nil), Dict::set)
        });
        methods.add_method("ttl", |lua, own, key: Value| {
            with_key(lua, key, |key| {
                let ttl = own.0.ttl(key, now_ms()).map(|ttl_ms| ttl_ms as f64 / 1000.0);
                answer(lua, ttl.map(Value::Number))
            })
        });
        methods.add_method("expire", |lua, own, (key, seconds): (Value, Value)| {
            let Some(ttl_ms) = milliseconds(lua, &seconds)? else {
                return Err(raise(lua, "bad \"exptime\" argument"));
            };
            with_key(lua, key, |key| {
                answer(lua, own.0.expire(key, ttl_ms, now_ms()).map(|()| Value::Boolean(true)))
            })
        });
        add_lists(methods);
        methods.add_method("flush_all", |_, own, (): ()| {
            own.0.flush_all();
            Ok(())
        });
        methods.add_method("flush_expired", |lua, own, max: Value| {
            let max = number_of(lua, &max).map_or(0, |max| max.max(0.0) as usize);
            Ok(own.0.flush_expired(max, now_ms()) as f64)
        });
        methods.add_method("get_keys", |lua, own, max: Value| {
            let max = number_of(lua, &max).unwrap_or(KEYS_MAX_DEFAULT).max(0.0) as usize;
            let keys = own.0.get_keys(max, now_ms());
            lua.create_sequence_from(keys.into_iter().map(LuaString::wrap))
        });
        methods.add_method("capacity", |_, own, (): ()| Ok(own.0.capacity() as f64));
        methods.add_method("free_space", |_, own, (): ()| Ok(own.0.free_space() as f64));
    }
}

type Push = fn(&Dict, &[u8], Put<'_>, u64) -> Outcome<usize>;
type Pop = fn(&Dict, &[u8], u64) -> Result<Option<dict::Value>, DictError>;

fn add_lists<M: UserDataMethods<Shared>>(methods: &mut M) {
    let pushes: [(&str, Push); 2] = [("lpush", Dict::lpush), ("rpush", Dict::rpush)];
    for (name, push) in pushes {
        methods.add_method(name, move |lua, own, (key, item): (Value, Value)| {
            with_key(lua, key, |key| {
                with_put(&item, |item| {
                    let outcome = push(&own.0, key, item, now_ms());
                    answer(lua, outcome.result.map(|len| Value::Number(len as f64)))
                })
                .unwrap_or_else(|| answer(lua, Err(DictError::BadValueType)))
            })
        });
    }
    let pops: [(&str, Pop); 2] = [("lpop", Dict::lpop), ("rpop", Dict::rpop)];
    for (name, pop) in pops {
        methods.add_method(name, move |lua, own, key: Value| {
            with_key(lua, key, |key| {
                let item = match pop(&own.0, key, now_ms()) {
                    Ok(Some(item)) => Ok(to_lua(lua, &item)?),
                    Ok(None) => Ok(Value::Nil),
                    Err(error) => Err(error),
                };
                answer(lua, item)
            })
        });
    }
    methods.add_method("llen", |lua, own, key: Value| {
        with_key(lua, key, |key| {
            let len = own.0.llen(key, now_ms());
            answer(lua, len.map(|len| Value::Number(len as f64)))
        })
    });
}

fn now_ms() -> u64 {
    u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX)
}

/// Exactly these results.
fn results<const N: usize>(values: [Value; N]) -> MultiValue {
    MultiValue::from_vec(Vec::from(values))
}

/// One result, or nil and the message.
fn answer(lua: &Lua, result: Result<Value, DictError>) -> mlua::Result<MultiValue> {
    match result {
        Ok(value) => Ok(results([value])),
        Err(error) => Ok(results([Value::Nil, message(lua, error)?])),
    }
}

fn message(lua: &Lua, error: DictError) -> mlua::Result<Value> {
    Ok(Value::String(lua.create_string(error.as_str())?))
}

/// Runs `then` with the bytes of a key; a missing, empty or overlong one is answered here.
fn with_key(
    lua: &Lua,
    key: Value,
    then: impl FnOnce(&[u8]) -> mlua::Result<MultiValue>,
) -> mlua::Result<MultiValue> {
    if key.is_nil() {
        let why = Value::String(lua.create_string("nil key")?);
        return Ok(results([Value::Nil, why]));
    }
    let key = text_of(lua, key)?;
    let key = key.as_bytes();
    if key.is_empty() {
        return answer(lua, Err(DictError::EmptyKey));
    }
    if key.len() > dict::KEY_BYTES_MAX {
        return answer(lua, Err(DictError::KeyTooLong));
    }
    then(&key)
}

/// Runs `then` with the value to store; `None` for a type that cannot be stored.
fn with_put<T>(value: &Value, then: impl FnOnce(Put<'_>) -> T) -> Option<T> {
    Some(match value {
        Value::Nil => then(Put::Nil),
        Value::Boolean(flag) => then(Put::Bool(*flag)),
        Value::Integer(number) => then(Put::Number(*number as f64)),
        Value::Number(number) => then(Put::Number(*number)),
        Value::String(text) => then(Put::Bytes(&text.as_bytes())),
        _ => return None,
    })
}

fn to_lua(lua: &Lua, value: &dict::Value) -> mlua::Result<Value> {
    Ok(match value {
        dict::Value::Bool(flag) => Value::Boolean(*flag),
        dict::Value::Number(number) => Value::Number(*number),
        dict::Value::Bytes(bytes) => Value::String(lua.create_string(bytes)?),
    })
}

/// Seconds to milliseconds; `None` for nil and false. A negative time raises.
fn milliseconds(lua: &Lua, seconds: &Value) -> mlua::Result<Option<u64>> {
    if matches!(seconds, Value::Nil | Value::Boolean(false)) {
        return Ok(None);
    }
    match number_of(lua, seconds) {
        Some(seconds) if seconds >= 0.0 => Ok(Some((seconds * 1000.0) as u64)),
        _ => Err(raise(lua, "bad \"exptime\" argument")),
    }
}

fn get(lua: &Lua, dict: &Dict, key: Value) -> mlua::Result<MultiValue> {
    with_key(lua, key, |key| match dict.get(key, now_ms()) {
        Ok(None) => Ok(results([Value::Nil])),
        Ok(Some(Found { value, flags: 0, .. })) => Ok(results([to_lua(lua, &value)?])),
        Ok(Some(Found { value, flags, .. })) => {
            Ok(results([to_lua(lua, &value)?, Value::Number(f64::from(flags))]))
        }
        Err(error) => answer(lua, Err(error)),
    })
}

fn get_stale(lua: &Lua, dict: &Dict, key: Value) -> mlua::Result<MultiValue> {
    with_key(lua, key, |key| match dict.get_stale(key, now_ms()) {
        Ok(None) => Ok(results([Value::Nil])),
        Ok(Some(found)) => {
            let flags = match found.flags {
                0 => Value::Nil,
                flags => Value::Number(f64::from(flags)),
            };
            Ok(results([to_lua(lua, &found.value)?, flags, Value::Boolean(found.stale)]))
        }
        Err(error) => answer(lua, Err(error)),
    })
}

fn store(
    lua: &Lua,
    dict: &Dict,
    (key, value, seconds, flags): StoreArgs,
    write: Store,
) -> mlua::Result<MultiValue> {
    let ttl_ms = milliseconds(lua, &seconds)?.unwrap_or(0);
    let flags = number_of(lua, &flags).map_or(0, |flags| flags as i64 as u32);
    with_key(lua, key, |key| {
        let life = Life { ttl_ms, flags };
        let outcome = with_put(&value, |value| write(dict, key, value, life, now_ms()));
        match outcome {
            None => answer(lua, Err(DictError::BadValueType)),
            Some(Outcome { result: Ok(()), forcible }) => {
                Ok(results([Value::Boolean(true), Value::Nil, Value::Boolean(forcible)]))
            }
            Some(Outcome { result: Err(error), forcible }) => {
                let why = message(lua, error)?;
                Ok(results([Value::Boolean(false), why, Value::Boolean(forcible)]))
            }
        }
    })
}

fn incr(
    lua: &Lua,
    dict: &Dict,
    (key, delta, init, init_ttl): (Value, Value, Value, Value),
) -> mlua::Result<MultiValue> {
    let number = |value: &Value, name: &str| {
        number_of(lua, value).ok_or_else(|| {
            let got = type_name(value);
            raise(lua, &format!("bad {name} arg: number expected, got {got}"))
        })
    };
    let delta = number(&delta, "value")?;
    let init = match init {
        Value::Nil | Value::Boolean(false) => None,
        other => Some(number(&other, "init")?),
    };
    let ttl_s = match init_ttl {
        Value::Nil => 0.0,
        other => {
            let ttl_s = number(&other, "init_ttl")?;
            if ttl_s < 0.0 {
                return Err(raise(lua, "bad \"init_ttl\" argument"));
            }
            if init.is_none() {
                let why = "must provide \"init\" when providing \"init_ttl\"";
                return Err(raise(lua, why));
            }
            ttl_s
        }
    };
    let start = init.map(|value| Init { value, ttl_ms: (ttl_s * 1000.0) as u64 });
    with_key(lua, key, |key| {
        let outcome = dict.incr(key, delta, start, now_ms());
        match outcome.result {
            Ok(value) if init.is_none() => Ok(results([Value::Number(value)])),
            Ok(value) => {
                let forcible = Value::Boolean(outcome.forcible);
                Ok(results([Value::Number(value), Value::Nil, forcible]))
            }
            Err(error) => answer(lua, Err(error)),
        }
    })
}
