//! Definitions to a schema: every name is looked up, every default checked.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use super::{
    super::super::registry::Source,
    Default, Enum, Field, Function, IdlError, Interface, RETURN, Record, Schema, Struct, Type,
    ast::{self, Definition, Item, Literal, Path, TypeName},
    constants::{Constants, Known},
    errors::{At, Errors},
    sources, weigh,
};

/// Compiles `sources`; `open` if names may stand in files that are not among them.
pub(super) fn compile(sources: &[Source<'_>], open: bool) -> Result<Schema, Vec<IdlError>> {
    let mut errors = Errors::default();
    errors.open = open;
    let definitions = sources::read(sources, &mut errors);
    let mut resolver = Resolver {
        errors: &mut errors,
        names: HashMap::new(),
        constants: Constants::default(),
        schema: Schema::default(),
        vectors: HashMap::new(),
        maps: HashMap::new(),
    };
    resolver.declare(&definitions, sources);
    resolver.values(&definitions);
    let structs = resolver.structs(&definitions);
    resolver.interfaces(&definitions);
    let schema = resolver.schema;
    weigh::check(&schema, &structs, &mut errors);
    if errors.is_empty() {
        return Ok(schema);
    }
    let names: Vec<&str> = sources.iter().map(|source| source.name).collect();
    Err(errors.finish(&names))
}

struct Resolver<'a, 'e> {
    errors: &'e mut Errors,
    /// What a name in a module is.
    names: HashMap<(&'a str, &'a str), (Named, At)>,
    constants: Constants<'a>,
    schema: Schema,
    /// Vectors by their element's type, so that equal types have one index.
    vectors: HashMap<Type, u32>,
    maps: HashMap<(Type, Type), u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Struct(u32),
    Enum(u32),
    Other,
}

impl<'a> Resolver<'a, '_> {
    /// Gives every definition its place, so that they may use each other in any order.
    fn declare(&mut self, definitions: &[Definition<'a>], sources: &[Source<'_>]) {
        for definition in definitions {
            let name = format!("{}.{}", definition.module, definition.name);
            let named = match &definition.item {
                Item::Key(_) => continue,
                Item::Struct(_) => {
                    self.schema.structs.push(Struct { name, record: Record::default() });
                    Named::Struct(self.schema.structs.len() as u32 - 1)
                }
                Item::Enum(_) => {
                    self.schema.enums.push(Enum { name, members: Vec::new() });
                    Named::Enum(self.schema.enums.len() as u32 - 1)
                }
                Item::Const(..) | Item::Interface(_) => Named::Other,
            };
            let key = (definition.module, definition.name);
            if let Some((_, At { file, line, .. })) = self.names.get(&key) {
                let file = sources.get(*file).map_or("", |source| source.name);
                let message = format!("`{}` is already defined in {file}:{line}", definition.name);
                self.errors.add(definition.at, message);
                continue;
            }
            self.names.insert(key, (named, definition.at));
        }
    }

    /// The values of enums and constants, in the order of the files.
    fn values(&mut self, definitions: &[Definition<'a>]) {
        let mut id = 0_u32;
        for definition in definitions {
            match &definition.item {
                Item::Enum(members) => {
                    let found = self.constants.enumerate(id, definition, members, self.errors);
                    if let Some(place) = self.schema.enums.get_mut(id as usize) {
                        place.members = found;
                    }
                    id += 1;
                }
                Item::Const(of, value) => {
                    if let Some(of) = self.constant_type(of, definition) {
                        let known = self.default(of, value, definition.module);
                        self.constants.define(definition, known);
                    }
                }
                _ => {}
            }
        }
    }

    fn constant_type(&mut self, of: &TypeName<'a>, definition: &Definition<'a>) -> Option<Type> {
        let of = self.type_of(of, definition.module)?;
        match of {
            Type::Bytes | Type::Vector(_) | Type::Map(_) | Type::Struct(_) => {
                let name = self.schema.type_name(of);
                self.errors.add(definition.at, format!("a constant cannot be a {name}"));
                None
            }
            of => Some(of),
        }
    }

    /// The value that `literal` gives to something of type `of`.
    fn default(&mut self, of: Type, literal: &Literal<'a>, module: &'a str) -> Option<Default> {
        let value = self.constants.value(literal, module, of, self.errors)?;
        let fits = match (&value, of) {
            (Known::Bool(value), Type::Bool) => Some(Default::Bool(*value)),
            (Known::Integer(0 | 1), Type::Bool) => Some(Default::Bool(value.is_true())),
            (Known::Integer(number), Type::Float | Type::Double) => {
                Some(Default::Float(*number as f64))
            }
            (Known::Float(number), Type::Double) => Some(Default::Float(*number)),
            (Known::Float(number), Type::Float) if (*number as f32).is_finite() => {
                Some(Default::Float(*number))
            }
            (Known::Text(text), Type::String) => Some(Default::Text(Rc::clone(text))),
            (Known::Integer(number), of) => match of.range() {
                Some((min, max)) if (min..=max).contains(number) => Some(Default::Integer(*number)),
                _ => None,
            },
            _ => None,
        };
        if fits.is_none() {
            let message = format!("this is no {}", self.schema.describe(of));
            self.errors.add(literal.at, message);
        }
        fits
    }

    /// The members of structs; returns where each struct stands.
    fn structs(&mut self, definitions: &[Definition<'a>]) -> Vec<At> {
        let mut places = Vec::new();
        for definition in definitions {
            if let Item::Struct(members) = &definition.item {
                let record = self.record(members, definition.module);
                if let Some(place) = self.schema.structs.get_mut(places.len()) {
                    place.record = record;
                }
                places.push(definition.at);
            }
        }
        for definition in definitions {
            if let Item::Key(members) = &definition.item {
                self.key(definition, members);
            }
        }
        places
    }

    fn record(&mut self, members: &[ast::Member<'a>], module: &'a str) -> Record {
        let (mut names, mut tags) = (HashSet::new(), HashSet::new());
        let mut fields = Vec::with_capacity(members.len());
        for member in members {
            if !names.insert(member.name) {
                let message = format!("the struct has two members `{}`", member.name);
                self.errors.add(member.at, message);
            }
            if !tags.insert(member.tag) {
                self.errors.add(member.at, format!("the struct has two members {}", member.tag));
            }
            let Some(of) = self.type_of(&member.of, module) else { continue };
            let mut field = Field::new(member.tag, member.name, of);
            field.required = member.required;
            if let Some(default) = &member.default
                && let Some(default) = self.default(of, default, module)
            {
                field.default = default;
            }
            fields.push(field);
        }
        Record::new(fields)
    }

    fn key(&mut self, definition: &Definition<'a>, members: &[(At, &'a str)]) {
        let found = self.names.get(&(definition.module, definition.name));
        let Some((Named::Struct(id), _)) = found else {
            let message = format!("there is no struct `{}`", definition.name);
            return self.errors.unknown(definition.at, message);
        };
        let fields = self.schema.structs.get(*id as usize).map(|found| &found.record);
        for (at, name) in members {
            if fields.is_some_and(|record| record.find(name, 0).is_none()) {
                let message = format!("struct `{}` has no member `{name}`", definition.name);
                self.errors.unknown(*at, message);
            }
        }
    }

    fn interfaces(&mut self, definitions: &[Definition<'a>]) {
        for definition in definitions {
            let Item::Interface(found) = &definition.item else { continue };
            let mut functions = HashMap::new();
            for function in found {
                let (input, output) = self.parameters(function, definition.module);
                let name = function.name.into();
                let known = Rc::new(Function { name, input, output });
                if functions.insert(function.name.to_owned(), known).is_some() {
                    let message = format!("the interface has two functions `{}`", function.name);
                    self.errors.add(function.at, message);
                }
            }
            let name = format!("{}.{}", definition.module, definition.name);
            self.schema.interfaces.push(Interface { name, functions });
        }
    }

    fn parameters(&mut self, function: &ast::Function<'a>, module: &'a str) -> (Record, Record) {
        let (mut input, mut output) = (Vec::new(), Vec::new());
        if let Some(of) = function.returns.as_ref().and_then(|of| self.type_of(of, module)) {
            output.push(Field::new(0, RETURN, of));
        }
        let mut names = HashSet::new();
        for (parameter, tag) in function.parameters.iter().zip(1..=u8::MAX) {
            if !names.insert(parameter.name) {
                let message = format!("the function has two parameters `{}`", parameter.name);
                self.errors.add(parameter.at, message);
            }
            if parameter.name == RETURN {
                let message = format!("`{RETURN}` stands for the return value");
                self.errors.add(parameter.at, message);
            }
            let Some(of) = self.type_of(&parameter.of, module) else { continue };
            let list = if parameter.out { &mut output } else { &mut input };
            list.push(Field::new(tag, parameter.name, of));
        }
        (Record::new(input), Record::new(output))
    }

    fn type_of(&mut self, name: &TypeName<'a>, module: &'a str) -> Option<Type> {
        match name {
            TypeName::Plain(of) => Some(*of),
            TypeName::Named(path) => self.named(path, module),
            TypeName::Vector(of) => {
                let of = self.type_of(of, module)?;
                let list = &mut self.schema.vectors;
                let id = *self.vectors.entry(of).or_insert_with(|| {
                    list.push(of);
                    list.len() as u32 - 1
                });
                Some(Type::Vector(id))
            }
            TypeName::Map(of) => {
                let (key, value) = (&of.0, &of.1);
                let (key, value) = (self.type_of(key, module), self.type_of(value, module));
                let (key, value) = (key?, value?);
                let list = &mut self.schema.maps;
                let id = *self.maps.entry((key, value)).or_insert_with(|| {
                    list.push((key, value));
                    list.len() as u32 - 1
                });
                Some(Type::Map(id))
            }
        }
    }

    fn named(&mut self, path: &Path<'a>, module: &'a str) -> Option<Type> {
        match self.names.get(&(path.scope.unwrap_or(module), path.name)) {
            Some((Named::Struct(id), _)) => return Some(Type::Struct(*id)),
            Some((Named::Enum(id), _)) => return Some(Type::Enum(*id)),
            Some((Named::Other, _)) => {
                self.errors.add(path.at, format!("`{}` is no type", path.name));
            }
            None => {
                let scope = path.scope.map(|scope| format!("{scope}::")).unwrap_or_default();
                let message = format!("there is no type `{scope}{}`", path.name);
                self.errors.unknown(path.at, message);
            }
        }
        None
    }
}
