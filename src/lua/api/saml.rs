//! `host.saml`: messages of SAML 2.0 as tables, what `resty.saml` stands on.
//!
//! An element is a table: its `name`, its `space` ("saml", "samlp", "ds", or none), its
//! `attributes` by their names, its `text`, and its child elements as a list.

use mlua::{Lua, LuaString, Table};

use super::pkey;
use crate::codec::saml::{self, Element, Space};

/// The message, or nil and why it is refused.
type Answer = mlua::Result<Result<Table, String>>;

/// Fills `host.saml`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set("verify", lua.create_function(verify)?)?;
    table.raw_set("read", lua.create_function(read)?)?;
    table.raw_set("scheme", lua.create_function(|_, uri: String| Ok(saml::scheme(&uri)))?)?;
    table.raw_set("BYTES_MAX", saml::BYTES_MAX)?;
    host.raw_set("saml", table)
}

/// `verify(text, public)`: what of a message the key of that DER has signed.
fn verify(lua: &Lua, (text, key): (LuaString, LuaString)) -> Answer {
    let key = key.as_bytes();
    let check = |scheme: &str, text: &[u8], sum: &[u8]| {
        pkey::holds(scheme, &key, text, sum).is_ok_and(|good| good)
    };
    answer(lua, saml::verify(&text.as_bytes(), &check))
}

/// `read(text)`: a message whose signature is elsewhere.
fn read(lua: &Lua, text: LuaString) -> Answer {
    answer(lua, saml::read(&text.as_bytes()))
}

fn answer(lua: &Lua, found: Result<Element, saml::Fault>) -> Answer {
    match found {
        Ok(element) => Ok(Ok(table_of(lua, &element)?)),
        Err(why) => Ok(Err(why.to_string())),
    }
}

/// An element, which is no deeper than the reader allows.
fn table_of(lua: &Lua, element: &Element) -> mlua::Result<Table> {
    let attributes = lua.create_table_with_capacity(0, element.attributes.len())?;
    for (name, value) in &element.attributes {
        attributes.raw_set(name.as_str(), value.as_str())?;
    }
    let table = lua.create_table_with_capacity(element.children.len(), 4)?;
    table.raw_set("name", element.name.as_str())?;
    table.raw_set(
        "space",
        match element.space {
            Space::Assertion => Some("saml"),
            Space::Protocol => Some("samlp"),
            Space::Signature => Some("ds"),
            Space::Other => None,
        },
    )?;
    table.raw_set("attributes", attributes)?;
    table.raw_set("text", element.text.as_str())?;
    for child in &element.children {
        table.raw_push(table_of(lua, child)?)?;
    }
    Ok(table)
}
