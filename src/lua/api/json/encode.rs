//! From a Lua value to JSON text.
//!
//! A table is walked once in the usual cases: a run of keys 1, 2, 3, … is written as an
//! array while it lasts, a first key that is a string starts an object. Only a table that
//! breaks its pattern is looked at again with cjson's full rules. Deep down tables are kept
//! on a list instead, so that nesting takes no native stack.

use std::vec;

use mlua::{Lua, LuaString, Table, Value};

use super::{
    Marks, empty_array,
    number::write_number,
    settings::{InvalidNumbers, Settings},
};
use crate::lua::api::type_name;

/// Nesting down to which a table is written while it is walked, which is fastest but takes
/// kilobytes of native stack per level.
const FAST_DEPTH_MAX: usize = 24;

/// Larger keys make an object: time stamps and ids, not indices.
const INDEX_MAX: f64 = i32::MAX as f64;

/// Appends `value` to `out`.
///
/// # Errors
///
/// A Lua value: cjson's message, or what a `__len` of the caller's raised.
pub(super) fn encode(
    lua: &Lua,
    settings: &Settings,
    marks: &Marks,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), Value> {
    let mut encoder = Encoder { settings, marks, out };
    match encoder.value(value, 0) {
        Ok(_) => Ok(()),
        Err(mlua::Error::RuntimeError(why)) => {
            Err(lua.create_string(why).map_or(Value::Nil, Value::String))
        }
        Err(error) => Err(lua.create_string(error.to_string()).map_or(Value::Nil, Value::String)),
    }
}

/// Whether a value left text behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Text,
    /// Its type has no JSON form and such values are to be left out.
    Nothing,
}

/// What the first walk over a table found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Empty,
    Array,
    Object,
    /// Neither pattern held to the end.
    Mixed,
}

/// What a metatable says about how to write a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marked {
    /// Nothing: the keys decide.
    No,
    /// An array of this length whatever its keys, read with or without `__index`.
    Array { len: usize, raw: bool },
    /// An array even when empty or when there are other keys.
    EmptyArray,
}

struct Encoder<'e> {
    settings: &'e Settings,
    marks: &'e Marks,
    out: &'e mut Vec<u8>,
}

fn fail<T>(why: String) -> mlua::Result<T> {
    Err(mlua::Error::RuntimeError(why))
}

fn cannot<T>(value: &Value, why: &str) -> mlua::Result<T> {
    fail(format!("Cannot serialise {}: {why}", type_name(value)))
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<Wrote> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            // mlua hands out integral doubles as integers.
            Value::Integer(number) => {
                write_number(self.out, *number as f64, self.settings.precision);
            }
            Value::Number(number) => self.number(*number, value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(data) if data.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::LightUserData(data) if *data == empty_array() => {
                self.out.extend_from_slice(b"[]");
            }
            Value::Table(table) => self.table(table, depth + 1)?,
            _ if self.settings.skip_unsupported => return Ok(Wrote::Nothing),
            _ => return cannot(value, "type not supported"),
        }
        Ok(Wrote::Text)
    }

    fn number(&mut self, number: f64, value: &Value) -> mlua::Result<()> {
        if number.is_finite() {
            write_number(self.out, number, self.settings.precision);
            return Ok(());
        }
        let text = match self.settings.encode_invalid {
            InvalidNumbers::Off => return cannot(value, "must not be NaN or Infinity"),
            InvalidNumbers::Null => "null",
            InvalidNumbers::On if number.is_nan() => "NaN",
            InvalidNumbers::On if number < 0.0 => "-Infinity",
            InvalidNumbers::On => "Infinity",
        };
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        let mut copied = 0;
        for (at, &byte) in text.iter().enumerate() {
            if ESCAPES[usize::from(byte)] == 0 || (byte == b'/' && !self.settings.escape_slash) {
                continue;
            }
            self.out.extend_from_slice(&text[copied..at]);
            copied = at + 1;
            match ESCAPES[usize::from(byte)] {
                b'u' => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                    self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                }
                letter => self.out.extend_from_slice(&[b'\\', letter]),
            }
        }
        self.out.extend_from_slice(&text[copied..]);
        self.out.push(b'"');
    }

    fn check_depth(&self, depth: usize) -> mlua::Result<()> {
        if depth > self.settings.encode_depth_max {
            return fail(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        self.check_depth(depth)?;
        let mark = self.marked(table)?;
        let simple = depth <= FAST_DEPTH_MAX && !matches!(mark, Marked::Array { .. });
        if simple {
            let start = self.out.len();
            match self.first_walk(table, depth)? {
                Shape::Array => return Ok(()),
                Shape::Object if !self.settings.sort_keys && mark == Marked::No => return Ok(()),
                Shape::Empty => {
                    let array = mark == Marked::EmptyArray || !self.settings.empty_as_object;
                    self.out.extend_from_slice(if array { b"[]" } else { b"{}" });
                    return Ok(());
                }
                Shape::Object | Shape::Mixed => self.out.truncate(start),
            }
        }
        let level = self.open(table, depth)?;
        self.levels(level, depth)
    }

    /// What the metatable says.
    fn marked(&self, table: &Table) -> mlua::Result<Marked> {
        let Some(meta) = table.metatable() else { return Ok(Marked::No) };
        if meta.to_pointer() == self.marks.array.to_pointer() {
            return Ok(Marked::Array { len: table.raw_len(), raw: true });
        }
        if let Value::Function(len) = meta.raw_get("__len")? {
            let len: f64 = len.call(table)?;
            return Ok(Marked::Array { len: len.max(0.0) as usize, raw: false });
        }
        let empty_array = meta.to_pointer() == self.marks.empty_array.to_pointer();
        Ok(if empty_array { Marked::EmptyArray } else { Marked::No })
    }

    fn first_walk(&mut self, table: &Table, depth: usize) -> mlua::Result<Shape> {
        let mut shape = Shape::Empty;
        let mut items = 0_i64;
        let mut written = 0_usize;
        let sorted = self.settings.sort_keys;
        table.for_each(|key: Value, value: Value| {
            match (shape, &key) {
                (Shape::Empty, Value::String(_)) => {
                    shape = Shape::Object;
                    self.out.push(b'{');
                }
                (Shape::Empty | Shape::Array, _) if is_index(&key, items + 1) => {
                    items += 1;
                    if shape == Shape::Empty {
                        self.out.push(b'[');
                    }
                    shape = Shape::Array;
                    return self.item(&mut written, depth, |own| own.value(&value, depth));
                }
                (Shape::Object, _) => {}
                _ => {
                    shape = Shape::Mixed;
                    return Ok(());
                }
            }
            if sorted {
                return Ok(());
            }
            self.item(&mut written, depth, |own| own.pair(&key, &value, depth))
        })?;
        match shape {
            Shape::Array => self.close(written, depth, b']'),
            Shape::Object => self.close(written, depth, b'}'),
            Shape::Empty | Shape::Mixed => {}
        }
        Ok(shape)
    }

    /// Writes one element with what stands before it, and takes it back if it is left out.
    fn item(
        &mut self,
        written: &mut usize,
        depth: usize,
        write: impl FnOnce(&mut Self) -> mlua::Result<Wrote>,
    ) -> mlua::Result<()> {
        let start = self.out.len();
        if *written > 0 {
            self.out.push(b',');
        }
        self.indent(depth);
        if write(self)? == Wrote::Nothing {
            self.out.truncate(start);
        } else {
            *written += 1;
        }
        Ok(())
    }

    fn pair(&mut self, key: &Value, value: &Value, depth: usize) -> mlua::Result<Wrote> {
        match key {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.value(key, depth)?;
                self.out.push(b'"');
            }
            other => return cannot(other, "table key must be a number or string"),
        }
        self.colon();
        self.value(value, depth)
    }

    fn colon(&mut self) {
        self.out.push(b':');
        if !self.settings.indent.is_empty() {
            self.out.push(b' ');
        }
    }

    fn close(&mut self, written: usize, depth: usize, bracket: u8) {
        if written > 0 {
            self.indent(depth - 1);
        }
        self.out.push(bracket);
    }

    fn indent(&mut self, depth: usize) {
        if self.settings.indent.is_empty() {
            return;
        }
        self.out.push(b'\n');
        for _ in 0..depth {
            self.out.extend_from_slice(&self.settings.indent);
        }
    }

    /// The largest index if all keys are positive integers; `None` for an object.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<usize>> {
        let (mut max, mut items) = (0.0_f64, 0.0_f64);
        let mut array = true;
        table.for_each(|key: Value, _: Value| {
            let index = number_value(&key);
            if (1.0..=INDEX_MAX).contains(&index) && index.trunc() == index {
                max = max.max(index);
                items += 1.0;
            } else {
                array = false;
            }
            Ok(())
        })?;
        if !array {
            return Ok(None);
        }
        let settings = self.settings;
        if settings.sparse_ratio > 0.0
            && max > items * settings.sparse_ratio
            && max > settings.sparse_safe
        {
            if !settings.sparse_convert {
                return fail("Cannot serialise table: excessively sparse array".to_owned());
            }
            return Ok(None);
        }
        Ok(Some(max as usize))
    }

    /// Writes a table that is no simple case, and all below it, without native recursion.
    fn levels(&mut self, top: Level, depth: usize) -> mlua::Result<()> {
        let mut open = vec![top];
        while let Some(level) = open.last_mut() {
            let Some((key, value)) = level.next()? else {
                let bracket = level.bracket();
                let written = level.written;
                self.close(written, depth + open.len() - 1, bracket);
                open.pop();
                continue;
            };
            let start = self.out.len();
            if level.written > 0 {
                self.out.push(b',');
            }
            level.written += 1;
            let depth = depth + open.len() - 1;
            self.indent(depth);
            if let Some(key) = key {
                self.string(&key);
                self.colon();
            }
            if let Value::Table(table) = &value {
                let below = self.open(table, depth + 1)?;
                open.push(below);
            } else if self.value(&value, depth)? == Wrote::Nothing {
                self.out.truncate(start);
                if let Some(level) = open.last_mut() {
                    level.written -= 1;
                }
            }
        }
        Ok(())
    }

    /// Decides how a table is written and writes its opening bracket.
    fn open(&mut self, table: &Table, depth: usize) -> mlua::Result<Level> {
        self.check_depth(depth)?;
        let level = match self.marked(table)? {
            Marked::Array { len, raw } => Level::array(table, len, raw),
            mark => match self.array_len(table)? {
                Some(0) if mark == Marked::EmptyArray || !self.settings.empty_as_object => {
                    Level::array(table, 0, true)
                }
                Some(len) if len > 0 => Level::array(table, len, !table.has_metatable()),
                None if mark == Marked::EmptyArray => Level::array(table, table.raw_len(), true),
                _ => Level::object(table, keys(table, self.settings.sort_keys)?),
            },
        };
        self.out.push(if level.keys.is_some() { b'{' } else { b'[' });
        Ok(level)
    }
}

/// A table that is being written.
struct Level {
    table: Table,
    /// Keys to come; `None` for an array.
    keys: Option<vec::IntoIter<Key>>,
    /// Index of the next element, and the last one.
    next: usize,
    len: usize,
    raw: bool,
    written: usize,
}

/// The text of a key, and the number if it is one.
type Key = (Vec<u8>, Option<f64>);

impl Level {
    fn array(table: &Table, len: usize, raw: bool) -> Self {
        Self { table: table.clone(), keys: None, next: 1, len, raw, written: 0 }
    }

    fn object(table: &Table, keys: Vec<Key>) -> Self {
        let keys = Some(keys.into_iter());
        Self { table: table.clone(), keys, next: 1, len: 0, raw: true, written: 0 }
    }

    fn bracket(&self) -> u8 {
        if self.keys.is_some() { b'}' } else { b']' }
    }

    /// The next element, with its key in an object.
    fn next(&mut self) -> mlua::Result<Option<(Option<Vec<u8>>, Value)>> {
        if let Some(keys) = &mut self.keys {
            let Some((text, number)) = keys.next() else { return Ok(None) };
            let value = match number {
                Some(number) => self.table.raw_get(number)?,
                None => self.table.raw_get(LuaString::wrap(&text))?,
            };
            return Ok(Some((Some(text), value)));
        }
        if self.next > self.len {
            return Ok(None);
        }
        let index = self.next;
        self.next += 1;
        let value = if self.raw { self.table.raw_get(index)? } else { self.table.get(index)? };
        Ok(Some((None, value)))
    }
}

/// The keys as they are written, in byte order if `sort`, otherwise in the table's own.
///
/// Bytes are copied: a VM holds only some thousand references at a time.
fn keys(table: &Table, sort: bool) -> mlua::Result<Vec<Key>> {
    let mut keys = Vec::new();
    table.for_each(|key: Value, _: Value| {
        match &key {
            Value::String(text) => keys.push((text.as_bytes().to_vec(), None)),
            Value::Integer(_) | Value::Number(_) => {
                let number = number_value(&key);
                let mut text = Vec::new();
                write_number(&mut text, number, 14);
                keys.push((text, Some(number)));
            }
            other => return cannot(other, "table key must be a number or string"),
        }
        Ok(())
    })?;
    if sort {
        keys.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    }
    Ok(keys)
}

/// The number a key is, 0 for any other.
fn number_value(key: &Value) -> f64 {
    match key {
        Value::Integer(number) => *number as f64,
        Value::Number(number) => *number,
        _ => 0.0,
    }
}

fn is_index(key: &Value, index: i64) -> bool {
    match key {
        Value::Integer(number) => *number == index,
        Value::Number(number) => *number == index as f64,
        _ => false,
    }
}

/// The letter after the backslash, `u` for `\u00XX`, 0 for bytes written as they are.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[0x7f] = b'u';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table
};
