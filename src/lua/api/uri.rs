//! `host.uri`: escaping, unescaping and query strings, byte for byte as nginx does.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::{bad_argument, number_of, raise, string_arg, text_of, type_name};

/// Pairs [`decode_args`] reads when the caller gives no number.
const ARGS_MAX_DEFAULT: usize = 100;
/// `ngx.escape_uri` without a type: what may stand inside a path segment or an argument.
const COMPONENT: usize = 2;

/// One bit per byte value: whether it is written as `%XX`.
type EscapeSet = [bool; 256];

/// A set of control characters, the listed ones, and those above 127 if `high`.
const fn escape_set(listed: &[u8], high: bool) -> EscapeSet {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = byte < 0x20 || (high && byte >= 0x7f);
        byte += 1;
    }
    let mut at = 0;
    while at < listed.len() {
        set[listed[at] as usize] = true;
        at += 1;
    }
    set
}

/// Everything but letters, digits and `-._~!'()*`.
const fn component_set() -> EscapeSet {
    let mut set = [true; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() || one_of(b"-._~!'()*", byte) {
            set[byte as usize] = false;
        }
        byte += 1;
    }
    set
}

const fn one_of(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

/// Header values: control characters but the tab, and DEL.
const fn header_value_set() -> EscapeSet {
    let mut set = escape_set(&[0x7f], false);
    set[b'\t' as usize] = false;
    set
}

/// By nginx's type number: path, args, component, html, refresh, memcached, mail auth,
/// header name, header value.
static ESCAPE_SETS: [EscapeSet; 9] = [
    escape_set(b" #%?", true),
    escape_set(b" #%+?", true),
    component_set(),
    escape_set(b" \"#%'", true),
    escape_set(b" \"'", true),
    escape_set(b" %", false),
    escape_set(b" %", false),
    escape_set(b" \"(),/:;<=>?@[\\]{}", true),
    header_value_set(),
];

/// Fills `host.uri`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set(
        "escape",
        lua.create_function(|lua, (text, kind): (Value, Value)| escape_call(lua, text, &kind))?,
    )?;
    table.raw_set(
        "unescape",
        lua.create_function(|lua, text: Value| {
            let text = text_or_empty(lua, text)?;
            let bytes = text.as_bytes();
            if memchr::memchr2(b'%', b'+', &bytes).is_none() {
                return Ok(text.clone());
            }
            let mut out = Vec::with_capacity(bytes.len());
            unescape(&bytes, &mut out);
            lua.create_string(out)
        })?,
    )?;
    table.raw_set("encode_args", lua.create_function(encode_args)?)?;
    table.raw_set(
        "decode_args",
        lua.create_function(|lua, (text, max): (Value, Value)| {
            let text = string_arg(lua, text, 1, "decode_args")?;
            let max = match &max {
                Value::Nil => ARGS_MAX_DEFAULT,
                other => match number_of(lua, other) {
                    Some(max) => max.max(0.0) as usize,
                    None => {
                        let why = format!("number expected, got {}", type_name(other));
                        return Err(bad_argument(lua, 2, "decode_args", &why));
                    }
                },
            };
            decode_args(lua, &text.as_bytes(), max)
        })?,
    )?;
    host.raw_set("uri", table)
}

/// nil and false count as the empty string.
fn text_or_empty(lua: &Lua, value: Value) -> mlua::Result<LuaString> {
    match value {
        Value::Nil | Value::Boolean(false) => lua.create_string(""),
        other => text_of(lua, other),
    }
}

fn escape_call(lua: &Lua, text: Value, kind: &Value) -> mlua::Result<LuaString> {
    let text = text_or_empty(lua, text)?;
    let kind = match kind {
        Value::Nil => COMPONENT,
        Value::Integer(_) | Value::Number(_) => {
            let number = number_of(lua, kind).unwrap_or(-1.0);
            if !(0.0..ESCAPE_SETS.len() as f64).contains(&number) {
                return Err(raise(lua, &format!("\"type\" {number} out of range")));
            }
            number as usize
        }
        _ => return Err(raise(lua, "\"type\" is not a number")),
    };
    let Some(set) = ESCAPE_SETS.get(kind) else {
        return Err(raise(lua, &format!("\"type\" {kind} out of range")));
    };
    let bytes = text.as_bytes();
    if !bytes.iter().any(|&byte| set[usize::from(byte)]) {
        return Ok(text.clone());
    }
    let mut out = Vec::with_capacity(bytes.len() * 3);
    escape(&bytes, set, &mut out);
    lua.create_string(out)
}

fn escape(text: &[u8], set: &EscapeSet, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if set[usize::from(byte)] {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        } else {
            out.push(byte);
        }
    }
}

/// `%XX` and `+`; a `%` without two hex digits stays.
fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match tail {
                [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    let value = hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0);
                    out.push(value.to_le_bytes()[0]);
                    rest = &tail[2..];
                }
                _ => out.push(b'%'),
            },
            other => out.push(other),
        }
    }
}

/// `ngx.encode_args`: `true` is a bare name, `false` nothing, a table repeats the name.
fn encode_args(lua: &Lua, args: Value) -> mlua::Result<LuaString> {
    let Value::Table(args) = args else {
        let why = format!("table expected, got {}", type_name(&args));
        return Err(bad_argument(lua, 1, "encode_args", &why));
    };
    let mut out = Vec::new();
    let mut problem = None;
    args.for_each(|name: Value, value: Value| {
        let Value::String(name) = name else {
            problem = Some("attempt to use a non-string key in the \"args\" option table".into());
            return Ok(());
        };
        let name = name.as_bytes();
        match value {
            Value::Table(values) => values.for_each(|_: Value, value: Value| {
                append_pair(lua, &mut out, &name, value, &mut problem)
            }),
            other => append_pair(lua, &mut out, &name, other, &mut problem),
        }
    })?;
    match problem {
        Some(why) => Err(raise(lua, &why)),
        None => lua.create_string(out),
    }
}

fn append_pair(
    lua: &Lua,
    out: &mut Vec<u8>,
    name: &[u8],
    value: Value,
    problem: &mut Option<String>,
) -> mlua::Result<()> {
    let set = &ESCAPE_SETS[COMPONENT];
    let value = match value {
        Value::Boolean(false) => return Ok(()),
        Value::Boolean(true) => None,
        Value::String(_) | Value::Integer(_) | Value::Number(_) => Some(text_of(lua, value)?),
        other => {
            *problem = Some(format!("attempt to use {} as query arg value", type_name(&other)));
            return Ok(());
        }
    };
    if !out.is_empty() {
        out.push(b'&');
    }
    escape(name, set, out);
    if let Some(value) = value {
        out.push(b'=');
        escape(&value.as_bytes(), set, out);
    }
    Ok(())
}

/// `ngx.decode_args`: a repeated name gives an array, a bare one `true`. The second result
/// is `"truncated"` when `max` pairs were read and a separator followed; 0 means no bound.
fn decode_args(lua: &Lua, text: &[u8], max: usize) -> mlua::Result<MultiValue> {
    let args = lua.create_table_with_capacity(0, 4)?;
    let mut seen = 0;
    let mut rest = text;
    let (mut name, mut value) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let end = memchr::memchr(b'&', rest);
        let pair = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[][..], |end| &rest[end + 1..]);
        let equals = memchr::memchr(b'=', pair);
        name.clear();
        unescape(&pair[..equals.unwrap_or(pair.len())], &mut name);
        if !name.is_empty() {
            let value = match equals {
                Some(equals) => {
                    value.clear();
                    unescape(&pair[equals + 1..], &mut value);
                    Value::String(lua.create_string(&value)?)
                }
                None => Value::Boolean(true),
            };
            add_value(lua, &args, &name, value)?;
        }
        seen += 1;
        if seen == max && end.is_some() {
            let truncated = Value::String(lua.create_string("truncated")?);
            return Ok(MultiValue::from_iter([Value::Table(args), truncated]));
        }
    }
    Ok(MultiValue::from_iter([Value::Table(args)]))
}

fn add_value(lua: &Lua, args: &Table, name: &[u8], value: Value) -> mlua::Result<()> {
    let name = lua.create_string(name)?;
    match args.raw_get(&name)? {
        Value::Nil => args.raw_set(name, value),
        Value::Table(list) => list.raw_push(value),
        first => args.raw_set(name, lua.create_sequence_from([first, value])?),
    }
}
