//! Items to JSON.

use super::{
    super::{
        idl::{Default, Field, Record, Schema, Type},
        wire::{Fault, Kind, Reader},
    },
    Bytes, Fail, Int64, SAFE_MAX, Style, text,
};

/// Bytes of JSON that an answer may always have.
pub const JSON_BYTES_FREE: usize = 1 << 20;

/// Beyond [`JSON_BYTES_FREE`], JSON may have so many bytes for each byte on the wire: names and
/// defaults of members are not on the wire, and a hostile answer could have very many of them.
pub const JSON_FACTOR_MAX: usize = 64;

/// Bytes of JSON, whatever was on the wire.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// Turns items into JSON. [`JSON_FACTOR_MAX`] bounds what it appends, but for the end of the
/// string that passes the bound.
pub struct Decoder<'s> {
    schema: &'s Schema,
    style: &'s Style,
    out: Vec<u8>,
    bytes_max: usize,
}

impl<'s> Decoder<'s> {
    /// A decoder for values of `schema` from `wire_bytes` of items.
    #[must_use]
    pub fn new(schema: &'s Schema, style: &'s Style, wire_bytes: usize) -> Self {
        let most = wire_bytes.saturating_mul(JSON_FACTOR_MAX);
        let bytes_max = most.clamp(JSON_BYTES_FREE, JSON_BYTES_MAX);
        Decoder {
            schema,
            style,
            out: Vec::with_capacity(wire_bytes.min(bytes_max) + 64),
            bytes_max,
        }
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Appends an object with the members of `record`.
    ///
    /// # Errors
    /// The items are not what the record says; the message has the path.
    pub fn object(&mut self, reader: &mut Reader<'_>, record: &'s Record) -> Result<(), Fail> {
        self.out.push(b'{');
        for field in &record.fields {
            self.member(reader, field).map_err(|fail| fail.field(&field.name))?;
        }
        self.close(b'}');
        Ok(())
    }

    /// Appends an object whose members stand in items of their own, each with tag 0, as TUP has
    /// them.
    ///
    /// # Errors
    /// As [`object`](Self::object).
    pub fn named(&mut self, items: &[Option<&[u8]>], record: &'s Record) -> Result<(), Fail> {
        self.out.push(b'{');
        for (field, item) in record.fields.iter().zip(items) {
            self.named_member(field, *item).map_err(|fail| fail.field(&field.name))?;
            self.out.push(b',');
        }
        self.close(b'}');
        Ok(())
    }

    /// Appends the value of `field`, which has `tag` here, without its name.
    ///
    /// # Errors
    /// As [`object`](Self::object).
    pub fn only(&mut self, reader: &mut Reader<'_>, tag: u8, field: &'s Field) -> Result<(), Fail> {
        let found = reader.need(tag).map_err(Fail::from);
        let done = found.and_then(|kind| self.value(reader, kind, field.of));
        done.map_err(|fail| fail.field(&field.name))
    }

    fn named_member(&mut self, field: &'s Field, item: Option<&[u8]>) -> Result<(), Fail> {
        let mut reader = Reader::new(item.ok_or(Fault::Missing)?);
        let kind = reader.need(0)?;
        self.out.extend_from_slice(&field.key);
        self.value(&mut reader, kind, field.of)
    }

    /// Appends the value of one item whose head was taken.
    ///
    /// # Errors
    /// The item is not of this type.
    pub fn value(&mut self, reader: &mut Reader<'_>, kind: Kind, of: Type) -> Result<(), Fail> {
        self.check()?;
        match of {
            Type::Bool => {
                let value = reader.integer(kind, of.width())? != 0;
                self.bool(value);
            }
            Type::Float => {
                let number = reader.float(kind)?;
                self.number(number.is_finite(), &number);
            }
            Type::Double => {
                let number = reader.double(kind)?;
                self.number(number.is_finite(), &number);
            }
            Type::String => {
                let text = reader.string(kind)?;
                self.string(text)?;
            }
            Type::Bytes => self.bytes(reader, kind)?,
            Type::Vector(id) => self.vector(reader, kind, self.schema.vector(id))?,
            Type::Map(id) => self.map(reader, kind, self.schema.map(id))?,
            Type::Struct(id) => self.structure(reader, kind, id)?,
            _ => {
                let number = reader.integer(kind, of.width())?;
                match of.range() {
                    Some((min, max)) if (min..=max).contains(&number) => {}
                    _ => return Err(Fault::Range(number).into()),
                }
                self.integer(of, number);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Fault> {
        if self.out.len() > self.bytes_max { Err(Fault::Size(self.bytes_max)) } else { Ok(()) }
    }

    /// Ends an array or object, in place of the comma behind its last element.
    fn close(&mut self, end: u8) {
        match self.out.last_mut() {
            Some(last) if *last == b',' => *last = end,
            _ => self.out.push(end),
        }
    }

    fn member(&mut self, reader: &mut Reader<'_>, field: &'s Field) -> Result<(), Fail> {
        let found = reader.find(field.tag)?;
        self.out.extend_from_slice(&field.key);
        match found {
            Some(kind) => self.value(reader, kind, field.of)?,
            None if field.required => return Err(Fault::Missing.into()),
            None => self.default(field)?,
        }
        self.out.push(b',');
        Ok(())
    }

    fn default(&mut self, field: &'s Field) -> Result<(), Fault> {
        self.check()?;
        match (&field.default, field.of) {
            (Default::Bool(value), _) => self.bool(*value),
            (Default::Integer(number), of) => self.integer(of, *number),
            (Default::Float(number), Type::Float) => self.number(true, &(*number as f32)),
            (Default::Float(number), _) => self.number(true, number),
            (Default::Text(text), _) => self.json(&**text),
            (Default::Empty, of) => match of {
                Type::Bool => self.bool(false),
                Type::Float | Type::Double => self.number(true, &0.0_f64),
                Type::String => self.json(""),
                Type::Bytes if self.style.bytes == Bytes::Base64 => self.json(""),
                Type::Bytes | Type::Vector(_) => self.out.extend_from_slice(b"[]"),
                Type::Map(_) => self.out.extend_from_slice(b"{}"),
                Type::Struct(id) => {
                    let schema = self.schema;
                    let found = schema.structs.get(id as usize);
                    self.out.push(b'{');
                    for field in found.iter().flat_map(|found| &found.record.fields) {
                        self.out.extend_from_slice(&field.key);
                        self.default(field)?;
                        self.out.push(b',');
                    }
                    self.close(b'}');
                }
                of => self.integer(of, 0),
            },
        }
        Ok(())
    }

    fn bool(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(&mut self, of: Type, number: i64) {
        if let Type::Enum(id) = of
            && self.style.enum_names
            && let Ok(short) = i32::try_from(number)
            && let Some(known) = self.schema.enums.get(id as usize)
            && let Some(name) = known.member(short)
        {
            return self.json(name);
        }
        let quoted = of == Type::Long
            && match self.style.int64 {
                Int64::Auto => number.unsigned_abs() > SAFE_MAX,
                Int64::Always => true,
                Int64::Never => false,
            };
        if quoted {
            self.out.push(b'"');
        }
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        if quoted {
            self.out.push(b'"');
        }
    }

    /// JSON has no word for what is not finite; as C++ peers do, that is null.
    fn number(&mut self, finite: bool, number: &impl serde::Serialize) {
        if finite { self.json(number) } else { self.out.extend_from_slice(b"null") }
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        // Writing numbers and strings into memory does not fail.
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let text = self.style.charset.decode(bytes, self.style.replace_invalid);
        self.json(&*text.ok_or(Fault::Text)?);
        Ok(())
    }

    fn bytes(&mut self, reader: &mut Reader<'_>, kind: Kind) -> Result<(), Fault> {
        let listed;
        let bytes = if kind == Kind::List {
            listed = byte_list(reader)?;
            &listed
        } else {
            reader.bytes(kind)?
        };
        match self.style.bytes {
            Bytes::Base64 => {
                self.out.push(b'"');
                text::to_base64(bytes, &mut self.out);
                self.out.push(b'"');
            }
            Bytes::Array => {
                self.out.push(b'[');
                for byte in bytes {
                    self.out.extend_from_slice(itoa::Buffer::new().format(*byte).as_bytes());
                    self.out.push(b',');
                }
                self.close(b']');
            }
        }
        Ok(())
    }

    fn vector(&mut self, reader: &mut Reader<'_>, kind: Kind, of: Type) -> Result<(), Fail> {
        if kind != Kind::List {
            return Err(Fault::Kind { found: kind, wanted: "a list" }.into());
        }
        let count = reader.count(1)?;
        reader.enter()?;
        self.out.push(b'[');
        for index in 0..count {
            let element = |decoder: &mut Self, reader: &mut Reader<'_>| -> Result<(), Fail> {
                let head = reader.head()?;
                decoder.value(reader, head.kind, of)
            };
            element(self, reader).map_err(|fail| fail.index(index))?;
            self.out.push(b',');
        }
        self.close(b']');
        reader.leave();
        Ok(())
    }

    fn map(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        (key, value): (Type, Type),
    ) -> Result<(), Fail> {
        if kind != Kind::Map {
            return Err(Fault::Kind { found: kind, wanted: "a map" }.into());
        }
        let count = reader.count(2)?;
        reader.enter()?;
        self.out.push(b'{');
        for _ in 0..count {
            let start = self.out.len();
            let kind = reader.need(0)?;
            self.key(reader, kind, key)?;
            self.out.push(b':');
            let end = self.out.len();
            let found = reader.need(1).map_err(Fail::from);
            let done = found.and_then(|kind| self.value(reader, kind, value));
            if let Err(fail) = done {
                let key = self.out.get(start..end - 1).unwrap_or_default();
                return Err(fail.key(String::from_utf8_lossy(key).trim_matches('"')));
            }
            self.out.push(b',');
        }
        self.close(b'}');
        reader.leave();
        Ok(())
    }

    /// A key is a string; what is none otherwise is the text of its JSON.
    fn key(&mut self, reader: &mut Reader<'_>, kind: Kind, of: Type) -> Result<(), Fail> {
        let start = self.out.len();
        self.value(reader, kind, of)?;
        match self.out.get(start) {
            Some(b'"') => Ok(()),
            Some(b'{' | b'[') => {
                let inner = self.out.split_off(start);
                // Each level doubles what the one before has put in front of quotes.
                self.check()?;
                self.json(&*String::from_utf8_lossy(&inner));
                Ok(())
            }
            _ => {
                self.out.insert(start, b'"');
                self.out.push(b'"');
                Ok(())
            }
        }
    }

    fn structure(&mut self, reader: &mut Reader<'_>, kind: Kind, id: u32) -> Result<(), Fail> {
        if kind != Kind::Struct {
            return Err(Fault::Kind { found: kind, wanted: "a struct" }.into());
        }
        let schema = self.schema;
        let found = schema.structs.get(id as usize).ok_or(Fault::Missing)?;
        reader.enter()?;
        self.object(reader, &found.record)?;
        reader.end()?;
        reader.leave();
        Ok(())
    }
}

/// Bytes as a list of integers, which some peers write.
fn byte_list(reader: &mut Reader<'_>) -> Result<Vec<u8>, Fault> {
    let count = reader.count(1)?;
    let mut bytes = Vec::with_capacity(count);
    for _ in 0..count {
        let head = reader.head()?;
        bytes.push(reader.integer(head.kind, super::super::wire::Width::One)? as u8);
    }
    Ok(bytes)
}
