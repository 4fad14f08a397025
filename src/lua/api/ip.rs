//! `host.ip`: sets of addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mlua::{Lua, MultiValue, Table, UserData, UserDataMethods, Value};

use super::{raise, text_of};
use crate::route::ip::IpMatcher;

const NOT_AN_ADDRESS: &str = "invalid ip address, not ipv4 and ipv6";

/// Fills `host.ip`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set(
        "matcher",
        lua.create_function(|lua, list: Value| {
            let Value::Table(list) = list else {
                return Err(raise(lua, "missing valid ip argument"));
            };
            let mut entries = Vec::with_capacity(list.raw_len());
            for entry in list.sequence_values::<Value>() {
                entries.push(text_of(lua, entry?)?.to_string_lossy());
            }
            match IpMatcher::new(&entries) {
                Ok(matcher) => Ok(Ok(lua.create_userdata(Matcher(matcher))?)),
                Err(why) => Ok(Err(why)),
            }
        })?,
    )?;
    table.raw_set(
        "parse_ipv4",
        lua.create_function(|_, text: Value| {
            let address = with_text(&text, |text| text.parse::<Ipv4Addr>().ok());
            Ok(match address {
                Some(address) => Value::Number(f64::from(address.to_bits())),
                None => Value::Boolean(false),
            })
        })?,
    )?;
    // Four numbers of 32 bits, the highest first.
    table.raw_set(
        "parse_ipv6",
        lua.create_function(|lua, text: Value| {
            let Some(address) = with_text(&text, parse_ipv6) else {
                return Ok(Value::Boolean(false));
            };
            let bits = address.to_bits();
            let part = |shift: u32| (bits >> shift) as u32;
            let parts = [part(96), part(64), part(32), part(0)];
            Ok(Value::Table(lua.create_sequence_from(parts.map(f64::from))?))
        })?,
    )?;
    host.raw_set("ip", table)
}

struct Matcher(IpMatcher);

impl UserData for Matcher {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods
            .add_method("match", |lua, own, text: Value| own.answer(lua, with_text(&text, parse)));
        methods
            .add_method("match_bin", |lua, own, bytes: Value| own.answer(lua, from_bytes(&bytes)));
    }
}

impl Matcher {
    fn answer(&self, lua: &Lua, address: Option<IpAddr>) -> mlua::Result<MultiValue> {
        let results = match address {
            Some(address) => vec![Value::Boolean(self.0.matches(address))],
            None => {
                vec![Value::Boolean(false), Value::String(lua.create_string(NOT_AN_ADDRESS)?)]
            }
        };
        Ok(MultiValue::from_vec(results))
    }
}

/// `None` for anything that is no text.
fn with_text<T>(text: &Value, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let Value::String(text) = text else { return None };
    let bytes = text.as_bytes();
    std::str::from_utf8(&bytes).ok().and_then(read)
}

fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or(text).parse().ok()
}

fn parse(text: &str) -> Option<IpAddr> {
    match text.parse() {
        Ok(address) => Some(IpAddr::V4(address)),
        Err(_) => parse_ipv6(text).map(IpAddr::V6),
    }
}

fn from_bytes(bytes: &Value) -> Option<IpAddr> {
    let Value::String(bytes) = bytes else { return None };
    let bytes = bytes.as_bytes();
    if let Ok(bytes) = <[u8; 4]>::try_from(&*bytes) {
        return Some(IpAddr::from(bytes));
    }
    <[u8; 16]>::try_from(&*bytes).ok().map(IpAddr::from)
}
