//! `.tars` files: what the items of a packet mean.
//!
//! [`Schema::compile`] reads all files of a description and looks every name up, or says what is
//! wrong with file, line and column, as much as can be found at once. Each file is read once,
//! those it includes first. Within them everything sees everything: a name needs no include
//! where the files are given together, and no order.
//!
//! Bounds: [`SOURCE_BYTES_MAX`] of text, 16 levels of vectors and maps in a type, and at most 128
//! bytes of memory for a byte of text, which `t/bounds.rs` measures.

mod ast;
mod constants;
mod errors;
mod lexer;
mod parser;
mod resolve;
mod sources;
mod weigh;

use std::{collections::HashMap, rc::Rc};

pub use errors::IdlError;

use super::super::registry::Source;
use super::wire::Width;

/// Bytes of all files of one description.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Files of one description.
pub const SOURCES_MAX: usize = 1000;

/// The name under which a return value stands among the results. No parameter may have it.
pub const RETURN: &str = "tars_ret";

/// A type whose names were looked up; the numbers are indices into the [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `byte`, signed.
    Byte,
    /// `short`
    Short,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `unsigned byte`
    UnsignedByte,
    /// `unsigned short`
    UnsignedShort,
    /// `unsigned int`
    UnsignedInt,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `string`
    String,
    /// `vector<byte>`
    Bytes,
    /// Any other vector.
    Vector(u32),
    /// `map`
    Map(u32),
    /// An enum.
    Enum(u32),
    /// A struct.
    Struct(u32),
}

impl Type {
    /// The least and the largest number of an integer type.
    #[must_use]
    pub fn range(self) -> Option<(i64, i64)> {
        Some(match self {
            Type::Byte => (i8::MIN.into(), i8::MAX.into()),
            Type::Short => (i16::MIN.into(), i16::MAX.into()),
            Type::Int | Type::Enum(_) => (i32::MIN.into(), i32::MAX.into()),
            Type::Long => (i64::MIN, i64::MAX),
            Type::UnsignedByte => (0, u8::MAX.into()),
            Type::UnsignedShort => (0, u16::MAX.into()),
            Type::UnsignedInt => (0, u32::MAX.into()),
            _ => return None,
        })
    }

    /// The widest item that an integer type takes; unsigned ones travel as the next wider.
    #[must_use]
    pub fn width(self) -> Width {
        match self {
            Type::Bool | Type::Byte => Width::One,
            Type::Short | Type::UnsignedByte => Width::Two,
            Type::Int | Type::UnsignedShort | Type::Enum(_) => Width::Four,
            _ => Width::Eight,
        }
    }
}

/// What a member has if it is absent; for other types than these the empty value.
#[derive(Debug, Clone, PartialEq)]
pub enum Default {
    /// The type's own: 0, false, empty, or a struct of defaults.
    Empty,
    /// Of a `bool`.
    Bool(bool),
    /// Of an integer or enum.
    Integer(i64),
    /// Of a `float` or `double`.
    Float(f64),
    /// Of a `string`.
    Text(Rc<str>),
}

/// A member of a struct, a parameter, or a return value.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its tag on the wire.
    pub tag: u8,
    /// Its name in JSON.
    pub name: String,
    /// Its type.
    pub of: Type,
    /// Whether it must be there.
    pub required: bool,
    /// Its value when it is not.
    pub default: Default,
    /// The name as JSON writes it, with a colon behind it.
    pub key: Vec<u8>,
}

impl Field {
    fn new(tag: u8, name: &str, of: Type) -> Self {
        // Names are ASCII words: nothing in them needs escaping.
        let key = format!("\"{name}\":").into_bytes();
        Field { tag, name: name.to_owned(), of, required: true, default: Default::Empty, key }
    }
}

/// Members in the order of their tags: a struct, the arguments of a function, its results.
#[derive(Debug, Clone, std::default::Default)]
pub struct Record {
    /// In the order of their tags, which are unique.
    pub fields: Vec<Field>,
    by_name: Vec<u32>,
    required: usize,
}

impl Record {
    fn new(mut fields: Vec<Field>) -> Self {
        fields.sort_by_key(|field| field.tag);
        let mut by_name: Vec<u32> = (0..fields.len() as u32).collect();
        let name = |at: &u32| fields.get(*at as usize).map(|field| field.name.as_str());
        by_name.sort_by(|a, b| name(a).cmp(&name(b)));
        let required = fields.iter().filter(|field| field.required).count();
        Record { fields, by_name, required }
    }

    /// The index of the field called `name`; `guess` is looked at first.
    #[must_use]
    pub fn find(&self, name: &str, guess: usize) -> Option<usize> {
        if self.fields.get(guess).is_some_and(|field| field.name == name) {
            return Some(guess);
        }
        let found = self.by_name.binary_search_by(|at| {
            self.fields.get(*at as usize).map_or("", |field| &field.name).cmp(name)
        });
        self.by_name.get(found.ok()?).map(|at| *at as usize)
    }

    /// How many fields must be there.
    #[must_use]
    pub fn required(&self) -> usize {
        self.required
    }
}

/// A struct.
#[derive(Debug, Clone)]
pub struct Struct {
    /// `Module.Name`
    pub name: String,
    /// Its members.
    pub record: Record,
}

/// An enum.
#[derive(Debug, Clone)]
pub struct Enum {
    /// `Module.Name`
    pub name: String,
    /// In the order of the file.
    pub members: Vec<(String, i32)>,
}

impl Enum {
    /// The number of the member called `name`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i32> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, number)| *number)
    }

    /// The first member with `number`.
    #[must_use]
    pub fn member(&self, number: i32) -> Option<&str> {
        self.members.iter().find(|(_, found)| *found == number).map(|(name, _)| name.as_str())
    }
}

/// A function of an interface.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: Rc<str>,
    /// Parameters that go in.
    pub input: Record,
    /// The return value, as [`RETURN`], unless it is `void`; and the parameters that come out.
    pub output: Record,
}

/// An interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// `Module.Name`
    pub name: String,
    /// By name.
    pub functions: HashMap<String, Rc<Function>>,
}

/// Everything that the files define.
#[derive(Debug, Clone, std::default::Default)]
pub struct Schema {
    /// Element types of [`Type::Vector`].
    pub vectors: Vec<Type>,
    /// Types of key and value of [`Type::Map`].
    pub maps: Vec<(Type, Type)>,
    /// Of [`Type::Enum`].
    pub enums: Vec<Enum>,
    /// Of [`Type::Struct`].
    pub structs: Vec<Struct>,
    /// In the order of the files.
    pub interfaces: Vec<Interface>,
}

impl Schema {
    /// Reads `sources`.
    ///
    /// # Errors
    /// Everything that is wrong with them, in the order of files and lines.
    pub fn compile(sources: &[Source<'_>]) -> Result<Self, Vec<IdlError>> {
        resolve::compile(sources, false)
    }

    /// Checks one file without those it includes: names that may stand in them are not looked
    /// up.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(source: &Source<'_>) -> Result<(), Vec<IdlError>> {
        resolve::compile(std::slice::from_ref(source), true).map(drop)
    }

    /// The interface called `name`, with `.` or `::` behind the module, or without module if
    /// no other has this name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        let name = name.replace("::", ".");
        if let Some(found) = self.interfaces.iter().find(|interface| interface.name == name) {
            return Some(found);
        }
        let short = |interface: &&Interface| {
            interface.name.rsplit_once('.').is_some_and(|(_, short)| short == name)
        };
        let mut found = self.interfaces.iter().filter(short);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The types of key and value of a map.
    #[must_use]
    pub fn map(&self, id: u32) -> (Type, Type) {
        self.maps.get(id as usize).copied().unwrap_or((Type::String, Type::String))
    }

    /// The type of a vector's elements.
    #[must_use]
    pub fn vector(&self, id: u32) -> Type {
        self.vectors.get(id as usize).copied().unwrap_or(Type::Int)
    }

    /// The type as the files write it, with what it takes: `short (-32768 to 32767)`.
    #[must_use]
    pub fn describe(&self, of: Type) -> String {
        match of {
            Type::Enum(id) => {
                let Some(found) = self.enums.get(id as usize) else { return "enum".to_owned() };
                let names = found.members.iter().take(8).map(|(name, _)| name.as_str());
                let names: Vec<&str> = names.collect();
                let more = if found.members.len() > names.len() { ", …" } else { "" };
                format!("enum {} ({}{more}, or a number)", found.name, names.join(", "))
            }
            _ => match of.range() {
                Some((min, max)) => format!("{} ({min} to {max})", self.type_name(of)),
                None => self.type_name(of),
            },
        }
    }

    /// The type as the files write it.
    #[must_use]
    pub fn type_name(&self, of: Type) -> String {
        let plain = match of {
            Type::Bool => "bool",
            Type::Byte => "byte",
            Type::Short => "short",
            Type::Int => "int",
            Type::Long => "long",
            Type::UnsignedByte => "unsigned byte",
            Type::UnsignedShort => "unsigned short",
            Type::UnsignedInt => "unsigned int",
            Type::Float => "float",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "vector<byte>",
            Type::Vector(id) => return format!("vector<{}>", self.type_name(self.vector(id))),
            Type::Map(id) => {
                let (key, value) = self.map(id);
                return format!("map<{}, {}>", self.type_name(key), self.type_name(value));
            }
            Type::Enum(id) => self.enums.get(id as usize).map_or("enum", |found| &found.name),
            Type::Struct(id) => self.structs.get(id as usize).map_or("struct", |found| &found.name),
        };
        plain.to_owned()
    }
}

/// The files that a file includes, as it names them, whatever else is wrong with it.
#[must_use]
pub fn includes(text: &[u8]) -> Vec<String> {
    let parsed = parser::parse(0, text, &mut errors::Errors::default());
    parsed.includes.into_iter().map(|(_, name)| name).collect()
}

/// The errors as lines.
#[must_use]
pub fn lines(errors: &[IdlError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
