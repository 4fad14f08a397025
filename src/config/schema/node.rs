//! What a schema compiles to: nodes that refer to each other by number, so that a `$ref` may form
//! a cycle. A node is a list of rules in the order in which they are checked.

use std::collections::HashSet;

use serde_json::Value;

use super::{format::Format, pattern::Pattern};

/// The place of a node in the list of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) usize);

/// One (sub)schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) rules: Vec<Rule>,
    /// Whether a reference to a secret may stand here: no `type`, or `"string"`.
    pub(super) skippable: bool,
}

/// One thing to check.
#[derive(Debug)]
pub(super) enum Rule {
    /// The schema `false`.
    Never,
    /// `type`.
    Type(TypeRule),
    /// Everything about the members of an object.
    Object(Box<ObjectRule>),
    /// An empty `required`: the value must have been an empty table.
    EmptyInput,
    /// `items: true` and `propertyNames: true`: nothing after this is checked.
    Accept,
    /// `items: false` and `propertyNames: false`: an empty table is accepted and nothing after
    /// this is checked, all else fails.
    AcceptEmpty,
    /// Everything about the items of an array.
    Array(Box<ArrayRule>),
    /// `minLength`, `maxLength` and `pattern`.
    Text(Box<TextRule>),
    /// `minimum` and its kin.
    Number(Box<NumberRule>),
    /// `enum`.
    OneOfValues(Vec<Value>),
    /// `allOf`.
    AllOf(Vec<NodeId>),
    /// `anyOf`, with the finished error text.
    AnyOf(Vec<NodeId>, String),
    /// `oneOf`.
    OneOf(Vec<NodeId>),
    /// `if`, `then`, `else`.
    If { test: NodeId, matched: Option<NodeId>, unmatched: Option<NodeId> },
    /// `not`.
    Not(NodeId),
    /// `format`, if it is one we know.
    Format(Format),
    /// `const`.
    Constant(Value),
    /// `contains: true`: a non-empty array.
    ContainsAny,
    /// `contains: false`: anything but a table.
    ContainsNone,
    /// `contains` with a schema.
    Contains(NodeId),
}

/// `type`: a set of [`types`] and how the set reads in an error.
#[derive(Debug)]
pub(super) struct TypeRule {
    pub(super) set: u8,
    pub(super) wanted: String,
}

/// The bits of a set of types.
pub(super) mod types {
    pub(crate) const OBJECT: u8 = 1;
    pub(crate) const ARRAY: u8 = 1 << 1;
    pub(crate) const TABLE: u8 = 1 << 2;
    pub(crate) const INTEGER: u8 = 1 << 3;
    pub(crate) const NUMBER: u8 = 1 << 4;
    pub(crate) const STRING: u8 = 1 << 5;
    pub(crate) const BOOLEAN: u8 = 1 << 6;
    pub(crate) const NULL: u8 = 1 << 7;
}

/// The members of an object.
#[derive(Debug, Default)]
pub(super) struct ObjectRule {
    pub(super) properties: Vec<Property>,
    /// The names in `properties`; filled only if `additional` has to know them.
    pub(super) names: HashSet<Box<str>>,
    /// Required names without an entry in `properties`.
    pub(super) required: Vec<Box<str>>,
    /// Dependencies of names without an entry in `properties`.
    pub(super) dependencies: Vec<(Box<str>, Dependency)>,
    pub(super) patterns: Vec<(Pattern, NodeId)>,
    pub(super) additional: Additional,
    pub(super) count_min: Option<f64>,
    pub(super) count_max: Option<f64>,
}

/// A named member.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: Box<str>,
    pub(super) node: NodeId,
    pub(super) dependency: Option<Dependency>,
    pub(super) required: bool,
    pub(super) default: Option<Value>,
}

/// What the presence of a member asks for.
#[derive(Debug)]
pub(super) enum Dependency {
    /// Other members.
    Names(Vec<Box<str>>),
    /// That the whole object matches.
    Schema(NodeId),
}

/// What happens to members nobody named.
#[derive(Debug, Default)]
pub(super) enum Additional {
    #[default]
    Allowed,
    Forbidden,
    Schema(NodeId),
}

/// The items of an array.
#[derive(Debug, Default)]
pub(super) struct ArrayRule {
    pub(super) count_min: Option<f64>,
    pub(super) count_max: Option<f64>,
    pub(super) items: Items,
    pub(super) unique: bool,
}

/// `items` and `additionalItems`.
#[derive(Debug, Default)]
pub(super) enum Items {
    #[default]
    Any,
    Each(NodeId),
    Tuple(Vec<NodeId>, Additional),
}

/// A string.
#[derive(Debug, Default)]
pub(super) struct TextRule {
    /// In characters.
    pub(super) length_min: Option<f64>,
    /// In characters.
    pub(super) length_max: Option<f64>,
    pub(super) pattern: Option<Pattern>,
}

/// A number.
#[derive(Debug, Default)]
pub(super) struct NumberRule {
    pub(super) minimum: Option<f64>,
    pub(super) above: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) below: Option<f64>,
    pub(super) multiple_of: Option<f64>,
}
