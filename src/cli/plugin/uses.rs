//! Finds what a Lua source requires and which names of modules and globals it uses.
//!
//! It follows local aliases through their scopes (`local core = require("apisix.core")`,
//! `local re = ngx.re`), and nothing else: a name that is put together at run time is not
//! seen. Nothing is executed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::tokens::{Placed, Token, tokens};

/// A name: where it starts, and its fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// The module it starts from, or the globals.
    pub(super) module: Option<String>,
    /// The fields, outermost first. A global is the first field of the globals.
    pub(super) fields: Vec<String>,
}

/// What a source needs, each with its lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Names with at least one dot.
    pub(super) names: BTreeMap<Name, Needed>,
    /// Modules.
    pub(super) modules: BTreeMap<String, Needed>,
}

/// How a name or module is needed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needed {
    /// Where.
    pub(super) lines: BTreeSet<usize>,
    /// Whether the source can go on without it: a module that is required inside `pcall`
    /// only, a name that is tested somewhere.
    pub(super) optional: bool,
}

/// Finds the uses of a source.
pub(super) fn uses(source: &str) -> Uses {
    let mut walk = Walk {
        tokens: tokens(source),
        scopes: vec![HashMap::new()],
        pending: Vec::new(),
        found: Uses::default(),
        assigned: BTreeSet::new(),
    };
    let mut at = 0;
    while at < walk.tokens.len() {
        at = walk.step(at);
    }
    let assigned = walk.assigned;
    walk.found.names.retain(|name, _| !assigned.contains(name));
    walk.found
}

/// What a local name stands for; `None` for a value that is not followed.
type Meaning = Option<Name>;

struct Walk {
    tokens: Vec<Placed>,
    scopes: Vec<HashMap<String, Meaning>>,
    /// The variables of a `for` whose body has not begun.
    pending: Vec<String>,
    found: Uses,
    /// Names the source itself sets.
    assigned: BTreeSet<Name>,
}

/// Words after which an expression cannot go on.
const STATEMENTS: [&str; 14] = [
    "local", "function", "if", "for", "while", "return", "end", "repeat", "do", "break", "else",
    "elseif", "until", "goto",
];

/// Words that are no names.
const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

impl Walk {
    fn name(&self, at: usize) -> Option<&str> {
        match &self.tokens.get(at)?.token {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }

    fn identifier(&self, at: usize) -> Option<&str> {
        self.name(at).filter(|name| !KEYWORDS.contains(name))
    }

    fn text(&self, at: usize) -> Option<&str> {
        match &self.tokens.get(at)?.token {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    fn is(&self, at: usize, sign: &str) -> bool {
        matches!(self.tokens.get(at), Some(Placed { token: Token::Sign(s), .. }) if *s == sign)
    }

    fn declare(&mut self, name: String, meaning: Meaning) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, meaning);
        }
    }

    fn open(&mut self) {
        self.scopes.push(HashMap::new());
    }

    fn close(&mut self) {
        // The outermost scope stays: a source with too many `end`s is the VM's to refuse.
        if self.scopes.len() > 1 {
            self.scopes.pop();
        }
    }

    /// Handles what stands at `at`; returns where to go on.
    fn step(&mut self, at: usize) -> usize {
        let Some(word) = self.name(at) else { return at + 1 };
        match word {
            "function" => return self.function(at + 1),
            "local" => return self.local(at + 1),
            "for" => {
                let names = self.names(at + 1);
                self.pending = names;
            }
            "do" => {
                self.open();
                for name in std::mem::take(&mut self.pending) {
                    self.declare(name, None);
                }
            }
            "then" | "repeat" => self.open(),
            "end" | "until" | "elseif" => self.close(),
            "else" => {
                self.close();
                self.open();
            }
            word if KEYWORDS.contains(&word) => {}
            _ => return self.used(at),
        }
        at + 1
    }

    /// The names of a list, `a, b, c`.
    fn names(&self, mut at: usize) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(name) = self.identifier(at) {
            names.push(name.to_owned());
            if !self.is(at + 1, ",") {
                break;
            }
            at += 2;
        }
        names
    }

    /// After `function`: a name perhaps, then parameters, then the body's scope.
    fn function(&mut self, mut at: usize) -> usize {
        while self.identifier(at).is_some() || self.is(at, ".") || self.is(at, ":") {
            at += 1;
        }
        self.open();
        self.declare("self".to_owned(), None);
        if !self.is(at, "(") {
            return at;
        }
        for name in self.names(at + 1) {
            self.declare(name, None);
        }
        while at < self.tokens.len() && !self.is(at, ")") {
            at += 1;
        }
        at + 1
    }

    /// After `local`.
    fn local(&mut self, at: usize) -> usize {
        if self.name(at) == Some("function") {
            if let Some(name) = self.name(at + 1).map(str::to_owned) {
                self.declare(name, None);
            }
            return self.function(at + 1);
        }
        let names = self.names(at);
        let mut at = at + (names.len() * 2).saturating_sub(1);
        let mut meanings = Vec::new();
        if self.is(at, "=") {
            at += 1;
            // What an expression means is known before its names are declared.
            loop {
                let (meaning, after) = self.expression(at, &mut meanings);
                let simple = meaning.is_some();
                meanings.push(meaning);
                let end = if simple { after } else { at };
                while at < end {
                    at = self.step(at).max(at + 1);
                }
                if !simple || !self.is(at, ",") {
                    break;
                }
                at += 1;
            }
        }
        let mut meanings = meanings.into_iter();
        for name in names {
            self.declare(name, meanings.next().flatten());
        }
        at
    }

    /// What the expression at `at` means, if it is a name or a `require`, and where it ends.
    /// `pcall(require, "x")` gives two values: the first goes to `before`.
    fn expression(&self, at: usize, before: &mut Vec<Meaning>) -> (Meaning, usize) {
        let Some((name, mut after)) = self.path(at) else { return (None, at) };
        let mut meaning = name;
        if self.is_global(meaning.as_ref(), "require") {
            let Some((module, end)) = self.required(after) else { return (None, at) };
            let (fields, end) = self.fields(end);
            after = end;
            meaning = Some(Name { module: Some(module), fields });
        } else if self.is_global(meaning.as_ref(), "pcall") && self.is(after, "(") {
            let inner = self.path(after + 1).and_then(|(inner, end)| {
                let requires = self.is_global(inner.as_ref(), "require") && self.is(end, ",");
                self.text(end + 1).filter(|_| requires && self.is(end + 2, ")")).map(|m| (m, end))
            });
            let Some((module, end)) = inner else { return (None, at) };
            before.push(None);
            meaning = Some(Name { module: Some(module.to_owned()), fields: Vec::new() });
            after = end + 3;
        }
        if self.ends_expression(after) { (meaning, after) } else { (None, at) }
    }

    /// Whether the expression before `at` is over.
    fn ends_expression(&self, at: usize) -> bool {
        match self.tokens.get(at).map(|placed| &placed.token) {
            None => true,
            Some(Token::Sign(sign)) => matches!(*sign, "," | ";"),
            Some(Token::Name(name)) => {
                STATEMENTS.contains(&name.as_str()) || !KEYWORDS.contains(&name.as_str())
            }
            Some(_) => false,
        }
    }

    /// The literal argument of `require`, and what follows the call.
    fn required(&self, at: usize) -> Option<(String, usize)> {
        if let Some(module) = self.text(at) {
            return Some((module.to_owned(), at + 1));
        }
        let module = self.text(at + 1).filter(|_| self.is(at, "(") && self.is(at + 2, ")"))?;
        Some((module.to_owned(), at + 3))
    }

    fn is_global(&self, name: Option<&Name>, global: &str) -> bool {
        name.is_some_and(|name| {
            name.module.is_none() && matches!(&name.fields[..], [only] if only == global)
        })
    }

    /// The path at `at`, resolved through aliases (`None` inside if it starts from a value
    /// that is not followed), and where it ends.
    fn path(&self, at: usize) -> Option<(Meaning, usize)> {
        let root = self.identifier(at)?;
        let local = self.scopes.iter().rev().find_map(|scope| scope.get(root));
        let mut meaning = match local {
            Some(meaning) => meaning.clone(),
            None => Some(Name { module: None, fields: vec![root.to_owned()] }),
        };
        let (fields, end) = self.fields(at + 1);
        if let Some(name) = &mut meaning {
            name.fields.extend(fields);
        }
        Some((meaning, end))
    }

    /// The fields at `at`, written with dots or with texts in brackets, and where they end.
    fn fields(&self, mut at: usize) -> (Vec<String>, usize) {
        let mut fields = Vec::new();
        loop {
            let (field, end) = if self.is(at, ".") {
                (self.identifier(at + 1), at + 2)
            } else if self.is(at, "[") && self.is(at + 2, "]") {
                (self.text(at + 1), at + 3)
            } else {
                (None, at)
            };
            let Some(field) = field else { return (fields, at) };
            fields.push(field.to_owned());
            at = end;
        }
    }

    /// A name in the course of things: used, called or assigned.
    fn used(&mut self, at: usize) -> usize {
        if at > 0 && (self.is(at - 1, ".") || self.is(at - 1, ":")) {
            return at + 1;
        }
        let line = self.tokens[at].line;
        let Some((meaning, mut end)) = self.path(at) else { return at + 1 };
        let Some(mut name) = meaning else { return end };
        if self.is_global(Some(&name), "require") {
            return self.requires(end, line);
        }
        if self.is(end, "=") {
            self.assigned.insert(name);
            return end;
        }
        if self.is(end, ":")
            && let Some(method) = self.identifier(end + 1)
        {
            name.fields.push(method.to_owned());
            end += 2;
        }
        let dots = usize::from(name.module.is_none());
        if name.fields.len() > dots {
            let tested = matches!(self.name(end), Some("and" | "or" | "then"));
            let entry = self.found.names.entry(name).or_default();
            entry.lines.insert(line);
            entry.optional |= tested;
        }
        end
    }

    fn requires(&mut self, at: usize, line: usize) -> usize {
        let optional = self.is(at, ",");
        let found = if optional {
            self.text(at + 1).map(|module| (module.to_owned(), at + 2))
        } else {
            self.required(at)
        };
        let Some((module, end)) = found else { return at };
        let entry = self.found.modules.entry(module.clone()).or_default();
        entry.optional = optional && (entry.optional || entry.lines.is_empty());
        entry.lines.insert(line);
        let (fields, end) = self.fields(end);
        if !fields.is_empty() {
            let name = Name { module: Some(module), fields };
            self.found.names.entry(name).or_default().lines.insert(line);
        }
        end
    }
}

#[cfg(test)]
#[path = "uses_tests.rs"]
mod tests;
