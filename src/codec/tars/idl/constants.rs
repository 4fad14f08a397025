//! Values with a name: members of enums and constants.

use std::{collections::HashMap, rc::Rc};

use super::{
    Default, Type,
    ast::{Definition, EnumMember, Literal, Path, Value},
    errors::Errors,
};

/// The value of a literal.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Rc<str>),
}

impl Known {
    pub(super) fn is_true(&self) -> bool {
        matches!(self, Known::Bool(true) | Known::Integer(1))
    }
}

#[derive(Debug, std::default::Default)]
pub(super) struct Constants<'a> {
    /// By module and name.
    named: HashMap<(&'a str, &'a str), Known>,
    /// Members by index of their enum and name: two enums may have members of the same name.
    members: HashMap<(u32, &'a str), i32>,
}

impl<'a> Constants<'a> {
    /// Gives the members of the enum with index `id` their numbers.
    pub(super) fn enumerate(
        &mut self,
        id: u32,
        definition: &Definition<'a>,
        members: &[EnumMember<'a>],
        errors: &mut Errors,
    ) -> Vec<(String, i32)> {
        let mut found = Vec::with_capacity(members.len());
        let mut next = 0_i64;
        for member in members {
            if let Some(literal) = &member.value {
                match self.value(literal, definition.module, Type::Enum(id), errors) {
                    Some(Known::Integer(number)) => next = number,
                    Some(_) => errors.add(literal.at, "a member of an enum is an integer"),
                    None => {}
                }
            }
            let Ok(number) = i32::try_from(next) else {
                errors.add(member.at, format!("{next} does not fit into 32 bits"));
                next = 0;
                continue;
            };
            if self.members.insert((id, member.name), number).is_some() {
                errors.add(member.at, format!("the enum has two members `{}`", member.name));
            }
            // The first of several enums with such a member has it without the enum's name.
            let known = Known::Integer(number.into());
            self.named.entry((definition.module, member.name)).or_insert(known);
            found.push((member.name.to_owned(), number));
            next = i64::from(number) + 1;
        }
        found
    }

    /// Gives a constant its value; `None` if it is wrong, which was reported.
    pub(super) fn define(&mut self, definition: &Definition<'a>, value: Option<Default>) {
        let known = match value {
            Some(Default::Bool(value)) => Known::Bool(value),
            Some(Default::Integer(number)) => Known::Integer(number),
            Some(Default::Float(number)) => Known::Float(number),
            Some(Default::Text(text)) => Known::Text(text),
            Some(Default::Empty) | None => return,
        };
        self.named.insert((definition.module, definition.name), known);
    }

    /// The value of `literal`, which stands in `module` for something of type `of`.
    pub(super) fn value(
        &self,
        literal: &Literal<'a>,
        module: &'a str,
        of: Type,
        errors: &mut Errors,
    ) -> Option<Known> {
        Some(match &literal.value {
            Value::Bool(value) => Known::Bool(*value),
            Value::Integer(number) => Known::Integer(*number),
            Value::Float(number) => Known::Float(*number),
            Value::Text(text) => Known::Text(Rc::clone(text)),
            Value::Name(path) => return self.named(path, module, of, errors),
        })
    }

    fn named(
        &self,
        path: &Path<'a>,
        module: &'a str,
        of: Type,
        errors: &mut Errors,
    ) -> Option<Known> {
        if let Type::Enum(id) = of
            && let Some(number) = self.members.get(&(id, path.name))
        {
            return Some(Known::Integer((*number).into()));
        }
        // The scope is a module; some write the enum's name there.
        let scopes = [path.scope.unwrap_or(module), module];
        let found = scopes.iter().find_map(|scope| self.named.get(&(*scope, path.name)));
        if found.is_none() {
            let message = format!("there is no constant or member of an enum `{}`", path.name);
            errors.unknown(path.at, message);
        }
        found.cloned()
    }
}
