//! `host.deflate`: gzip and zlib streams, with a bound on what comes out.

use std::io::{Read, Write as _};

use flate2::{
    Compression,
    read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};
use mlua::{Lua, LuaString, Table, Value};

use super::{number_of, string_arg};

/// Bytes that come out at most when the caller gives no bound.
const INFLATED_BYTES_MAX: u64 = 64 << 20;

/// The text, or nil and why.
type Answer = mlua::Result<Result<LuaString, String>>;

/// Fills `host.deflate`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set(
        "inflate_gzip",
        lua.create_function(|lua, (text, max): (Value, Value)| -> Answer {
            let text = string_arg(lua, text, 1, "inflate_gzip")?;
            inflate(lua, MultiGzDecoder::new(&*text.as_bytes()), &max)
        })?,
    )?;
    table.raw_set(
        "inflate_deflate",
        lua.create_function(|lua, (text, max): (Value, Value)| -> Answer {
            let text = string_arg(lua, text, 1, "inflate_deflate")?;
            let bytes = text.as_bytes();
            // "deflate" in HTTP means zlib, but some senders leave its two header bytes out.
            if is_zlib(&bytes) {
                inflate(lua, ZlibDecoder::new(&*bytes), &max)
            } else {
                inflate(lua, DeflateDecoder::new(&*bytes), &max)
            }
        })?,
    )?;
    table.raw_set(
        "gzip",
        lua.create_function(|lua, (text, level): (Value, Value)| -> Answer {
            let text = string_arg(lua, text, 1, "gzip")?;
            let mut encoder = GzEncoder::new(Vec::new(), compression(lua, &level));
            let done = encoder.write_all(&text.as_bytes()).and_then(|()| encoder.finish());
            finish(lua, done)
        })?,
    )?;
    table.raw_set(
        "deflate",
        lua.create_function(|lua, (text, level): (Value, Value)| -> Answer {
            let text = string_arg(lua, text, 1, "deflate")?;
            let mut encoder = ZlibEncoder::new(Vec::new(), compression(lua, &level));
            let done = encoder.write_all(&text.as_bytes()).and_then(|()| encoder.finish());
            finish(lua, done)
        })?,
    )?;
    host.raw_set("deflate", table)
}

fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}

/// 1 to 9; anything else is zlib's default of 6.
fn compression(lua: &Lua, level: &Value) -> Compression {
    match number_of(lua, level) {
        Some(level) if (0.0..=9.0).contains(&level) => Compression::new(level as u32),
        _ => Compression::default(),
    }
}

fn finish(lua: &Lua, done: std::io::Result<Vec<u8>>) -> Answer {
    match done {
        Ok(bytes) => Ok(Ok(lua.create_string(bytes)?)),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn inflate(lua: &Lua, reader: impl Read, max: &Value) -> Answer {
    let max = number_of(lua, max).filter(|max| *max >= 0.0);
    let max = max.map_or(INFLATED_BYTES_MAX, |max| max as u64);
    let mut out = Vec::new();
    match reader.take(max.saturating_add(1)).read_to_end(&mut out) {
        Ok(_) if out.len() as u64 > max => Ok(Err(format!("inflated to more than {max} bytes"))),
        Ok(_) => Ok(Ok(lua.create_string(out)?)),
        Err(error) => Ok(Err(error.to_string())),
    }
}
