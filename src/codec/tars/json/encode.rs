//! JSON to items.

use serde::de::DeserializeSeed as _;

use super::{
    super::{
        idl::{Record, Schema, Type},
        wire::{
            Kind, LEVELS_MAX, write_bytes, write_double, write_float, write_head, write_integer,
            write_string,
        },
    },
    Fail, Style,
    seed::{RecordSeed, ValueSeed},
    text,
};

/// Turns the arguments of a call into items.
///
/// What it holds is at most 24 bytes for each byte of the JSON, which `t/bounds.rs` measures:
/// `0,` may be a double, and absent optional members are not written.
pub struct Encoder<'s> {
    pub(super) schema: &'s Schema,
    pub(super) style: &'s Style,
    pub(super) out: Vec<u8>,
    /// Where the members of the structs being read were written.
    pub(super) slots: Vec<Slot>,
    pub(super) levels: usize,
    /// Why reading was given up, if not for the syntax.
    pub(super) fail: Option<Fail>,
    /// A key of a map, undone.
    pub(super) scratch: Vec<u8>,
}

/// A member that was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Its index in the record.
    pub(super) field: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What stands where a value was expected, for messages.
pub(super) enum Got<'v> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'v str),
    Array,
    Object,
}

impl std::fmt::Display for Got<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Got::Null => f.write_str("null"),
            Got::Bool(value) => value.fmt(f),
            Got::Signed(number) => number.fmt(f),
            Got::Unsigned(number) => number.fmt(f),
            Got::Float(number) => write!(f, "{number:?}"),
            // What clients send is not repeated at length.
            Got::Text(text) if text.chars().nth(40).is_none() => write!(f, "{text:?}"),
            Got::Text(_) => f.write_str("a long string"),
            Got::Array => f.write_str("an array"),
            Got::Object => f.write_str("an object"),
        }
    }
}

impl<'s> Encoder<'s> {
    /// An encoder for values of `schema`.
    #[must_use]
    pub fn new(schema: &'s Schema, style: &'s Style) -> Self {
        Encoder {
            schema,
            style,
            out: Vec::new(),
            slots: Vec::new(),
            levels: 0,
            fail: None,
            scratch: Vec::new(),
        }
    }

    /// The members of `record` as items, from a JSON object; empty text is an empty object.
    ///
    /// # Errors
    /// The text is no JSON, or a value is not what the record says; the message has its path.
    pub fn object(mut self, json: &[u8], record: &'s Record) -> Result<Vec<u8>, Fail> {
        let json = if json.iter().all(u8::is_ascii_whitespace) { b"{}" } else { json };
        self.out.reserve(json.len());
        let mut parser = serde_json::Deserializer::from_slice(json);
        let read = RecordSeed { encoder: &mut self, record }
            .deserialize(&mut parser)
            .and_then(|()| parser.end());
        match read {
            Ok(()) => Ok(self.out),
            Err(error) => Err(self.fail.unwrap_or_else(|| no_json(&error))),
        }
    }

    /// The members of `record` as items, from names and texts; other values than numbers,
    /// strings and their like are JSON.
    ///
    /// # Errors
    /// A value is not what the record says; the message has its path.
    pub fn pairs(mut self, pairs: &[(&str, &str)], record: &'s Record) -> Result<Vec<u8>, Fail> {
        for (name, value) in pairs {
            let Some(at) = record.find(name, self.slots.len()) else {
                if self.style.reject_unknown {
                    return Err(unknown().key(name));
                }
                continue;
            };
            let Some(field) = record.fields.get(at) else { continue };
            let start = self.out.len();
            self.text_value(field.of, field.tag, value).map_err(|fail| fail.field(&field.name))?;
            self.slots.push(Slot { field: at, start, end: self.out.len() });
        }
        self.close_record(record, 0, 0)?;
        Ok(self.out)
    }

    /// One value with `tag`, from JSON.
    ///
    /// # Errors
    /// The text is no JSON or no such value.
    pub fn value(mut self, json: &[u8], of: Type, tag: u8) -> Result<Vec<u8>, Fail> {
        self.json_value(of, tag, json)?;
        Ok(self.out)
    }

    fn json_value(&mut self, of: Type, tag: u8, json: &[u8]) -> Result<(), Fail> {
        let mut parser = serde_json::Deserializer::from_slice(json);
        let seed = ValueSeed { encoder: self, of, tag };
        match seed.deserialize(&mut parser).and_then(|written| parser.end().map(|()| written)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.wrong(of, &Got::Null)),
            Err(error) => Err(self.fail.take().unwrap_or_else(|| no_json(&error))),
        }
    }

    /// A value of a query or form, or a key of a map.
    pub(super) fn text_value(&mut self, of: Type, tag: u8, text: &str) -> Result<(), Fail> {
        let wrong = |encoder: &Self| Err(encoder.wrong(of, &Got::Text(text)));
        match of {
            Type::String => self.string(of, tag, text),
            Type::Bool => match text {
                "true" | "1" => self.bool(tag, true),
                "false" | "0" => self.bool(tag, false),
                _ => wrong(self),
            },
            Type::Float | Type::Double => match text.parse::<f64>() {
                // The standard library takes `inf` and `nan`.
                Ok(number) if number.is_finite() => self.float(of, tag, number),
                _ => wrong(self),
            },
            Type::Enum(_) | Type::Bytes if !text.starts_with('[') => self.named(of, tag, text),
            Type::Bytes | Type::Vector(_) | Type::Map(_) | Type::Struct(_) => {
                self.json_value(of, tag, text.as_bytes())
            }
            _ => match text.parse() {
                Ok(number) => self.integer(of, tag, number),
                Err(_) => wrong(self),
            },
        }
    }

    pub(super) fn bool(&mut self, tag: u8, value: bool) -> Result<(), Fail> {
        write_integer(&mut self.out, tag, value.into());
        Ok(())
    }

    pub(super) fn integer(&mut self, of: Type, tag: u8, number: i64) -> Result<(), Fail> {
        match of {
            Type::Float | Type::Double => return self.float(of, tag, number as f64),
            Type::Bool if number == 0 || number == 1 => return self.bool(tag, number == 1),
            _ => {}
        }
        match of.range() {
            Some((min, max)) if (min..=max).contains(&number) => {
                write_integer(&mut self.out, tag, number);
                Ok(())
            }
            _ => Err(self.wrong(of, &Got::Signed(number))),
        }
    }

    pub(super) fn float(&mut self, of: Type, tag: u8, number: f64) -> Result<(), Fail> {
        match of {
            Type::Double => write_double(&mut self.out, tag, number),
            Type::Float if (number as f32).is_finite() => {
                write_float(&mut self.out, tag, number as f32);
            }
            // `1e3` and `2.0` are integers; where doubles have gaps, no one knows which.
            _ if of.range().is_some()
                && number.fract() == 0.0
                && number.abs() <= super::SAFE_MAX as f64 =>
            {
                return self.integer(of, tag, number as i64);
            }
            _ => return Err(self.wrong(of, &Got::Float(number))),
        }
        Ok(())
    }

    /// Text where a string, bytes, a member of an enum or a long may stand.
    pub(super) fn named(&mut self, of: Type, tag: u8, text: &str) -> Result<(), Fail> {
        match of {
            Type::String => return self.string(of, tag, text),
            Type::Bytes => {
                if let Some(bytes) = text::from_base64(text) {
                    write_bytes(&mut self.out, tag, &bytes);
                    return Ok(());
                }
                return Err(Fail::new("expected bytes as base64, got other text"));
            }
            Type::Enum(id) => {
                let known = self.schema.enums.get(id as usize);
                let number = known.and_then(|known| known.number(text));
                if let Some(number) = number.or_else(|| text.parse().ok()) {
                    write_integer(&mut self.out, tag, number.into());
                    return Ok(());
                }
            }
            Type::Long => {
                if let Ok(number) = text.parse() {
                    return self.integer(of, tag, number);
                }
            }
            _ => {}
        }
        Err(self.wrong(of, &Got::Text(text)))
    }

    fn string(&mut self, of: Type, tag: u8, text: &str) -> Result<(), Fail> {
        let Some(bytes) = self.style.charset.encode(text) else {
            let name = self.schema.type_name(of);
            return Err(Fail::new(format!("expected {name}, got a character that GBK lacks")));
        };
        write_string(&mut self.out, tag, &bytes);
        Ok(())
    }

    pub(super) fn wrong(&self, of: Type, got: &Got<'_>) -> Fail {
        Fail::new(format!("expected {}, got {got}", self.schema.describe(of)))
    }

    pub(super) fn enter(&mut self) -> Result<(), Fail> {
        if self.levels >= LEVELS_MAX {
            return Err(Fail::new(format!("more than {LEVELS_MAX} levels")));
        }
        self.levels += 1;
        Ok(())
    }

    /// Checks that a record whose members were written from `start` on is whole, and puts them
    /// into the order of their tags. Its slots are those from `first` on.
    pub(super) fn close_record(
        &mut self,
        record: &'s Record,
        first: usize,
        start: usize,
    ) -> Result<(), Fail> {
        let slots = self.slots.get_mut(first..).unwrap_or_default();
        let in_order = slots.iter().zip(slots.iter().skip(1)).all(|(a, b)| a.field < b.field);
        if !in_order {
            slots.sort_by_key(|slot| slot.field);
            let mut pairs = slots.iter().zip(slots.iter().skip(1));
            if let Some((twice, _)) = pairs.find(|(a, b)| a.field == b.field) {
                let name = record.fields.get(twice.field).map_or("", |field| &field.name);
                return Err(Fail::new("given twice").field(name));
            }
            self.scratch.clear();
            for slot in &*slots {
                let member = self.out.get(slot.start..slot.end).unwrap_or_default();
                self.scratch.extend_from_slice(member);
            }
            self.out.truncate(start);
            self.out.extend_from_slice(&self.scratch);
        }
        let fields = record.fields.iter().enumerate();
        let slots = self.slots.get(first..).unwrap_or_default();
        if slots.len() < record.fields.len() {
            let mut given = slots.iter().map(|slot| slot.field).peekable();
            for (at, field) in fields {
                let found = given.next_if_eq(&at).is_some();
                if !found && field.required {
                    let of = self.schema.describe(field.of);
                    return Err(Fail::new(format!("required, expected {of}")).field(&field.name));
                }
            }
        }
        self.slots.truncate(first);
        Ok(())
    }

    pub(super) fn begin_struct(&mut self, tag: u8) {
        write_head(&mut self.out, tag, Kind::Struct);
    }

    pub(super) fn end_struct(&mut self) {
        write_head(&mut self.out, 0, Kind::End);
    }
}

/// What the parser says, which knows line and column.
fn no_json(error: &serde_json::Error) -> Fail {
    match error.classify() {
        serde_json::error::Category::Data => Fail::new(error.to_string()),
        _ => Fail::new(format!("no JSON: {error}")),
    }
}

/// A field that nobody knows.
pub(super) fn unknown() -> Fail {
    Fail::new("there is no such field")
}
