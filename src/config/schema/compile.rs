//! From a schema to nodes. Rules are pushed in the order in which they will be checked.
//!
//! Schemas often started as Lua tables, where an empty one is an object and an array at once, and
//! where a misplaced keyword can make a list or a string stand in the place of a schema. Such
//! values accept everything here, as they did where they came from.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{
    DEPTH_MAX, SchemaError, equal,
    format::Format,
    message,
    node::{
        Additional, ArrayRule, Dependency, Items, Node, NodeId, NumberRule, ObjectRule, Property,
        Rule, TextRule, TypeRule, types,
    },
    pattern::Pattern,
    refs,
};

type Result<T> = std::result::Result<T, SchemaError>;
type Keywords<'v> = &'v Map<String, Value>;

/// Compiles the whole of `schema`.
///
/// # Errors
///
/// As [`super::Schema::compile`].
pub(super) fn compile(schema: &Value) -> Result<(Vec<Node>, NodeId)> {
    if !equal::depth_within(schema, DEPTH_MAX) {
        return Err(too_deep());
    }
    let mut compiler = Compiler { root: schema, nodes: Vec::new(), seen: HashMap::new(), depth: 0 };
    let root = compiler.schema(schema)?;
    Ok((compiler.nodes, root))
}

fn too_deep() -> SchemaError {
    SchemaError::new(format!("nested deeper than {DEPTH_MAX} levels"))
}

struct Compiler<'v> {
    root: &'v Value,
    nodes: Vec<Node>,
    /// Schemas with a node already, by address, so that references may form a cycle.
    seen: HashMap<*const Value, NodeId>,
    depth: usize,
}

impl<'v> Compiler<'v> {
    fn schema(&mut self, schema: &'v Value) -> Result<NodeId> {
        let schema = refs::resolve(self.root, schema)?;
        let address: *const Value = schema;
        if let Some(&id) = self.seen.get(&address) {
            return Ok(id);
        }
        if self.depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node::default());
        self.seen.insert(address, id);
        self.depth += 1;
        self.nodes[id.0] = self.node(schema)?;
        self.depth -= 1;
        Ok(id)
    }

    fn schemas(&mut self, list: &'v [Value]) -> Result<Vec<NodeId>> {
        list.iter().map(|schema| self.schema(schema)).collect()
    }

    fn node(&mut self, schema: &'v Value) -> Result<Node> {
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(false) => return Ok(Node { rules: vec![Rule::Never], skippable: true }),
            Value::Bool(true) | Value::Array(_) | Value::String(_) => {
                return Ok(Node { rules: Vec::new(), skippable: true });
            }
            Value::Null | Value::Number(_) => {
                return Err(SchemaError::new(format!(
                    "a schema must be an object or a boolean, found {schema}"
                )));
            }
        };
        let mut rules = Vec::new();
        rules.extend(type_rule(map)?);
        self.object(map, &mut rules)?;
        self.array(map, &mut rules)?;
        rules.extend(text_rule(map)?);
        rules.extend(number_rule(map)?);
        if let Some(values) = list(map, "enum")? {
            rules.push(Rule::OneOfValues(values.to_vec()));
        }
        self.combinators(map, &mut rules)?;
        match map.get("propertyNames") {
            Some(Value::Bool(true)) => rules.push(Rule::Accept),
            Some(Value::Bool(false)) => rules.push(Rule::AcceptEmpty),
            // Schemas for names are not looked at, as in the original.
            _ => {}
        }
        let format = map.get("format").and_then(Value::as_str).and_then(Format::from_name);
        rules.extend(format.map(Rule::Format));
        rules.extend(map.get("const").map(|value| Rule::Constant(value.clone())));
        match map.get("contains") {
            None | Some(Value::Null) => {}
            Some(Value::Bool(true)) => rules.push(Rule::ContainsAny),
            Some(Value::Bool(false)) => rules.push(Rule::ContainsNone),
            Some(schema) => rules.push(Rule::Contains(self.schema(schema)?)),
        }
        let skippable = keyword(map, "type").is_none_or(|t| t == "string");
        Ok(Node { rules, skippable })
    }

    fn combinators(&mut self, map: Keywords<'v>, rules: &mut Vec<Rule>) -> Result<()> {
        if let Some(all) = list(map, "allOf")? {
            rules.push(Rule::AllOf(self.schemas(all)?));
        }
        if let Some(any) = list(map, "anyOf")? {
            rules.push(Rule::AnyOf(self.schemas(any)?, any_of_text(any)));
        }
        if let Some(one) = list(map, "oneOf")? {
            rules.push(Rule::OneOf(self.schemas(one)?));
        }
        if let Some(test) = keyword(map, "if") {
            let mut branch = |name| keyword(map, name).map(|s| self.schema(s)).transpose();
            let (matched, unmatched) = (branch("then")?, branch("else")?);
            // Without branches the test still runs: it may fill in defaults.
            rules.push(Rule::If { test: self.schema(test)?, matched, unmatched });
        }
        if let Some(not) = keyword(map, "not") {
            rules.push(Rule::Not(self.schema(not)?));
        }
        Ok(())
    }

    fn object(&mut self, map: Keywords<'v>, rules: &mut Vec<Rule>) -> Result<()> {
        let required: Vec<&str> = match list(map, "required")? {
            Some(names) => names.iter().filter_map(Value::as_str).collect(),
            None => Vec::new(),
        };
        let mut rule = ObjectRule {
            count_min: count(map, "minProperties")?,
            count_max: count(map, "maxProperties")?,
            additional: self.additional(map, "additionalProperties")?,
            ..ObjectRule::default()
        };
        let properties = members(map, "properties")?;
        let dependencies = members(map, "dependencies")?;
        for (name, schema) in properties.into_iter().flatten() {
            let dependency = dependencies.and_then(|d| d.get(name));
            rule.properties.push(Property {
                name: name.as_str().into(),
                node: self.schema(schema)?,
                dependency: dependency.map(|d| self.dependency(d)).transpose()?,
                required: required.contains(&name.as_str()),
                default: schema.get("default").filter(|v| !v.is_null()).cloned(),
            });
        }
        let known = |name: &str| properties.is_some_and(|p| p.contains_key(name));
        rule.required =
            required.iter().filter(|name| !known(name)).map(|&name| name.into()).collect();
        for (name, needs) in dependencies.into_iter().flatten().filter(|(name, _)| !known(name)) {
            rule.dependencies.push((name.as_str().into(), self.dependency(needs)?));
        }
        for (source, schema) in members(map, "patternProperties")?.into_iter().flatten() {
            rule.patterns.push((Pattern::compile(source)?, self.schema(schema)?));
        }
        if !matches!(rule.additional, Additional::Allowed) {
            rule.names = rule.properties.iter().map(|p| p.name.clone()).collect::<HashSet<_>>();
        }
        if rule.has_work() {
            rules.push(Rule::Object(Box::new(rule)));
        }
        if list(map, "required")?.is_some_and(<[Value]>::is_empty) {
            rules.push(Rule::EmptyInput);
        }
        Ok(())
    }

    fn dependency(&mut self, needs: &'v Value) -> Result<Dependency> {
        match needs {
            Value::Array(names) if !names.is_empty() => {
                let names = names.iter().filter_map(Value::as_str).map(Box::from).collect();
                Ok(Dependency::Names(names))
            }
            schema => Ok(Dependency::Schema(self.schema(schema)?)),
        }
    }

    fn additional(&mut self, map: Keywords<'v>, name: &str) -> Result<Additional> {
        Ok(match map.get(name) {
            None | Some(Value::Null | Value::Bool(true)) => Additional::Allowed,
            Some(Value::Bool(false)) => Additional::Forbidden,
            Some(schema) => Additional::Schema(self.schema(schema)?),
        })
    }

    fn array(&mut self, map: Keywords<'v>, rules: &mut Vec<Rule>) -> Result<()> {
        let items = match map.get("items") {
            None | Some(Value::Null) => Items::Any,
            Some(Value::Bool(true)) => {
                rules.push(Rule::Accept);
                return Ok(());
            }
            Some(Value::Bool(false)) => {
                rules.push(Rule::AcceptEmpty);
                return Ok(());
            }
            Some(Value::Array(tuple)) if !tuple.is_empty() => {
                Items::Tuple(self.schemas(tuple)?, self.additional(map, "additionalItems")?)
            }
            Some(schema) => Items::Each(self.schema(schema)?),
        };
        let rule = ArrayRule {
            count_min: count(map, "minItems")?,
            count_max: count(map, "maxItems")?,
            items,
            unique: keyword(map, "uniqueItems").is_some(),
        };
        let idle = rule.count_min.is_none() && rule.count_max.is_none() && !rule.unique;
        if !(idle && matches!(rule.items, Items::Any)) {
            rules.push(Rule::Array(Box::new(rule)));
        }
        Ok(())
    }
}

impl ObjectRule {
    /// Whether there is anything to check or fill in.
    fn has_work(&self) -> bool {
        !self.properties.is_empty()
            || !self.required.is_empty()
            || !self.dependencies.is_empty()
            || !self.patterns.is_empty()
            || !matches!(self.additional, Additional::Allowed)
            || self.count_min.is_some()
            || self.count_max.is_some()
    }
}

/// A keyword that is there and not switched off with `false`.
fn keyword<'v>(map: Keywords<'v>, name: &str) -> Option<&'v Value> {
    map.get(name).filter(|v| !matches!(v, Value::Null | Value::Bool(false)))
}

fn wrong(name: &str, wanted: &str) -> SchemaError {
    SchemaError::new(format!("\"{name}\" must be {wanted}"))
}

/// A keyword with a list; an empty object is an empty list.
fn list<'v>(map: Keywords<'v>, name: &str) -> Result<Option<&'v [Value]>> {
    match keyword(map, name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(Value::Object(map)) if map.is_empty() => Ok(Some(&[])),
        Some(_) => Err(wrong(name, "an array")),
    }
}

/// A keyword with named members; an empty array is an empty object.
fn members<'v>(map: Keywords<'v>, name: &str) -> Result<Option<Keywords<'v>>> {
    match keyword(map, name) {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(Value::Array(items)) if items.is_empty() => Ok(None),
        Some(_) => Err(wrong(name, "an object")),
    }
}

fn number(map: Keywords<'_>, name: &str) -> Result<Option<f64>> {
    match keyword(map, name) {
        None => Ok(None),
        Some(Value::Number(n)) => Ok(Some(equal::float(n))),
        Some(_) => Err(wrong(name, "a number")),
    }
}

/// A whole number of things; a fraction is dropped.
fn count(map: Keywords<'_>, name: &str) -> Result<Option<f64>> {
    Ok(number(map, name)?.map(f64::trunc))
}

fn type_rule(map: Keywords<'_>) -> Result<Option<Rule>> {
    let rule = match map.get("type") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(name)) => TypeRule { set: type_bit(name)?, wanted: name.clone() },
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names
                .iter()
                .map(|n| n.as_str().ok_or_else(|| wrong("type", "a string or a list of strings")))
                .collect::<Result<_>>()?;
            let bits = names.iter().map(|name| type_bit(name)).collect::<Result<Vec<u8>>>()?;
            TypeRule {
                set: bits.into_iter().fold(0, |set, bit| set | bit),
                wanted: format!("one of {}", names.join(", ")),
            }
        }
        Some(_) => return Err(wrong("type", "a string or a list of strings")),
    };
    Ok(Some(Rule::Type(rule)))
}

fn type_bit(name: &str) -> Result<u8> {
    Ok(match name {
        "object" => types::OBJECT,
        "array" => types::ARRAY,
        "table" => types::TABLE,
        "integer" => types::INTEGER,
        "number" => types::NUMBER,
        "string" => types::STRING,
        "boolean" => types::BOOLEAN,
        "null" => types::NULL,
        // A Lua function; no value of ours is one.
        "function" => 0,
        _ => return Err(SchemaError::new(format!("invalid JSON type: {name}"))),
    })
}

fn text_rule(map: Keywords<'_>) -> Result<Option<Rule>> {
    let pattern = match keyword(map, "pattern") {
        None => None,
        Some(Value::String(source)) => Some(Pattern::compile(source)?),
        Some(_) => return Err(wrong("pattern", "a string")),
    };
    let rule = TextRule {
        length_min: count(map, "minLength")?,
        length_max: count(map, "maxLength")?,
        pattern,
    };
    let idle = rule.length_min.is_none() && rule.length_max.is_none() && rule.pattern.is_none();
    Ok((!idle).then(|| Rule::Text(Box::new(rule))))
}

fn number_rule(map: Keywords<'_>) -> Result<Option<Rule>> {
    // In draft 4 the exclusive bounds are switches for the plain ones.
    let bound = |plain: &str, exclusive: &str| -> Result<_> {
        match map.get(exclusive) {
            Some(Value::Bool(true)) => Ok((None, number(map, plain)?)),
            _ => Ok((number(map, plain)?, number(map, exclusive)?)),
        }
    };
    let (minimum, above) = bound("minimum", "exclusiveMinimum")?;
    let (maximum, below) = bound("maximum", "exclusiveMaximum")?;
    let multiple_of = number(map, "multipleOf")?;
    let rule = NumberRule { minimum, above, maximum, below, multiple_of };
    let bounds = [minimum, above, maximum, below, multiple_of];
    Ok(bounds.iter().any(Option::is_some).then(|| Rule::Number(Box::new(rule))))
}

/// The error text of `anyOf`, which lists what its branches require.
fn any_of_text(branches: &[Value]) -> String {
    let required = branches.iter().filter_map(|branch| match branch.get("required")? {
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            Some(message::json_names(&names))
        }
        Value::Object(names) if names.is_empty() => Some(message::json_names(&[])),
        _ => None,
    });
    let required: Vec<String> = required.collect();
    let text = "object matches none of the required";
    if required.is_empty() { text.into() } else { format!("{text}: {}", required.join(" or ")) }
}
