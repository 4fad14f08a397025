//! `host.json`: JSON as OpenResty's cjson reads and writes it.
//!
//! Strings are bytes and pass through untouched, numbers are doubles printed with 14
//! digits, an empty table is an object unless marked otherwise. `host.json.encode` and
//! `decode` use the default settings; `host.json.instance()` gives a pair with settings of
//! its own, as `cjson.new()` does.

mod decode;
mod encode;
mod number;
mod settings;

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    rc::Rc,
};

use mlua::{LightUserData, Lua, Table, Value};

pub(super) use self::number::write_number;
use self::settings::Settings;
use super::string_arg;

/// A buffer that grew beyond this many bytes is not kept for the next call.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Its address is `cjson.empty_array`.
static EMPTY_ARRAY: u8 = 0;

/// The metatables that decide how an empty table is written, one pair per VM.
#[derive(Clone)]
pub(crate) struct Marks {
    /// Always an array.
    pub(crate) array: Table,
    /// An array if it has no other keys.
    pub(crate) empty_array: Table,
}

impl Marks {
    /// The marks of this VM, made on first use.
    pub(crate) fn of(lua: &Lua) -> mlua::Result<Self> {
        if let Some(marks) = lua.app_data_ref::<Self>() {
            return Ok(marks.clone());
        }
        let marks = Self { array: lua.create_table()?, empty_array: lua.create_table()? };
        lua.set_app_data(marks.clone());
        Ok(marks)
    }
}

/// `cjson.null`, which is `ngx.null` too.
pub(crate) fn null() -> Value {
    Value::LightUserData(LightUserData(std::ptr::null_mut()))
}

/// `cjson.empty_array`.
fn empty_array() -> LightUserData {
    LightUserData((&raw const EMPTY_ARRAY).cast_mut().cast::<c_void>())
}

/// One encoder and decoder with its settings, shared by the closures Lua holds.
struct Instance {
    settings: RefCell<Settings>,
    marks: Marks,
    buffer: Cell<Vec<u8>>,
}

/// Fills `host.json`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let marks = Marks::of(lua)?;
    let table = instance(lua, &marks, Settings::default())?;
    table.raw_set("null", null())?;
    table.raw_set("empty_array", empty_array())?;
    table.raw_set("array_mt", &marks.array)?;
    table.raw_set("empty_array_mt", &marks.empty_array)?;
    table.raw_set("set", Value::Nil)?;
    let make = lua.create_function(move |lua, options: Option<Table>| {
        let mut settings = Settings::default();
        if let Some(options) = options {
            settings.read(&options)?;
        }
        instance(lua, &marks, settings)
    })?;
    table.raw_set("instance", make)?;
    host.raw_set("json", table)
}

/// `{ encode =, decode =, set = }` over one set of settings.
fn instance(lua: &Lua, marks: &Marks, settings: Settings) -> mlua::Result<Table> {
    let own = Rc::new(Instance {
        settings: RefCell::new(settings),
        marks: marks.clone(),
        buffer: Cell::default(),
    });
    let table = lua.create_table()?;
    let instance = Rc::clone(&own);
    let encode = lua.create_function(move |lua, (value, options): (Value, Option<Table>)| {
        // Settings are copied, because `__len` may call back and change them.
        let mut settings = instance.settings.borrow().clone();
        if let Some(options) = options {
            settings.read(&options)?;
        }
        let mut out = instance.buffer.take();
        out.clear();
        let result = encode::encode(lua, &settings, &instance.marks, &value, &mut out);
        let answer = match result {
            Ok(()) => Ok(lua.create_string(&out)?),
            Err(why) => Err(why),
        };
        if out.capacity() <= BUFFER_BYTES_KEPT {
            instance.buffer.set(out);
        }
        Ok(answer)
    })?;
    table.raw_set("encode", encode)?;

    let instance = Rc::clone(&own);
    let decode = lua.create_function(move |lua, text: Value| {
        let text = string_arg(lua, text, 1, "decode")?;
        let settings = instance.settings.borrow();
        match decode::decode(lua, &settings, &instance.marks, &text.as_bytes()) {
            Ok(value) => Ok(Ok(value)),
            Err(decode::Failure::Text(why)) => Ok(Err(why)),
            Err(decode::Failure::Lua(error)) => Err(error),
        }
    })?;
    table.raw_set("decode", decode)?;

    let set = lua.create_function(move |lua, (name, args): (String, mlua::Variadic<Value>)| {
        own.settings.borrow_mut().call(lua, &name, &args)
    })?;
    table.raw_set("set", set)?;
    Ok(table)
}
