//! `host.yaml`: YAML text as Lua values, read as configuration is, within the same limits.

use mlua::{Lua, Table, Value};

use super::{convert, string_arg};
use crate::config::yaml::{DocumentLimits, parse_all};

/// Fills `host.yaml`: `load(text)` gives the list of documents, or nil and an error with its line.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set(
        "load",
        lua.create_function(|lua, text: Value| {
            let text = string_arg(lua, text, 1, "load")?;
            let parsed = match text.to_str() {
                Ok(text) => parse_all(&text, &DocumentLimits::default()),
                Err(_) => return Ok(Err("invalid UTF-8".to_owned())),
            };
            let documents = match parsed {
                Ok(documents) => documents,
                Err(error) => return Ok(Err(error.to_string())),
            };
            let list = lua.create_table_with_capacity(documents.len(), 0)?;
            for document in &documents {
                list.raw_push(convert::to_lua(lua, document)?)?;
            }
            Ok(Ok(list))
        })?,
    )?;
    host.raw_set("yaml", table)
}
