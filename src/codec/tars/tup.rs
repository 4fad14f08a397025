//! TUP bodies: arguments and results by name instead of by position.

use super::{
    idl::{RETURN, Record, Schema, Type},
    wire::{Fault, Kind, Reader, write_bytes, write_head, write_integer, write_string},
};

/// Under this name C++ servers repeat the return value, whose name is empty otherwise.
const RETURN_KEYS: [&[u8]; 2] = [b"", RETURN.as_bytes()];

/// Turns `items`, the members of `record`, into a map by name; into one from name to class name
/// to value if `classes` has the types.
///
/// # Errors
/// `items` are no items.
pub(super) fn pack(
    items: &[u8],
    record: &Record,
    classes: Option<&Schema>,
) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(items.len() + 16 * record.fields.len() + 8);
    write_head(&mut out, 0, Kind::Map);
    let mut reader = Reader::new(items);
    let mut found = Vec::with_capacity(record.fields.len());
    for field in &record.fields {
        if let Some(kind) = reader.find(field.tag)? {
            let before = reader.rest();
            reader.skip(kind)?;
            let length = before.len() - reader.rest().len();
            found.push((field, kind, before.get(..length).unwrap_or_default()));
        }
    }
    write_integer(&mut out, 0, found.len() as i64);
    let mut value = Vec::new();
    for (field, kind, data) in found {
        value.clear();
        write_head(&mut value, 0, kind);
        value.extend_from_slice(data);
        write_string(&mut out, 0, field.name.as_bytes());
        match classes {
            None => write_bytes(&mut out, 1, &value),
            Some(schema) => {
                write_head(&mut out, 1, Kind::Map);
                write_integer(&mut out, 0, 1);
                write_string(&mut out, 0, class(schema, field.of).as_bytes());
                write_bytes(&mut out, 1, &value);
            }
        }
    }
    Ok(out)
}

/// The values of the fields of `record` in a body, each an item with tag 0.
///
/// # Errors
/// The body is no map of bytes.
pub(super) fn unpack<'a>(body: &'a [u8], record: &Record) -> Result<Vec<Option<&'a [u8]>>, Fault> {
    let mut values = vec![None; record.fields.len()];
    let mut reader = Reader::new(body);
    let kind = reader.need(0)?;
    if kind != Kind::Map {
        return Err(Fault::Kind { found: kind, wanted: "a map" });
    }
    for _ in 0..reader.count(2)? {
        let kind = reader.need(0)?;
        let name = reader.string(kind)?;
        let kind = reader.need(1)?;
        let value = match kind {
            Kind::Map => only_value(&mut reader)?,
            kind => Some(reader.bytes(kind)?),
        };
        let first = record.fields.first().filter(|field| field.name == RETURN);
        let at = if first.is_some() && RETURN_KEYS.contains(&name) {
            // The empty name goes first, whatever the order.
            let place = values.first().copied().flatten();
            (name.is_empty() || place.is_none()).then_some(0)
        } else {
            str::from_utf8(name).ok().and_then(|name| record.find(name, 0))
        };
        if let Some(place) = at.and_then(|at| values.get_mut(at)) {
            *place = value;
        }
    }
    Ok(values)
}

/// The value of a map with one pair, class name and value; the last if there are more.
fn only_value<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Fault> {
    let mut value = None;
    for _ in 0..reader.count(2)? {
        let kind = reader.need(0)?;
        reader.string(kind)?;
        let kind = reader.need(1)?;
        value = Some(reader.bytes(kind)?);
    }
    Ok(value)
}

/// What old peers call a type.
fn class(schema: &Schema, of: Type) -> String {
    let plain = match of {
        Type::Bool => "bool",
        Type::Byte => "char",
        Type::Short | Type::UnsignedByte => "short",
        Type::Int | Type::UnsignedShort | Type::Enum(_) => "int32",
        Type::Long | Type::UnsignedInt => "int64",
        Type::Float => "float",
        Type::Double => "double",
        Type::String => "string",
        Type::Bytes => "list<char>",
        Type::Vector(id) => return format!("list<{}>", class(schema, schema.vector(id))),
        Type::Map(id) => {
            let (key, value) = schema.map(id);
            return format!("map<{},{}>", class(schema, key), class(schema, value));
        }
        Type::Struct(_) => return schema.type_name(of),
    };
    plain.to_owned()
}
