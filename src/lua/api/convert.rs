//! Between Lua values and `serde_json` values.
//!
//! Arrays that come from Rust carry cjson's `array_mt`, so that an empty one stays an
//! array when a plugin encodes it; numbers are doubles, as everywhere in LuaJIT.

use mlua::{Lua, LuaString, Table, Value};
use serde_json::{Map, Number, Value as Json};

use super::{
    each_pair,
    json::{Marks, null, write_number},
};

/// Deepest nesting either way.
const DEPTH_MAX: usize = 200;
/// Most values one conversion from Lua visits: plugins hang objects with cycles into
/// their configuration.
const VALUES_MAX: usize = 1_000_000;

/// Makes the Lua value for `value`; JSON `null` becomes `ngx.null`.
///
/// # Errors
///
/// The VM is out of memory, or `value` is nested more than 200 deep.
pub(crate) fn to_lua(lua: &Lua, value: &Json) -> mlua::Result<Value> {
    Writer { lua, marks: Marks::of(lua)? }.value(value, 0)
}

/// Makes the JSON value for a Lua value.
///
/// A table is an array if it has `array_mt` or its keys are exactly 1..n with n > 0; an
/// empty one is an object. Functions, threads and userdata have no JSON form: left out of
/// objects, `null` in arrays. Bytes that are not UTF-8 are replaced.
///
/// # Errors
///
/// Nested more than 200 deep, or more than a million values.
pub(crate) fn from_lua(lua: &Lua, value: &Value) -> mlua::Result<Json> {
    let mut reader = Reader { marks: Marks::of(lua)?, left: VALUES_MAX };
    Ok(reader.value(value, 0)?.unwrap_or(Json::Null))
}

fn refuse<T>(why: &str) -> mlua::Result<T> {
    Err(mlua::Error::RuntimeError(why.to_owned()))
}

struct Writer<'w> {
    lua: &'w Lua,
    marks: Marks,
}

impl Writer<'_> {
    fn value(&self, value: &Json, depth: usize) -> mlua::Result<Value> {
        if depth > DEPTH_MAX {
            return refuse("value is nested too deeply");
        }
        Ok(match value {
            Json::Null => null(),
            Json::Bool(flag) => Value::Boolean(*flag),
            Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Value::String(self.lua.create_string(text)?),
            Json::Array(items) => {
                let table = self.lua.create_table_with_capacity(items.len(), 0)?;
                for (index, item) in items.iter().enumerate() {
                    table.raw_set(index + 1, self.value(item, depth + 1)?)?;
                }
                table.set_metatable(Some(self.marks.array.clone()))?;
                Value::Table(table)
            }
            Json::Object(fields) => {
                let table = self.lua.create_table_with_capacity(0, fields.len())?;
                for (name, field) in fields {
                    table.raw_set(name.as_str(), self.value(field, depth + 1)?)?;
                }
                Value::Table(table)
            }
        })
    }
}

struct Reader {
    marks: Marks,
    left: usize,
}

impl Reader {
    /// `None` for what JSON cannot say.
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<Option<Json>> {
        let Some(left) = self.left.checked_sub(1) else {
            return refuse("value has too many parts");
        };
        self.left = left;
        Ok(Some(match value {
            Value::Nil => Json::Null,
            Value::LightUserData(data) if data.0.is_null() => Json::Null,
            Value::Boolean(flag) => Json::Bool(*flag),
            Value::Integer(number) => Json::Number(Number::from(*number)),
            Value::Number(number) => json_number(*number),
            Value::String(text) => Json::String(text_of(text)),
            Value::Table(table) if depth < DEPTH_MAX => self.table(table, depth + 1)?,
            Value::Table(_) => return refuse("value is nested too deeply"),
            _ => return Ok(None),
        }))
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<Json> {
        let marked = table.metatable().is_some_and(|meta| meta == self.marks.array);
        let len = table.raw_len();
        if marked || (len > 0 && is_sequence(table, len)?) {
            let mut items = Vec::with_capacity(len);
            for index in 1..=len {
                let item = self.value(&table.raw_get(index)?, depth)?;
                items.push(item.unwrap_or(Json::Null));
            }
            return Ok(Json::Array(items));
        }
        let mut fields = Map::new();
        each_pair(table, depth, &mut |key, field| {
            let name = match &key {
                Value::String(name) => text_of(name),
                Value::Integer(number) => number.to_string(),
                Value::Number(number) => {
                    let mut name = Vec::new();
                    write_number(&mut name, *number, 14);
                    String::from_utf8_lossy(&name).into_owned()
                }
                _ => return Ok(()),
            };
            if let Some(field) = self.value(&field, depth)? {
                fields.insert(name, field);
            }
            Ok(())
        })?;
        Ok(Json::Object(fields))
    }
}

/// Whether the keys are exactly 1..`len`.
fn is_sequence(table: &Table, len: usize) -> mlua::Result<bool> {
    let mut keys = 0;
    let mut all = true;
    let last = len as f64;
    table.for_each(|key: Value, _: Value| {
        keys += 1;
        let index = match key {
            Value::Integer(index) => index as f64,
            Value::Number(index) => index,
            _ => 0.0,
        };
        all = all && index.trunc() == index && (1.0..=last).contains(&index);
        Ok(())
    })?;
    Ok(all && keys == len)
}

/// Integral doubles become JSON integers as far as a double is exact.
fn json_number(number: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.trunc() == number && number.abs() <= EXACT {
        return Json::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

fn text_of(text: &LuaString) -> String {
    text.to_string_lossy()
}
