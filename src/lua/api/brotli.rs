//! `host.brotli`: streams of Brotli (RFC 7932), with a bound on what comes out of one.

use std::{
    cell::RefCell,
    io::{self, Write as _},
};

use brotli::{
    CompressorWriter, DecompressorWriter,
    enc::{BrotliEncoderParams, backward_references::BrotliEncoderMode},
};
use mlua::{Lua, LuaString, Table, UserData, UserDataMethods, Value};

use super::{number_of, string_arg};

/// Bytes that come out of one stream at most.
const UNPACKED_BYTES_MAX: usize = 1 << 30;

/// Bytes that a stream works on at a time.
const BUFFER_BYTES: usize = 16 << 10;

/// What came out of a stream since it was asked last.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    total: usize,
    max: Option<usize>,
}

impl io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.total = self.total.saturating_add(bytes.len());
        if self.max.is_some_and(|max| self.total > max) {
            return Err(io::Error::other("more comes out than is allowed"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that packs; nothing after its end.
struct Packer(RefCell<Option<CompressorWriter<Out>>>);

/// A stream that unpacks; nothing after its end.
struct Unpacker(RefCell<Option<DecompressorWriter<Out>>>);

fn ended() -> io::Error {
    io::Error::other("the stream has ended")
}

impl Packer {
    /// Takes a piece in; what has come out so far, all of it if `flush`.
    fn write(&self, piece: &[u8], flush: bool) -> io::Result<Vec<u8>> {
        let mut stream = self.0.borrow_mut();
        let stream = stream.as_mut().ok_or_else(ended)?;
        stream.write_all(piece)?;
        if flush {
            stream.flush()?;
        }
        Ok(std::mem::take(&mut stream.get_mut().bytes))
    }

    fn finish(&self) -> io::Result<Vec<u8>> {
        let stream = self.0.borrow_mut().take().ok_or_else(ended)?;
        Ok(stream.into_inner().bytes)
    }
}

impl Unpacker {
    fn write(&self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.0.borrow_mut();
        let stream = stream.as_mut().ok_or_else(ended)?;
        stream.write_all(piece)?;
        Ok(std::mem::take(&mut stream.get_mut().bytes))
    }

    fn finish(&self) -> io::Result<Vec<u8>> {
        let mut stream = self.0.borrow_mut().take().ok_or_else(ended)?;
        stream.close()?;
        match stream.into_inner() {
            Ok(out) => Ok(out.bytes),
            Err(_) => Err(io::Error::other("the stream ends too early")),
        }
    }
}

/// The bytes as a string; an error raises.
fn answer(lua: &Lua, done: io::Result<Vec<u8>>) -> mlua::Result<LuaString> {
    match done {
        Ok(bytes) => lua.create_string(bytes),
        Err(error) => Err(super::raise(lua, &format!("brotli: {error}"))),
    }
}

impl UserData for Packer {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("compress", |lua, this, piece: Value| {
            let piece = string_arg(lua, piece, 1, "compress")?;
            answer(lua, this.write(&piece.as_bytes(), false))
        });
        methods.add_method("flush", |lua, this, ()| answer(lua, this.write(&[], true)));
        methods.add_method("finish", |lua, this, ()| answer(lua, this.finish()));
    }
}

impl UserData for Unpacker {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("decompress", |lua, this, piece: Value| {
            let piece = string_arg(lua, piece, 1, "decompress")?;
            answer(lua, this.write(&piece.as_bytes()))
        });
        methods.add_method("finish", |lua, this, ()| answer(lua, this.finish()));
    }
}

/// A whole number within a range, or why not.
fn option(
    lua: &Lua,
    options: &Table,
    name: &str,
    least: i32,
    most: i32,
) -> mlua::Result<Option<i32>> {
    let value: Value = options.get(name)?;
    if value.is_nil() {
        return Ok(None);
    }
    match number_of(lua, &value) {
        Some(number) if (f64::from(least)..=f64::from(most)).contains(&number) => {
            Ok(Some(number as i32))
        }
        _ => Err(super::raise(lua, &format!("brotli: {name} must be from {least} to {most}"))),
    }
}

fn packer(lua: &Lua, options: Option<Table>) -> mlua::Result<Packer> {
    let mut params = BrotliEncoderParams::default();
    if let Some(options) = options {
        if let Some(mode) = option(lua, &options, "mode", 0, 2)? {
            params.mode = match mode {
                1 => BrotliEncoderMode::BROTLI_MODE_TEXT,
                2 => BrotliEncoderMode::BROTLI_MODE_FONT,
                _ => BrotliEncoderMode::BROTLI_MODE_GENERIC,
            };
        }
        params.quality = option(lua, &options, "quality", 0, 11)?.unwrap_or(params.quality);
        params.lgwin = option(lua, &options, "lgwin", 10, 24)?.unwrap_or(params.lgwin);
        // 0 leaves it to the encoder; so do the sizes that it does not know.
        let block = option(lua, &options, "lgblock", 0, 24)?.filter(|block| *block >= 16);
        params.lgblock = block.unwrap_or(params.lgblock);
    }
    let stream = CompressorWriter::with_params(Out::default(), BUFFER_BYTES, &params);
    Ok(Packer(RefCell::new(Some(stream))))
}

/// Fills `host.brotli`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set("packer", lua.create_function(packer)?)?;
    table.raw_set(
        "unpacker",
        lua.create_function(|_, ()| {
            let out = Out { max: Some(UNPACKED_BYTES_MAX), ..Out::default() };
            Ok(Unpacker(RefCell::new(Some(DecompressorWriter::new(out, BUFFER_BYTES)))))
        })?,
    )?;
    host.raw_set("brotli", table)
}
