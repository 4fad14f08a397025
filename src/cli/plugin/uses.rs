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
        depth: 0,
    };
    walk.walk(0, walk.tokens.len());
    let assigned = walk.assigned;
    walk.found.names.retain(|name, _| !assigned.contains(name));
    walk.found
}

/// What a local name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    /// Nothing yet: it was declared without a value.
    Unset,
    /// A value that is not followed.
    Other,
    /// A module or global, or a field of one.
    Name(Name),
}

impl Meaning {
    fn name(&self) -> Option<&Name> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }
}

struct Walk {
    tokens: Vec<Placed>,
    scopes: Vec<HashMap<String, Meaning>>,
    /// The variables of a `for` whose body has not begun.
    pending: Vec<String>,
    found: Uses,
    /// Names the source itself sets.
    assigned: BTreeSet<Name>,
    depth: usize,
}

/// How deep functions may be in values of functions; LuaJIT takes 200 levels.
const DEPTH_MAX: usize = 220;

/// Words after which no statement begins: an expression does, or names follow.
const NO_STATEMENT: [&str; 14] = [
    "and", "elseif", "for", "function", "goto", "if", "in", "local", "not", "or", "return",
    "until", "while", "break",
];

/// Signs after which a statement may begin.
const STATEMENT_SIGNS: [&str; 6] = [")", "]", "}", ";", "::", "..."];

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

    /// Whether something may begin at `at` that is assigned to.
    fn starts_statement(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|at| self.tokens.get(at)) else {
            return true;
        };
        match &before.token {
            Token::Name(word) => !NO_STATEMENT.contains(&word.as_str()),
            Token::Text(_) | Token::Number => true,
            Token::Sign(sign) => STATEMENT_SIGNS.contains(sign),
        }
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
                    self.declare(name, Meaning::Other);
                }
            }
            "then" | "repeat" => self.open(),
            "until" => {
                // The condition still sees what the body has declared.
                let end = self.after_expression(at + 1);
                self.walk(at + 1, end);
                self.close();
                return end.max(at + 1);
            }
            "end" | "elseif" => self.close(),
            "else" => {
                self.close();
                self.open();
            }
            word if KEYWORDS.contains(&word) => {}
            _ => return self.used(at),
        }
        at + 1
    }

    fn walk(&mut self, mut at: usize, end: usize) {
        if self.depth >= DEPTH_MAX {
            return;
        }
        self.depth += 1;
        while at < end {
            at = self.step(at).max(at + 1);
        }
        self.depth -= 1;
    }

    /// Where the expression at `at` is over.
    fn after_expression(&self, mut at: usize) -> usize {
        let mut complete = false;
        while let Some(placed) = self.tokens.get(at) {
            at = match &placed.token {
                Token::Sign("(" | "[" | "{") => {
                    complete = true;
                    self.after_bracket(at)
                }
                Token::Sign("." | ":") if complete => at + 2,
                Token::Text(_) => {
                    complete = true;
                    at + 1
                }
                Token::Name(word) if matches!(word.as_str(), "and" | "or" | "not") => {
                    complete = false;
                    at + 1
                }
                _ if complete && !self.is_operator(at) => return at,
                Token::Name(word) if word == "function" => {
                    complete = true;
                    self.after_block(at)
                }
                Token::Name(word) if KEYWORDS.contains(&word.as_str()) && !is_value(word) => {
                    return at;
                }
                Token::Name(_) | Token::Number | Token::Sign("...") => {
                    complete = true;
                    at + 1
                }
                Token::Sign(_) if self.is_operator(at) => {
                    complete = false;
                    at + 1
                }
                Token::Sign(_) => return at,
            };
        }
        at
    }

    fn is_operator(&self, at: usize) -> bool {
        const OTHERS: [&str; 14] =
            [",", ";", "=", ")", "]", "}", "(", "[", "{", ".", ":", "::", "...", "!"];
        matches!(self.tokens.get(at), Some(Placed { token: Token::Sign(sign), .. })
            if !OTHERS.contains(sign))
    }

    /// Behind the bracket that closes the one at `at`.
    fn after_bracket(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        while let Some(placed) = self.tokens.get(at) {
            match placed.token {
                Token::Sign("(" | "[" | "{") => depth += 1,
                Token::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }

    /// Behind the `end` of the function that begins at `at`.
    fn after_block(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        while let Some(placed) = self.tokens.get(at) {
            if let Token::Name(word) = &placed.token {
                match word.as_str() {
                    // `for` and `while` have a `do`, `elseif` is in its `if`.
                    "function" | "if" | "do" | "repeat" => depth += 1,
                    "end" | "until" => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
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
        if let Some((Meaning::Name(mut name), end)) = self.path(at) {
            name.fields.extend(self.method(end));
            self.assigned.insert(name);
        }
        while self.identifier(at).is_some() || self.is(at, ".") || self.is(at, ":") {
            at += 1;
        }
        self.open();
        self.declare("self".to_owned(), Meaning::Other);
        if !self.is(at, "(") {
            return at;
        }
        for name in self.names(at + 1) {
            self.declare(name, Meaning::Other);
        }
        while at < self.tokens.len() && !self.is(at, ")") {
            at += 1;
        }
        at + 1
    }

    /// The name behind a colon at `at`.
    fn method(&self, at: usize) -> Option<String> {
        self.identifier(at + 1).filter(|_| self.is(at, ":")).map(str::to_owned)
    }

    /// After `local`.
    fn local(&mut self, at: usize) -> usize {
        if self.name(at) == Some("function") {
            if let Some(name) = self.name(at + 1).map(str::to_owned) {
                self.declare(name, Meaning::Other);
            }
            return self.function(at + 1);
        }
        let names = self.names(at);
        let at = at + (names.len() * 2).saturating_sub(1);
        let (meanings, end) = self.values(at);
        // What an expression means is known before its names are declared.
        let rest = if self.is(at, "=") { Meaning::Other } else { Meaning::Unset };
        let mut meanings = meanings.into_iter();
        for name in names {
            self.declare(name, meanings.next().unwrap_or_else(|| rest.clone()));
        }
        end
    }

    /// Walks `= a, b` at `at`, if that is there: what each value means, and where they end.
    fn values(&mut self, mut at: usize) -> (Vec<Meaning>, usize) {
        let mut meanings = Vec::new();
        if !self.is(at, "=") {
            return (meanings, at);
        }
        loop {
            at += 1;
            let end = self.after_expression(at);
            let (first, second) = self.meaning(at, end);
            self.walk(at, end);
            meanings.push(first);
            at = end.max(at);
            if !self.is(at, ",") {
                meanings.extend(second);
                return (meanings, at);
            }
        }
    }

    /// What the expression between `at` and `end` means: its value, and the second one of
    /// `pcall(require, "x")`.
    fn meaning(&self, at: usize, end: usize) -> (Meaning, Option<Meaning>) {
        let Some((Meaning::Name(name), after)) = self.path(at) else {
            return (Meaning::Other, None);
        };
        if after == end {
            return (Meaning::Name(name), None);
        }
        if is_global(&name, "require") {
            let found = self.required(after).map(|(module, after)| (module, self.fields(after)));
            return match found {
                Some((module, (fields, after))) if after == end => {
                    (Meaning::Name(Name { module: Some(module), fields }), None)
                }
                _ => (Meaning::Other, None),
            };
        }
        if is_global(&name, "pcall") && self.is(after, "(") {
            let module = self.path(after + 1).and_then(|(inner, at)| {
                let requires = inner.name().is_some_and(|name| is_global(name, "require"));
                let ends = self.is(at, ",") && self.is(at + 2, ")") && at + 3 == end;
                self.text(at + 1).filter(|_| requires && ends).map(str::to_owned)
            });
            let name = module.map(|module| Name { module: Some(module), fields: Vec::new() });
            return (Meaning::Other, name.map(Meaning::Name));
        }
        (Meaning::Other, None)
    }

    /// The literal argument of `require`, and what follows the call.
    fn required(&self, at: usize) -> Option<(String, usize)> {
        if let Some(module) = self.text(at) {
            return Some((module.to_owned(), at + 1));
        }
        let module = self.text(at + 1).filter(|_| self.is(at, "(") && self.is(at + 2, ")"))?;
        Some((module.to_owned(), at + 3))
    }

    /// The path at `at`, resolved through aliases, and where it ends.
    fn path(&self, at: usize) -> Option<(Meaning, usize)> {
        let root = self.identifier(at)?;
        let local = self.scopes.iter().rev().find_map(|scope| scope.get(root));
        let mut meaning = match local {
            Some(meaning) => meaning.clone(),
            None => Meaning::Name(Name { module: None, fields: vec![root.to_owned()] }),
        };
        let (fields, end) = self.fields(at + 1);
        if let Meaning::Name(name) = &mut meaning {
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
        if self.starts_statement(at)
            && let Some(targets) = self.targets(at)
        {
            return self.assign(&targets);
        }
        let line = self.tokens[at].line;
        let Some((meaning, mut end)) = self.path(at) else { return at + 1 };
        let Meaning::Name(mut name) = meaning else { return end };
        if is_global(&name, "require") {
            return self.requires(end, line);
        }
        if self.is(end, "=") {
            // A key of a table.
            return end;
        }
        if let Some(method) = self.method(end) {
            name.fields.push(method);
            end += 2;
        }
        self.record(name, line, end);
        end
    }

    /// Notes a use of `name` that ends at `end`.
    fn record(&mut self, name: Name, line: usize, end: usize) {
        let dots = usize::from(name.module.is_none());
        if name.fields.len() > dots {
            let tested = matches!(self.name(end), Some("and" | "or" | "then"));
            let entry = self.found.names.entry(name).or_default();
            entry.lines.insert(line);
            entry.optional |= tested;
        }
    }

    /// The beginnings of what is assigned to, and where the `=` is: `a.b, c =`.
    fn targets(&self, at: usize) -> Option<(Vec<usize>, usize)> {
        let mut starts = Vec::new();
        let mut at = at;
        loop {
            self.identifier(at)?;
            starts.push(at);
            let mut end = at + 1;
            // Not `fields`: whatever is in the brackets, it is assigned to.
            while self.is(end, ".") || self.is(end, "[") {
                end = if self.is(end, ".") { end + 2 } else { self.after_bracket(end) };
            }
            if self.is(end, "=") {
                return Some((starts, end));
            }
            if !self.is(end, ",") {
                return None;
            }
            at = end + 1;
        }
    }

    fn assign(&mut self, (starts, equals): &(Vec<usize>, usize)) -> usize {
        for (number, at) in starts.iter().enumerate() {
            let Some((meaning, end)) = self.path(*at) else { continue };
            let whole = starts.get(number + 1).map_or(*equals, |next| next - 1);
            if end < whole {
                // What is set is computed, the table it is set in is used.
                if let Meaning::Name(name) = meaning {
                    self.record(name, self.tokens[*at].line, end);
                }
                self.walk(end, whole);
            } else if let Meaning::Name(name) = meaning
                && (end > at + 1 || !self.is_local(*at))
            {
                self.assigned.insert(name);
            }
        }
        let (meanings, end) = self.values(*equals);
        let mut meanings = meanings.into_iter();
        for at in starts {
            let meaning = meanings.next().unwrap_or(Meaning::Other);
            let Some(root) = self.identifier(*at).map(str::to_owned) else { continue };
            if self.is(at + 1, ".") || self.is(at + 1, "[") {
                continue;
            }
            let mut scopes = self.scopes.iter_mut().rev();
            if let Some(local) = scopes.find_map(|scope| scope.get_mut(&root)) {
                // The first value of a name that had none; after any other nobody knows.
                *local = if *local == Meaning::Unset { meaning } else { Meaning::Other };
            }
        }
        end
    }

    fn is_local(&self, at: usize) -> bool {
        self.identifier(at)
            .is_some_and(|name| self.scopes.iter().any(|scope| scope.contains_key(name)))
    }

    fn requires(&mut self, at: usize, line: usize) -> usize {
        let optional = self.is(at, ",");
        let found = if optional {
            let module = self.text(at + 1).filter(|_| self.is(at + 2, ")"));
            module.map(|module| (module.to_owned(), at + 2))
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

fn is_global(name: &Name, global: &str) -> bool {
    name.module.is_none() && matches!(&name.fields[..], [only] if only == global)
}

fn is_value(word: &str) -> bool {
    matches!(word, "nil" | "true" | "false")
}

#[cfg(test)]
#[path = "uses_tests.rs"]
mod tests;
