//! The settings of one cjson instance, changed by functions of the same names.

use mlua::{Lua, MultiValue, Table, Value};

use crate::lua::api::{bad_argument, number_of, string_arg};

/// What to write for NaN and the infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidNumbers {
    /// Refuse.
    Off,
    /// As JavaScript spells them.
    On,
    /// `null`.
    Null,
}

/// Defaults are OpenResty's.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) sparse_convert: bool,
    pub(super) sparse_ratio: f64,
    pub(super) sparse_safe: f64,
    pub(super) encode_depth_max: usize,
    pub(super) decode_depth_max: usize,
    pub(super) precision: usize,
    pub(super) encode_invalid: InvalidNumbers,
    pub(super) decode_invalid: bool,
    pub(super) empty_as_object: bool,
    pub(super) array_mt: bool,
    pub(super) comments: bool,
    pub(super) escape_slash: bool,
    pub(super) skip_unsupported: bool,
    pub(super) keep_buffer: bool,
    pub(super) indent: Vec<u8>,
    /// Ours: object keys in byte order, for texts that are compared or signed.
    pub(super) sort_keys: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2.0,
            sparse_safe: 10.0,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            encode_invalid: InvalidNumbers::Off,
            decode_invalid: true,
            empty_as_object: true,
            array_mt: false,
            comments: false,
            escape_slash: true,
            skip_unsupported: false,
            keep_buffer: true,
            indent: Vec::new(),
            sort_keys: false,
        }
    }
}

/// Deepest nesting any instance may allow: each level costs native stack.
const DEPTH_MAX: f64 = 10_000.0;

impl Settings {
    /// Takes over an options table: `sort_keys`, `max_depth` and the names of [`Settings::call`]
    /// with one argument.
    pub(super) fn read(&mut self, options: &Table) -> mlua::Result<()> {
        let flag = |name: &str, slot: &mut bool| -> mlua::Result<()> {
            if let Some(value) = options.raw_get::<Option<bool>>(name)? {
                *slot = value;
            }
            Ok(())
        };
        flag("sort_keys", &mut self.sort_keys)?;
        flag("encode_escape_forward_slash", &mut self.escape_slash)?;
        flag("encode_empty_table_as_object", &mut self.empty_as_object)?;
        flag("encode_skip_unsupported_value_types", &mut self.skip_unsupported)?;
        flag("decode_array_with_array_mt", &mut self.array_mt)?;
        flag("decode_allow_comment", &mut self.comments)?;
        flag("decode_invalid_numbers", &mut self.decode_invalid)?;
        flag("encode_sparse_convert", &mut self.sparse_convert)?;
        if let Some(depth) = options.raw_get::<Option<f64>>("max_depth")? {
            self.encode_depth_max = depth.clamp(1.0, DEPTH_MAX) as usize;
            self.decode_depth_max = self.encode_depth_max;
        }
        if let Some(precision) = options.raw_get::<Option<f64>>("encode_number_precision")? {
            self.precision = precision.clamp(1.0, 16.0) as usize;
        }
        Ok(())
    }

    /// One of cjson's functions: arguments that are not nil are stored, the values in force
    /// are returned.
    pub(super) fn call(
        &mut self,
        lua: &Lua,
        name: &str,
        args: &[Value],
    ) -> mlua::Result<MultiValue> {
        let first = args.first().unwrap_or(&Value::Nil);
        let mut change = Change { lua, name };
        let value = match name {
            "encode_sparse_array" => return self.sparse(&mut change, args),
            "encode_max_depth" => {
                change.integer(1, first, &mut self.encode_depth_max, DEPTH_MAX)?
            }
            "decode_max_depth" => {
                change.integer(1, first, &mut self.decode_depth_max, DEPTH_MAX)?
            }
            "encode_number_precision" => change.integer(1, first, &mut self.precision, 16.0)?,
            "encode_empty_table_as_object" => change.flag(1, first, &mut self.empty_as_object)?,
            "decode_array_with_array_mt" => change.flag(1, first, &mut self.array_mt)?,
            "decode_allow_comment" => change.flag(1, first, &mut self.comments)?,
            "encode_escape_forward_slash" => change.flag(1, first, &mut self.escape_slash)?,
            "encode_skip_unsupported_value_types" => {
                change.flag(1, first, &mut self.skip_unsupported)?
            }
            "encode_keep_buffer" => change.flag(1, first, &mut self.keep_buffer)?,
            "decode_invalid_numbers" => change.flag(1, first, &mut self.decode_invalid)?,
            "encode_invalid_numbers" => self.invalid_numbers(&change, first)?,
            "encode_sort_keys" => change.flag(1, first, &mut self.sort_keys)?,
            "encode_indent" => {
                if !first.is_nil() {
                    let indent = string_arg(lua, first.clone(), 1, name)?;
                    self.indent = indent.as_bytes().to_vec();
                }
                Value::String(lua.create_string(&self.indent)?)
            }
            _ => return Err(bad_argument(lua, 1, "set", "unknown setting")),
        };
        Ok(MultiValue::from_iter([value]))
    }

    fn sparse(&mut self, change: &mut Change<'_>, args: &[Value]) -> mlua::Result<MultiValue> {
        let arg = |index: usize| args.get(index).unwrap_or(&Value::Nil);
        let convert = change.flag(1, arg(0), &mut self.sparse_convert)?;
        let ratio = change.real(2, arg(1), &mut self.sparse_ratio)?;
        let safe = change.real(3, arg(2), &mut self.sparse_safe)?;
        Ok(MultiValue::from_iter([convert, ratio, safe]))
    }

    fn invalid_numbers(&mut self, change: &Change<'_>, value: &Value) -> mlua::Result<Value> {
        let word = match value {
            Value::String(word) => Some(word.to_string_lossy()),
            _ => None,
        };
        match (value, word.as_deref()) {
            (Value::Nil, _) => {}
            (Value::Boolean(true), _) | (_, Some("on")) => self.encode_invalid = InvalidNumbers::On,
            (Value::Boolean(false), _) | (_, Some("off")) => {
                self.encode_invalid = InvalidNumbers::Off;
            }
            (_, Some("null")) => self.encode_invalid = InvalidNumbers::Null,
            _ => return Err(change.refuse(1, "invalid option")),
        }
        Ok(match self.encode_invalid {
            InvalidNumbers::Off => Value::Boolean(false),
            InvalidNumbers::On => Value::Boolean(true),
            InvalidNumbers::Null => Value::String(change.lua.create_string("null")?),
        })
    }
}

/// One call that may change settings.
struct Change<'c> {
    lua: &'c Lua,
    name: &'c str,
}

impl Change<'_> {
    fn refuse(&self, position: usize, why: &str) -> mlua::Error {
        bad_argument(self.lua, position, self.name, why)
    }

    fn flag(&self, position: usize, value: &Value, slot: &mut bool) -> mlua::Result<Value> {
        match value {
            Value::Nil => {}
            Value::Boolean(value) => *slot = *value,
            Value::String(word) => match word.to_string_lossy().as_str() {
                "on" => *slot = true,
                "off" => *slot = false,
                _ => return Err(self.refuse(position, "invalid option")),
            },
            _ => return Err(self.refuse(position, "boolean expected")),
        }
        Ok(Value::Boolean(*slot))
    }

    fn integer(
        &self,
        position: usize,
        value: &Value,
        slot: &mut usize,
        max: f64,
    ) -> mlua::Result<Value> {
        if !value.is_nil() {
            // cjson allows any depth up to 2^31; ours ends where the native stack would.
            let number = number_of(self.lua, value).filter(|number| *number >= 1.0);
            let Some(number) = number else {
                let why = format!("expected integer between 1 and {max}");
                return Err(self.refuse(position, &why));
            };
            *slot = number.min(max) as usize;
        }
        Ok(Value::Number(*slot as f64))
    }

    fn real(&self, position: usize, value: &Value, slot: &mut f64) -> mlua::Result<Value> {
        if !value.is_nil() {
            let number = number_of(self.lua, value).filter(|number| *number >= 0.0);
            let Some(number) = number else {
                return Err(self.refuse(position, "expected integer between 0 and 2147483647"));
            };
            *slot = number.trunc();
        }
        Ok(Value::Number(*slot))
    }
}
