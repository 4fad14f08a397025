//! Files as they were written, names not looked up yet.

use std::rc::Rc;

use super::{Type, errors::At};

/// A definition and the module it stands in.
#[derive(Debug)]
pub(super) struct Definition<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) at: At,
    pub(super) item: Item<'a>,
}

#[derive(Debug)]
pub(super) enum Item<'a> {
    Struct(Vec<Member<'a>>),
    Enum(Vec<EnumMember<'a>>),
    Const(TypeName<'a>, Literal<'a>),
    Interface(Vec<Function<'a>>),
    /// The struct is the definition's name.
    Key(Vec<(At, &'a str)>),
}

#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) at: At,
    pub(super) tag: u8,
    pub(super) required: bool,
    pub(super) of: TypeName<'a>,
    pub(super) name: &'a str,
    pub(super) default: Option<Literal<'a>>,
}

#[derive(Debug)]
pub(super) struct EnumMember<'a> {
    pub(super) at: At,
    pub(super) name: &'a str,
    pub(super) value: Option<Literal<'a>>,
}

#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) at: At,
    pub(super) name: &'a str,
    /// `None` for `void`.
    pub(super) returns: Option<TypeName<'a>>,
    pub(super) parameters: Vec<Parameter<'a>>,
}

#[derive(Debug)]
pub(super) struct Parameter<'a> {
    pub(super) at: At,
    pub(super) out: bool,
    pub(super) of: TypeName<'a>,
    pub(super) name: &'a str,
}

/// A name, perhaps in another module.
#[derive(Debug, Clone)]
pub(super) struct Path<'a> {
    pub(super) at: At,
    pub(super) scope: Option<&'a str>,
    pub(super) name: &'a str,
}

#[derive(Debug)]
pub(super) enum TypeName<'a> {
    Plain(Type),
    Named(Path<'a>),
    Vector(Box<TypeName<'a>>),
    Map(Box<(TypeName<'a>, TypeName<'a>)>),
}

#[derive(Debug)]
pub(super) struct Literal<'a> {
    pub(super) at: At,
    pub(super) value: Value<'a>,
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Rc<str>),
    Name(Path<'a>),
}
