//! What drives the JSON parser over a text: each seed reads one value of a known type.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    super::{
        idl::{Record, Type},
        wire::{Counted, Kind, write_bytes},
    },
    Fail,
    encode::{Encoder, Got, Slot, unknown},
};

/// Keeps `fail` and tells the parser to stop.
fn stop<E: serde::de::Error>(encoder: &mut Encoder<'_>, fail: Fail) -> E {
    encoder.fail = Some(fail);
    E::custom("")
}

/// Lets an error of the parser pass, with one more step of the path if it is one of ours.
fn within<E>(encoder: &mut Encoder<'_>, error: E, step: impl FnOnce(Fail) -> Fail) -> E {
    encoder.fail = encoder.fail.take().map(step);
    error
}

/// Reads a value and appends it with `tag`. The result is whether there was one: null is none.
pub(super) struct ValueSeed<'e, 's> {
    pub(super) encoder: &'e mut Encoder<'s>,
    pub(super) of: Type,
    pub(super) tag: u8,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_, '_> {
    fn finish<E: serde::de::Error>(
        self,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<(), Fail>,
    ) -> Result<bool, E> {
        match write(self.encoder) {
            Ok(()) => Ok(true),
            Err(fail) => Err(stop(self.encoder, fail)),
        }
    }

    fn wrong<E: serde::de::Error>(self, got: &Got<'_>) -> E {
        let fail = self.encoder.wrong(self.of, got);
        stop(self.encoder, fail)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        match self.of {
            Type::Bool => {
                let tag = self.tag;
                self.finish(|encoder| encoder.bool(tag, value))
            }
            _ => Err(self.wrong(&Got::Bool(value))),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<bool, E> {
        let (of, tag) = (self.of, self.tag);
        self.finish(|encoder| encoder.integer(of, tag, number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<bool, E> {
        match (i64::try_from(number), self.of) {
            (Ok(number), _) => self.visit_i64(number),
            (Err(_), Type::Float | Type::Double) => self.visit_f64(number as f64),
            (Err(_), _) => Err(self.wrong(&Got::Unsigned(number))),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<bool, E> {
        let (of, tag) = (self.of, self.tag);
        self.finish(|encoder| encoder.float(of, tag, number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<bool, E> {
        let (of, tag) = (self.of, self.tag);
        self.finish(|encoder| encoder.named(of, tag, text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<bool, A::Error> {
        match self.of {
            Type::Bytes => {
                let bytes = self.encoder.byte_array(&mut array)?;
                write_bytes(&mut self.encoder.out, self.tag, &bytes);
                Ok(true)
            }
            Type::Vector(id) => {
                let of = self.encoder.schema.vector(id);
                self.encoder.vector(of, self.tag, array)
            }
            _ => Err(self.wrong(&Got::Array)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        match self.of {
            Type::Struct(id) => self.encoder.structure(id, self.tag, object),
            Type::Map(id) => {
                let of = self.encoder.schema.map(id);
                self.encoder.map(of, self.tag, object)
            }
            Type::Bytes => self.encoder.buffer(self.tag, object),
            _ => Err(self.wrong(&Got::Object)),
        }
    }
}

impl<'s> Encoder<'s> {
    fn step_in<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.enter().map_err(|fail| stop(self, fail))
    }

    fn vector<'de, A>(&mut self, of: Type, tag: u8, mut array: A) -> Result<bool, A::Error>
    where
        A: SeqAccess<'de>,
    {
        self.step_in()?;
        let list = Counted::begin(&mut self.out, tag, Kind::List);
        let mut count = 0;
        loop {
            let element = ValueSeed { encoder: &mut *self, of, tag: 0 };
            match array.next_element_seed(element) {
                Ok(Some(true)) => count += 1,
                Ok(None) => break,
                Ok(Some(false)) => {
                    let fail = self.wrong(of, &Got::Null).index(count);
                    return Err(stop(self, fail));
                }
                Err(error) => return Err(within(self, error, |fail| fail.index(count))),
            }
        }
        list.end(&mut self.out, count);
        self.levels -= 1;
        Ok(true)
    }

    fn map<'de, A>(&mut self, of: (Type, Type), tag: u8, mut object: A) -> Result<bool, A::Error>
    where
        A: MapAccess<'de>,
    {
        self.step_in()?;
        let map = Counted::begin(&mut self.out, tag, Kind::Map);
        let mut count = 0;
        loop {
            let start = self.out.len();
            let key = KeySeed { encoder: &mut *self, of: of.0 };
            if object.next_key_seed(key)?.is_none() {
                break;
            }
            let value = ValueSeed { encoder: &mut *self, of: of.1, tag: 1 };
            match object.next_value_seed(value) {
                Ok(true) => count += 1,
                // As everywhere, null is absent: the pair is none.
                Ok(false) => self.out.truncate(start),
                Err(error) => {
                    let name = self.key_name(start, of.0);
                    return Err(within(self, error, |fail| fail.key(&name)));
                }
            }
        }
        map.end(&mut self.out, count);
        self.levels -= 1;
        Ok(true)
    }

    /// The key that was written at `start`, for messages.
    fn key_name(&self, start: usize, of: Type) -> String {
        let mut reader = super::super::wire::Reader::new(self.out.get(start..).unwrap_or_default());
        let Ok(head) = reader.head() else { return "?".to_owned() };
        if of == Type::String {
            let text = reader.string(head.kind).unwrap_or_default();
            return String::from_utf8_lossy(text).into_owned();
        }
        match reader.integer(head.kind, of.width()) {
            Ok(number) => number.to_string(),
            Err(_) => format!("a {}", self.schema.type_name(of)),
        }
    }

    fn structure<'de, A>(&mut self, id: u32, tag: u8, object: A) -> Result<bool, A::Error>
    where
        A: MapAccess<'de>,
    {
        let schema = self.schema;
        let Some(found) = schema.structs.get(id as usize) else {
            return Err(stop(self, unknown()));
        };
        self.step_in()?;
        self.begin_struct(tag);
        self.members(&found.record, object)?;
        self.end_struct();
        self.levels -= 1;
        Ok(true)
    }

    /// The members of `record` from an object.
    fn members<'de, A>(&mut self, record: &'s Record, mut object: A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        let (first, start) = (self.slots.len(), self.out.len());
        let mut next = 0;
        loop {
            let reject = self.style.reject_unknown;
            let at = match object.next_key_seed(NameSeed { record, guess: next, reject })? {
                None => break,
                Some(Name::Known(at)) => at,
                Some(Name::Unknown(None)) => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
                Some(Name::Unknown(Some(name))) => {
                    return Err(stop(self, unknown().key(&name)));
                }
            };
            let Some(field) = record.fields.get(at) else { continue };
            next = at + 1;
            let begins = self.out.len();
            let value = ValueSeed { encoder: &mut *self, of: field.of, tag: field.tag };
            match object.next_value_seed(value) {
                Ok(true) => {
                    self.slots.push(Slot { field: at, start: begins, end: self.out.len() });
                }
                Ok(false) => {}
                Err(error) => return Err(within(self, error, |fail| fail.field(&field.name))),
            }
        }
        self.close_record(record, first, start).map_err(|fail| stop(self, fail))
    }

    /// Bytes as numbers: from 0 to 255, or signed as C++ writes them.
    fn byte_array<'de, A>(&mut self, array: &mut A) -> Result<Vec<u8>, A::Error>
    where
        A: SeqAccess<'de>,
    {
        let mut bytes = Vec::new();
        loop {
            match array.next_element::<i64>() {
                Ok(None) => return Ok(bytes),
                Ok(Some(number @ -128..=255)) => bytes.push(number as u8),
                _ => {
                    let fail = Fail::new("expected a byte (-128 to 255)").index(bytes.len());
                    return Err(stop(self, fail));
                }
            }
        }
    }

    /// Bytes as Node writes a Buffer: `{"type": "Buffer", "data": [1, 2]}`.
    fn buffer<'de, A>(&mut self, tag: u8, mut object: A) -> Result<bool, A::Error>
    where
        A: MapAccess<'de>,
    {
        let mut found = None;
        while let Some(name) = object.next_key::<std::borrow::Cow<'_, str>>()? {
            if name == "data" {
                found = Some(object.next_value_seed(BytesSeed { encoder: &mut *self })?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        match found {
            Some(bytes) => {
                write_bytes(&mut self.out, tag, &bytes);
                Ok(true)
            }
            None => {
                let fail = self.wrong(Type::Bytes, &Got::Object);
                Err(stop(self, fail))
            }
        }
    }
}

struct BytesSeed<'e, 's> {
    encoder: &'e mut Encoder<'s>,
}

impl<'de> DeserializeSeed<'de> for BytesSeed<'_, '_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for BytesSeed<'_, '_> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Vec<u8>, A::Error> {
        self.encoder.byte_array(&mut array)
    }
}

/// Reads an object into the members of a record that has no begin and end of its own.
pub(super) struct RecordSeed<'e, 's> {
    pub(super) encoder: &'e mut Encoder<'s>,
    pub(super) record: &'s Record,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the arguments")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.encoder.members(self.record, object)
    }
}

/// Reads a key of a map and appends it with tag 0.
struct KeySeed<'e, 's> {
    encoder: &'e mut Encoder<'s>,
    of: Type,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let done = self.encoder.text_value(self.of, 0, text);
        done.map_err(|fail| stop(self.encoder, fail.key(text)))
    }
}

/// Reads the name of a member.
struct NameSeed<'s> {
    record: &'s Record,
    /// The member that comes next if the client knows the order.
    guess: usize,
    reject: bool,
}

enum Name {
    Known(usize),
    /// The name, if it matters.
    Unknown(Option<String>),
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(match self.record.find(name, self.guess) {
            Some(at) => Name::Known(at),
            None => Name::Unknown(self.reject.then(|| name.to_owned())),
        })
    }
}
