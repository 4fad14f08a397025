//! Running nodes over a value.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    CheckOptions, DEPTH_MAX, Patch, PathStep, STEPS_MAX, equal,
    node::{Node, NodeId, Rule, types},
};

/// Why a value was refused.
#[derive(Debug)]
pub(super) struct Fail {
    /// Empty if nobody will read it.
    message: String,
    /// Whether a bound was hit, which no other branch can make good.
    fatal: bool,
}

impl Fail {
    pub(super) fn fatal(message: String) -> Self {
        Fail { message, fatal: true }
    }

    /// Says where the failure was, in front of what it was.
    pub(super) fn prefixed(self, prefix: fmt::Arguments<'_>) -> Self {
        if self.message.is_empty() {
            return self;
        }
        Fail { message: format!("{prefix}{}", self.message), fatal: self.fatal }
    }

    pub(super) fn into_message(self) -> String {
        self.message
    }
}

/// The way from the root to a value, kept on the stack and only written out for a [`Patch`].
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn steps(&self, out: &mut Vec<PathStep>) {
        match self {
            Path::Root => {}
            Path::Key(parent, key) => {
                parent.steps(out);
                out.push(PathStep::Key((*key).to_owned()));
            }
            Path::Index(parent, index) => {
                parent.steps(out);
                out.push(PathStep::Index(*index));
            }
        }
    }
}

/// What a value was when its node was entered. Filling in defaults can turn an empty table into
/// an object; the rules of the node still see what it was.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    set: u8,
    empty: bool,
}

impl Shape {
    fn of(value: &Value, lua_tables: bool) -> Self {
        let empty = equal::is_empty_table(value);
        let both = types::OBJECT | types::ARRAY | types::TABLE;
        let set = match value {
            Value::Null => types::NULL,
            Value::Bool(_) => types::BOOLEAN,
            Value::Number(n) if equal::float(n).fract() == 0.0 => types::NUMBER | types::INTEGER,
            Value::Number(_) => types::NUMBER,
            Value::String(_) => types::STRING,
            Value::Array(_) | Value::Object(_) if empty && lua_tables => both,
            Value::Array(_) => types::ARRAY | types::TABLE,
            Value::Object(_) => types::OBJECT | types::TABLE,
        };
        Shape { set, empty }
    }

    pub(super) fn is(self, set: u8) -> bool {
        self.set & set != 0
    }

    /// As `type()` of Lua calls it.
    fn lua_name(self) -> &'static str {
        match self.set {
            types::NULL => "userdata",
            types::BOOLEAN => "boolean",
            types::STRING => "string",
            set if set & types::NUMBER != 0 => "number",
            _ => "table",
        }
    }
}

/// What comes after a rule.
enum Next {
    Rule,
    /// The node accepts, whatever its other rules say.
    Done,
}

/// One check of one value.
pub(super) struct Run<'r> {
    nodes: &'r [Node],
    opts: &'r CheckOptions<'r>,
    patches: Option<&'r mut Vec<Patch>>,
    depth: usize,
    steps: usize,
    /// How many callers up the stack only ask whether a value matches.
    quiet: usize,
}

impl<'r> Run<'r> {
    pub(super) fn new(
        nodes: &'r [Node],
        opts: &'r CheckOptions<'r>,
        patches: Option<&'r mut Vec<Patch>>,
    ) -> Self {
        Run { nodes, opts, patches, depth: 0, steps: 0, quiet: 0 }
    }

    /// Checks `value`, found at `at`, against node `id`.
    pub(super) fn node(
        &mut self,
        id: NodeId,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<(), Fail> {
        let nodes = self.nodes;
        let node = &nodes[id.0];
        if node.rules.is_empty() {
            return Ok(());
        }
        if let (true, Some(skip), Value::String(text)) = (node.skippable, self.opts.skip, &*value)
            && skip(text)
        {
            return Ok(());
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Fail::fatal(format!("the check takes more than {STEPS_MAX} steps")));
        }
        if self.depth >= DEPTH_MAX {
            let text = format!("the check nests deeper than {DEPTH_MAX} levels");
            return Err(Fail::fatal(text));
        }
        self.depth += 1;
        let result = self.rules(&node.rules, value, at);
        self.depth -= 1;
        result
    }

    fn rules(&mut self, rules: &'r [Rule], value: &mut Value, at: &Path<'_>) -> Result<(), Fail> {
        let shape = Shape::of(value, self.opts.lua_tables);
        for rule in rules {
            if let Next::Done = self.rule(rule, value, shape, at)? {
                break;
            }
        }
        Ok(())
    }

    fn rule(
        &mut self,
        rule: &'r Rule,
        value: &mut Value,
        shape: Shape,
        at: &Path<'_>,
    ) -> Result<Next, Fail> {
        match rule {
            Rule::Type(rule) if !shape.is(rule.set) => {
                let (wanted, got) = (&rule.wanted, shape.lua_name());
                return Err(self.fail(|| format!("wrong type: expected {wanted}, got {got}")));
            }
            Rule::Type(_) => {}
            Rule::Object(rule) if shape.is(types::OBJECT) => self.object(rule, value, at)?,
            Rule::Array(rule) if shape.is(types::ARRAY) => self.array(rule, value, at)?,
            Rule::Object(_) | Rule::Array(_) => {}
            Rule::Text(rule) => self.text(rule, value)?,
            Rule::Number(rule) => self.number(rule, value)?,
            Rule::Format(format) => self.format(*format, value)?,
            Rule::Accept => return Ok(Next::Done),
            Rule::AcceptEmpty if shape.empty => return Ok(Next::Done),
            Rule::Never | Rule::AcceptEmpty => return Err(self.text_fail("expect false always")),
            Rule::EmptyInput if !shape.empty => {
                return Err(self.text_fail("the input data should be an empty table"));
            }
            Rule::EmptyInput => {}
            Rule::OneOfValues(values) => {
                if !values.iter().any(|v| equal::deep_equal(v, value)) {
                    return Err(self.text_fail("matches none of the enum values"));
                }
            }
            Rule::Constant(constant) => {
                if !equal::deep_equal(constant, value) {
                    return Err(self.text_fail("failed to check const value"));
                }
            }
            Rule::ContainsAny if shape.is(types::ARRAY) && !shape.empty => {}
            Rule::ContainsAny => {
                return Err(self.text_fail("check contains: expect array table"));
            }
            Rule::ContainsNone if shape.is(types::TABLE) => {
                return Err(self.text_fail("check contains: expect table"));
            }
            Rule::ContainsNone => {}
            Rule::Contains(_) if shape.empty => {
                return Err(self.text_fail("check contains: empty array is invalid"));
            }
            Rule::Contains(id) => self.contains(*id, value, at)?,
            combinator => self.combinator(combinator, value, at)?,
        }
        Ok(Next::Rule)
    }

    fn combinator(&mut self, rule: &'r Rule, value: &mut Value, at: &Path<'_>) -> Result<(), Fail> {
        match rule {
            Rule::AllOf(all) => {
                for (i, &id) in (1..).zip(all) {
                    self.node(id, value, at)
                        .map_err(|f| f.prefixed(format_args!("allOf {i} failed: ")))?;
                }
            }
            Rule::AnyOf(any, text) => {
                for &id in any {
                    if self.probe(id, value, at)? {
                        return Ok(());
                    }
                }
                return Err(self.text_fail(text));
            }
            Rule::OneOf(one) => self.one_of(one, value, at)?,
            Rule::If { test, matched, unmatched } => {
                let (branch, text) = match self.probe(*test, value, at)? {
                    true => (matched, "then clause did not match"),
                    false => (unmatched, "else clause did not match"),
                };
                if let Some(id) = branch
                    && !self.probe(*id, value, at)?
                {
                    return Err(self.text_fail(text));
                }
            }
            Rule::Not(id) if self.probe(*id, value, at)? => {
                return Err(self.text_fail("value wasn't supposed to match schema"));
            }
            _ => {}
        }
        Ok(())
    }

    fn one_of(&mut self, one: &[NodeId], value: &mut Value, at: &Path<'_>) -> Result<(), Fail> {
        let mut first = None;
        for (i, &id) in (1..).zip(one) {
            if !self.probe(id, value, at)? {
                continue;
            }
            if let Some(first) = first {
                return Err(self.fail(|| {
                    format!(
                        "value should match only one schema, \
                         but matches both schemas {first} and {i}"
                    )
                }));
            }
            first = Some(i);
        }
        if first.is_none() {
            return Err(self.text_fail("value should match only one schema, but matches none"));
        }
        Ok(())
    }

    /// Whether `value` matches. Defaults are filled in either way.
    ///
    /// # Errors
    ///
    /// Only if a bound was hit.
    pub(super) fn probe(
        &mut self,
        id: NodeId,
        value: &mut Value,
        at: &Path<'_>,
    ) -> Result<bool, Fail> {
        self.quiet += 1;
        let result = self.node(id, value, at);
        self.quiet -= 1;
        match result {
            Ok(()) => Ok(true),
            Err(fail) if fail.fatal => Err(fail),
            Err(_) => Ok(false),
        }
    }

    /// Writes a default and notes it down. An empty array that is used as an object becomes one.
    pub(super) fn fill(&mut self, value: &mut Value, key: &str, default: &Value, at: &Path<'_>) {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        if let Value::Object(map) = value {
            map.insert(key.to_owned(), default.clone());
        }
        if let Some(patches) = &mut self.patches {
            let mut path = Vec::new();
            Path::Key(at, key).steps(&mut path);
            patches.push(Patch { path, value: default.clone() });
        }
    }

    /// A failure; its text is only made if somebody reads it.
    pub(super) fn fail(&self, text: impl FnOnce() -> String) -> Fail {
        let message = if self.quiet == 0 { text() } else { String::new() };
        Fail { message, fatal: false }
    }

    pub(super) fn text_fail(&self, text: &str) -> Fail {
        self.fail(|| text.to_owned())
    }
}
