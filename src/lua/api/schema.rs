//! `host.schema`: checks plugin configuration and writes missing defaults into it.

use mlua::{AnyUserData, Lua, Table, UserData, Value};

use super::{
    convert::{from_lua, to_lua},
    raise,
};
use crate::config::{
    lookup::is_reference,
    schema::{CheckOptions, PathStep, Schema},
};

/// A compiled schema as the cache in Lua holds it.
struct Compiled(Result<Schema, String>);

impl UserData for Compiled {}

/// `true`, or false and what is wrong.
type Verdict = (bool, Option<String>);

/// Fills `host.schema`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    // Weak keys: a plugin that is reloaded takes its schema tables with it.
    let cache = lua.create_table()?;
    let meta = lua.create_table()?;
    meta.raw_set("__mode", "k")?;
    cache.set_metatable(Some(meta))?;
    let compiled_before = cache.clone();
    let check = lua.create_function(move |lua, args: (Value, Value, Option<Table>)| {
        check_call(lua, &cache, args)
    })?;
    table.raw_set("check", check)?;
    let compile = lua
        .create_function(move |lua, schema: Value| compile_call(lua, &compiled_before, &schema))?;
    table.raw_set("compile", compile)?;
    host.raw_set("schema", table)
}

fn check_call(
    lua: &Lua,
    cache: &Table,
    (schema, conf, options): (Value, Value, Option<Table>),
) -> mlua::Result<Verdict> {
    let skip_secrets = match options {
        Some(options) => options.raw_get::<Option<bool>>("skip_secrets")?.unwrap_or(true),
        None => true,
    };
    let compiled = match &schema {
        Value::Table(schema) => compiled(lua, cache, schema)?,
        Value::Boolean(true) => return Ok((true, None)),
        Value::Boolean(false) => {
            return Ok((false, Some("expected false to always fail".to_owned())));
        }
        other => {
            let why = format!("schema must be a table, got {}", super::type_name(other));
            return Err(raise(lua, &why));
        }
    };
    let compiled = compiled.borrow::<Compiled>()?;
    let schema = match &compiled.0 {
        Ok(schema) => schema,
        Err(why) => return Ok((false, Some(why.clone()))),
    };
    let mut value = match from_lua(lua, &conf) {
        Ok(value) => value,
        Err(error) => return Ok((false, Some(plain(&error)))),
    };
    let skip: Option<&dyn Fn(&str) -> bool> = if skip_secrets { Some(&is_reference) } else { None };
    let options = CheckOptions { lua_tables: true, skip };
    let mut patches = Vec::new();
    let verdict = schema.check_recording(&mut value, &options, &mut patches);
    if let Value::Table(conf) = &conf {
        for patch in &patches {
            write(lua, conf, &patch.path, &patch.value)?;
        }
    }
    Ok(match verdict {
        Ok(()) => (true, None),
        Err(why) => (false, Some(why)),
    })
}

/// Whether a schema is one, or what is wrong with it.
fn compile_call(lua: &Lua, cache: &Table, schema: &Value) -> mlua::Result<Verdict> {
    let Value::Table(schema) = schema else {
        let known = matches!(schema, Value::Boolean(_));
        let why = || format!("schema must be a table, got {}", super::type_name(schema));
        return Ok((known, (!known).then(why)));
    };
    let compiled = compiled(lua, cache, schema)?;
    let compiled = compiled.borrow::<Compiled>()?;
    Ok(match &compiled.0 {
        Ok(_) => (true, None),
        Err(why) => (false, Some(why.clone())),
    })
}

/// The compiled form of a schema table, made once as long as the table lives.
fn compiled(lua: &Lua, cache: &Table, schema: &Table) -> mlua::Result<AnyUserData> {
    if let Value::UserData(known) = cache.raw_get(schema)? {
        return Ok(known);
    }
    let result = match from_lua(lua, &Value::Table(schema.clone())) {
        Ok(schema) => Schema::compile(&schema).map_err(|error| error.to_string()),
        Err(error) => Err(format!("invalid schema: {}", plain(&error))),
    };
    let made = lua.create_userdata(Compiled(result))?;
    cache.raw_set(schema, &made)?;
    Ok(made)
}

/// Writes one default; a path that no longer leads anywhere is none of our business.
fn write(
    lua: &Lua,
    conf: &Table,
    path: &[PathStep],
    value: &serde_json::Value,
) -> mlua::Result<()> {
    let Some((last, way)) = path.split_last() else { return Ok(()) };
    let mut table = conf.clone();
    for step in way {
        match member(&table, step)? {
            Value::Table(next) => table = next,
            _ => return Ok(()),
        }
    }
    let value = to_lua(lua, value)?;
    match last {
        PathStep::Key(name) => table.raw_set(name.as_str(), value),
        PathStep::Index(index) => table.raw_set(index + 1, value),
    }
}

fn member(table: &Table, step: &PathStep) -> mlua::Result<Value> {
    match step {
        PathStep::Index(index) => table.raw_get(index + 1),
        PathStep::Key(name) => match table.raw_get(name.as_str())? {
            // Keys that are numbers in Lua went through the checker as text.
            Value::Nil => match name.parse::<f64>() {
                Ok(number) => table.raw_get(number),
                Err(_) => Ok(Value::Nil),
            },
            found => Ok(found),
        },
    }
}

fn plain(error: &mlua::Error) -> String {
    match error {
        mlua::Error::RuntimeError(why) => why.clone(),
        other => other.to_string(),
    }
}
