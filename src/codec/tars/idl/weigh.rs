//! What an absent struct would be written as: every struct has a value of defaults, so none may
//! contain itself, and the value must be small.

use super::{
    Default, Schema, Type,
    errors::{At, Errors},
};

/// Bytes of JSON of a struct of defaults, nearly: structs in structs in structs can grow
/// exponentially.
const DEFAULT_BYTES_MAX: usize = 64 << 10;

/// Structs within structs, not counting those in vectors and maps.
const NESTING_MAX: usize = 32;

/// Checks all structs; `places` are where they stand.
pub(super) fn check(schema: &Schema, places: &[At], errors: &mut Errors) {
    let mut scale = Scale { schema, known: vec![Weight::Unknown; schema.structs.len()] };
    for (id, at) in places.iter().enumerate() {
        match scale.weigh(id, 0) {
            Ok(_) => {}
            Err(Fault::Circle) => errors.add(*at, "the struct contains itself"),
            Err(Fault::Large) => errors.add(*at, "the structs in this struct are too many"),
            Err(Fault::Known) => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Weight {
    Unknown,
    Open,
    Bytes(usize),
    Bad,
}

enum Fault {
    Circle,
    Large,
    /// Reported for a struct within this one.
    Known,
}

struct Scale<'s> {
    schema: &'s Schema,
    known: Vec<Weight>,
}

impl Scale<'_> {
    fn weigh(&mut self, id: usize, level: usize) -> Result<usize, Fault> {
        match self.known.get(id) {
            Some(Weight::Bytes(bytes)) => return Ok(*bytes),
            Some(Weight::Open) => return Err(Fault::Circle),
            Some(Weight::Unknown) if level < NESTING_MAX => {}
            Some(Weight::Unknown) => return Err(Fault::Large),
            Some(Weight::Bad) | None => return Err(Fault::Known),
        }
        self.set(id, Weight::Open);
        let weighed = self.weigh_fields(id, level);
        match weighed {
            Ok(bytes) => self.set(id, Weight::Bytes(bytes)),
            Err(_) => self.set(id, Weight::Bad),
        }
        weighed
    }

    fn weigh_fields(&mut self, id: usize, level: usize) -> Result<usize, Fault> {
        let schema = self.schema;
        let Some(found) = schema.structs.get(id) else { return Ok(0) };
        let mut bytes = 2_usize;
        for field in &found.record.fields {
            bytes += field.key.len() + 1;
            bytes += match (&field.default, field.of) {
                (Default::Text(text), _) => 2 + text.len() * 6,
                (_, Type::Struct(inner)) => self.weigh(inner as usize, level + 1)?,
                _ => 24,
            };
            if bytes > DEFAULT_BYTES_MAX {
                return Err(Fault::Large);
            }
        }
        Ok(bytes)
    }

    fn set(&mut self, id: usize, weight: Weight) {
        if let Some(place) = self.known.get_mut(id) {
            *place = weight;
        }
    }
}
