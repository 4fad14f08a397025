//! JSON to protobuf and back, by a message's description.
//!
//! The mapping is proto3's, with the choices of [`Json`]. What a text or a message may cost in
//! memory is estimated before it is read: a protobuf message of two bytes becomes a table of
//! hundreds.

use std::io;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    SerializeOptions, Value,
};
use serde::Deserialize;
use serde_path_to_error::{Path, Segment};

use super::wire::{self, Reader};
use crate::codec::Broken;

/// Memory that reading one message may take, by the estimate below. Measured over messages made
/// to deceive it: 0.1 to 0.9 of the estimate, and 1.2 for maps in an `Any` in JSON.
pub const MEMORY_BYTES_MAX: usize = 96 << 20;

/// Bytes of JSON that one message may become: fields that are not set have names too.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// Messages within messages, as protobuf libraries count them.
pub const LEVELS_MAX: usize = 100;

/// `google.protobuf.Any` within each other.
const ANY_LEVELS_MAX: usize = 8;

/// What a message costs with its first field, and what every further value does.
const MESSAGE_COST: usize = 896;
const VALUE_COST: usize = 128;

const ANY: &str = "google.protobuf.Any";

/// Types whose files have messages that a single JSON value becomes.
const BOXING: &[&str] = &[ANY, "google.protobuf.Value", "google.protobuf.Int32Value"];

/// A text or message of fewer bytes cannot cost too much: the cheapest message has two.
const CHEAP_BYTES: usize = MEMORY_BYTES_MAX / MESSAGE_COST * 2;

/// The choices that the JSON mapping leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Json {
    /// 64-bit integers in answers.
    pub int64: Int64,
    /// Enum values in answers; calls may have either.
    pub enums: Enums,
    /// Field names in answers; calls may have either.
    pub names: Names,
    /// Fields of answers that have their default value.
    pub defaults: Defaults,
    /// Fields of calls that the message does not have.
    pub unknown: Unknown,
}

/// How answers write 64-bit integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Int64 {
    /// As text, which no JavaScript rounds.
    #[default]
    String,
    /// As numbers.
    Number,
}

/// How answers write enum values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enums {
    /// By name.
    #[default]
    Name,
    /// By number.
    Number,
}

/// How answers write field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// As in the description.
    #[default]
    Original,
    /// In lowerCamelCase, or as the description says for JSON.
    Camel,
}

/// Whether answers have fields with default values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defaults {
    /// They do.
    #[default]
    Emit,
    /// They do not.
    Omit,
}

/// What happens to fields of calls that the message does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// The call is refused.
    #[default]
    Reject,
    /// They are left out.
    Ignore,
}

impl Json {
    /// The protobuf form of a JSON text.
    ///
    /// # Errors
    /// The path of the field, and what was expected.
    pub fn encode(&self, message: &MessageDescriptor, text: &[u8]) -> Result<Vec<u8>, String> {
        if text.len() > CHEAP_BYTES && json_cost(message.parent_pool(), text) > MEMORY_BYTES_MAX {
            return Err("the body has too many values".to_owned());
        }
        let options =
            DeserializeOptions::new().deny_unknown_fields(self.unknown == Unknown::Reject);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
        let read = DynamicMessage::deserialize_with_options(message.clone(), tracked, &options);
        let value = read.map_err(|error| refusal(message, &track.path(), &error))?;
        reader.end().map_err(|error| format!("the body is no JSON: {error}"))?;
        Ok(value.encode_to_vec())
    }

    /// The JSON form of a protobuf message.
    ///
    /// # Errors
    /// The bytes are no such message, or it is too large or too deep.
    pub fn decode(&self, message: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        let value = read(message, bytes)?;
        let pool = message.parent_pool();
        if pool.get_message_by_name(ANY).is_some() {
            check_any(&value, pool, ANY_LEVELS_MAX)?;
        }
        let options = SerializeOptions::new()
            .stringify_64_bit_integers(self.int64 == Int64::String)
            .use_enum_numbers(self.enums == Enums::Number)
            .use_proto_field_name(self.names == Names::Original)
            .skip_default_fields(self.defaults == Defaults::Omit);
        let mut out = Bounded(Vec::new());
        let mut writer = serde_json::Serializer::new(&mut out);
        value.serialize_with_options(&mut writer, &options).map_err(|error| {
            Broken(format!("{} cannot be written as JSON: {error}", message.full_name()))
        })?;
        Ok(out.0)
    }
}

/// Reads a message whose cost has been checked.
pub(super) fn read(message: &MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, Broken> {
    if bytes.len() > CHEAP_BYTES {
        let mut left = MEMORY_BYTES_MAX;
        spend(&mut Reader::new(bytes), Some(message), &mut left, 0)?;
    }
    DynamicMessage::decode(message.clone(), bytes)
        .map_err(|error| Broken(format!("the body is no {}: {error}", message.full_name())))
}

/// Takes from `left` what the fields up to the end, or to the end of a group, will cost.
fn spend(
    reader: &mut Reader<'_>,
    message: Option<&MessageDescriptor>,
    left: &mut usize,
    level: usize,
) -> Result<(), Broken> {
    if level > LEVELS_MAX {
        return Err(Broken(format!("messages nest deeper than {LEVELS_MAX}")));
    }
    take(left, MESSAGE_COST)?;
    while let Some((number, value)) = reader.field()? {
        take(left, VALUE_COST)?;
        let field = message.and_then(|message| message.get_field(number));
        match value {
            wire::Value::GroupEnd => return Ok(()),
            wire::Value::GroupStart => {
                let kind = field.as_ref().map(FieldDescriptor::kind);
                spend(reader, kind.as_ref().and_then(Kind::as_message), left, level + 1)?;
            }
            wire::Value::Bytes(bytes) => match field.as_ref().map(FieldDescriptor::kind) {
                Some(Kind::Message(inner)) => {
                    spend(&mut Reader::new(bytes), Some(&inner), left, level + 1)?;
                }
                None | Some(Kind::String | Kind::Bytes) => {}
                // A packed list. How many values there are at most is enough.
                Some(Kind::Double | Kind::Fixed64 | Kind::Sfixed64) => {
                    take(left, bytes.len() / 8 * VALUE_COST)?;
                }
                Some(Kind::Float | Kind::Fixed32 | Kind::Sfixed32) => {
                    take(left, bytes.len() / 4 * VALUE_COST)?;
                }
                Some(_) => {
                    let values = bytes.iter().filter(|byte| **byte < 0x80).count();
                    take(left, values * VALUE_COST)?;
                }
            },
            _ => {}
        }
    }
    Ok(())
}

fn take(left: &mut usize, cost: usize) -> Result<(), Broken> {
    *left = left.checked_sub(cost).ok_or_else(|| {
        Broken(format!("the message would take more than {MEMORY_BYTES_MAX} bytes of memory"))
    })?;
    Ok(())
}

/// What the values of a JSON text will cost as a message. With types that box single values,
/// each of them may be a message.
fn json_cost(pool: &DescriptorPool, text: &[u8]) -> usize {
    let boxed = BOXING.iter().any(|name| pool.get_message_by_name(name).is_some());
    let value_cost = if boxed { MESSAGE_COST } else { VALUE_COST };
    let (mut cost, mut quoted, mut escaped) = (MESSAGE_COST, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => cost += MESSAGE_COST,
            b',' | b':' => cost += value_cost,
            _ => {}
        }
    }
    cost
}

/// Messages within `Any` are read only when the JSON is written, without a bound of their own.
fn check_any(message: &DynamicMessage, pool: &DescriptorPool, levels: usize) -> Result<(), Broken> {
    use prost_reflect::ReflectMessage as _;
    if message.descriptor().full_name() == ANY {
        let (url, bytes) = (message.get_field_by_number(1), message.get_field_by_number(2));
        let url = url.as_deref().and_then(Value::as_str).unwrap_or_default();
        let name = url.rsplit('/').next().unwrap_or_default();
        let inner = pool.get_message_by_name(name);
        if let (Some(inner), Some(bytes)) = (inner, bytes.as_deref().and_then(Value::as_bytes)) {
            let Some(levels) = levels.checked_sub(1) else {
                return Err(Broken(format!("Any nests deeper than {ANY_LEVELS_MAX}")));
            };
            check_any(&read(&inner, bytes)?, pool, levels)?;
        }
        return Ok(());
    }
    for (_, value) in message.fields() {
        match value {
            Value::Message(inner) => check_any(inner, pool, levels)?,
            Value::List(values) => {
                for inner in values.iter().filter_map(Value::as_message) {
                    check_any(inner, pool, levels)?;
                }
            }
            Value::Map(values) => {
                for inner in values.values().filter_map(Value::as_message) {
                    check_any(inner, pool, levels)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text of an answer, up to [`JSON_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > JSON_BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {JSON_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a client is told about JSON that is no such message.
fn refusal(message: &MessageDescriptor, path: &Path, error: &serde_json::Error) -> String {
    if error.is_syntax() || error.is_eof() {
        return format!("the body is no JSON: {error}");
    }
    let mut at = "body".to_owned();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => at.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                at.push('.');
                at.extend(key.chars().take(64));
            }
            Segment::Enum { variant } => at.push_str(&format!(".{variant}")),
            Segment::Unknown => at.push_str(".?"),
        }
    }
    let what = error.to_string();
    // The path says better where it is.
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    let kind = expected(message, path);
    // The reader's path ends at the object; the name is only in its words.
    let unknown = what.strip_prefix("unrecognized field name '").and_then(|n| n.strip_suffix('\''));
    if let (Some(name), Some(kind)) = (unknown, &kind) {
        let name: String = name.chars().take(64).collect();
        let owner = kind.rsplit(' ').next().unwrap_or_default();
        return format!("{at}.{name}: there is no such field in {owner}");
    }
    // The description says better what the field is than the reader does.
    let what = match kind {
        Some(_) => what.split_once(", expected ").map_or(what, |(what, _)| what),
        None => what,
    };
    // Names and values that a client sent may be long; the message need not be.
    let what: String = what.chars().take(256).collect();
    match kind {
        Some(kind) => format!("{at}: {what} (expected {kind})"),
        None => format!("{at}: {what}"),
    }
}

/// What the description says about the field at `path`, if there is such a field.
fn expected(message: &MessageDescriptor, path: &Path) -> Option<String> {
    let mut message = Some(message.clone());
    let mut field: Option<FieldDescriptor> = None;
    let mut inside = false;
    for segment in path.iter() {
        match segment {
            Segment::Seq { .. } => inside = true,
            Segment::Map { .. } if field.as_ref().is_some_and(|f| f.is_map() && !inside) => {
                inside = true;
            }
            Segment::Map { key } => {
                let owner = match &field {
                    None => message.take()?,
                    Some(field) => value_kind(field).as_message()?.clone(),
                };
                let found = owner.get_field_by_json_name(key);
                field = Some(found.or_else(|| owner.get_field_by_name(key))?);
                inside = false;
            }
            Segment::Enum { .. } | Segment::Unknown => return None,
        }
    }
    let Some(field) = field else {
        return message.map(|message| format!("an object for {}", message.full_name()));
    };
    Some(match (field.is_map() && !inside, field.is_list() && !inside) {
        (true, _) => format!("a map to {}", kind_name(&value_kind(&field))),
        (_, true) => format!("a list of {}", kind_name(&field.kind())),
        _ => kind_name(&value_kind(&field)),
    })
}

/// The kind of a field, for a map that of its values.
fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "a string".to_owned(),
        Kind::Bytes => "base64".to_owned(),
        Kind::Enum(kind) => format!("a value of enum {}", kind.full_name()),
        Kind::Message(kind) => format!("an object for {}", kind.full_name()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a 32-bit integer".to_owned(),
        Kind::Uint32 | Kind::Fixed32 => "a 32-bit integer not below 0".to_owned(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a 64-bit integer".to_owned(),
        Kind::Uint64 | Kind::Fixed64 => "a 64-bit integer not below 0".to_owned(),
    }
}
