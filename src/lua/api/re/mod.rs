//! `host.re`: the regular expressions of `ngx.re`, on PCRE2 with machine code.
//!
//! Each VM keeps its compiled patterns, whatever the option letters say. A pattern that
//! would run away ends with an error after a fixed number of steps.

mod pattern;
mod split;
mod template;

use std::{cell::RefCell, num::NonZeroUsize, rc::Rc};

use lru::LruCache;
use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use self::{
    pattern::{Flags, Places, Program},
    template::{Template, group},
};
use super::{raise, string_arg, text_of};
use crate::lua::raw::{
    door::{BROKEN, door},
    object::{self, Object},
};

/// Compiled patterns kept per VM.
const PROGRAMS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// The compiled patterns of one VM.
struct Cache {
    programs: LruCache<Box<[u8]>, Rc<Program>>,
    /// Reused for building look-up keys: option letters, a NUL, the pattern.
    key: Vec<u8>,
}

type Shared = Rc<RefCell<Cache>>;

/// How a compilation may fail: raised (bad option letter) or returned (bad pattern).
enum Refusal {
    Raised(mlua::Error),
    Returned(String),
}

impl From<mlua::Error> for Refusal {
    fn from(error: mlua::Error) -> Self {
        Self::Raised(error)
    }
}

/// Fills `host.re`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let cache: Shared =
        Rc::new(RefCell::new(Cache { programs: LruCache::new(PROGRAMS_MAX), key: Vec::new() }));
    let table = lua.create_table()?;

    let own = Rc::clone(&cache);
    let function =
        lua.create_function(move |lua, args: MatchArgs| match_captures(lua, &own, args))?;
    table.raw_set("match", function)?;

    let own = Rc::clone(&cache);
    let function = lua.create_function(move |lua, args: MatchArgs| find(lua, &own, args))?;
    table.raw_set("find", function)?;

    let own = Rc::clone(&cache);
    let function = lua.create_function(move |lua, args: ScanArgs| gmatch(lua, &own, args))?;
    table.raw_set("gmatch", function)?;

    for (name, global) in [("sub", false), ("gsub", true)] {
        let own = Rc::clone(&cache);
        let function =
            lua.create_function(move |lua, args: SubArgs| substitute(lua, &own, args, global))?;
        table.raw_set(name, function)?;
    }

    let own = Rc::clone(&cache);
    let function =
        lua.create_function(move |lua, args: split::Args| split::run(lua, &own, args))?;
    table.raw_set("split", function)?;

    let doors = Rc::clone(&cache);
    let function =
        lua.create_function(move |lua, (pattern, options): (Value, Value)| {
            match compile(lua, &cache, pattern, options) {
                Ok(_) => Ok(Ok(true)),
                Err(refusal) => Ok(Err(refusal.message(lua)?)),
            }
        })?;
    table.raw_set("compile", function)?;
    door_functions(lua, &table, Rc::clone(&doors))?;
    host.raw_set("re", table)
}

/// What `lua/moongate/door.lua` needs to match without a call of Lua's.
fn door_functions(lua: &Lua, table: &Table, cache: Shared) -> mlua::Result<()> {
    object::class::<Handle>(lua, lua.create_table()?)?;
    let program = lua.create_function(move |lua, (pattern, options): (Value, Value)| {
        let Ok(program) = compile(lua, &cache, pattern, options) else {
            return Ok(MultiValue::new());
        };
        if program.flags().duplicate_names {
            return Ok(MultiValue::new());
        }
        let names = lua.create_table()?;
        for (index, name) in program.names().iter().enumerate() {
            if let Some(name) = name {
                names.raw_set(name.as_str(), index)?;
            }
        }
        let groups = count(program.groups());
        let program = object::create(lua, Handle(program))?;
        Ok(MultiValue::from_iter([program, groups, Value::Table(names)]))
    })?;
    table.raw_set("program", program)?;
    table.raw_set("match_door", door::<Handle, _>(match_door))
}

/// A compiled pattern that Lua holds.
struct Handle(Rc<Program>);

impl Object for Handle {
    fn tag() -> &'static u8 {
        static TAG: u8 = 21;
        &TAG
    }
}

/// A look-up for compiled code: where to start goes in, start and end of each group come out, -1
/// for one that took no part. Returns 1 for a match, 0 for none, or PCRE2's negative code.
fn match_door(program: &Handle, subject: &[u8], places: &mut [f64]) -> i32 {
    let Some(start) = places.first() else { return BROKEN };
    let mut found = program.0.scratch();
    let outcome = program.0.run(subject, *start as usize, &mut found);
    if let Ok(true) = outcome {
        for (index, pair) in places.chunks_exact_mut(2).enumerate().take(found.len()) {
            let place = found.get(index).map(|(from, to)| [from as f64, to as f64]);
            pair.copy_from_slice(&place.unwrap_or([-1.0, -1.0]));
        }
    }
    program.0.give_back(found);
    outcome.map_or_else(|code| code, i32::from)
}

/// One result, or nil and a message.
type Answer = Result<Value, Value>;
/// subject, pattern, options, ctx, result table or group number.
type MatchArgs = (Value, Value, Value, Value, Value);
/// subject, pattern, options.
type ScanArgs = (Value, Value, Value);
/// subject, pattern, replacement, options.
type SubArgs = (Value, Value, Value, Value);

impl Refusal {
    /// The second result of the caller, or the error to raise.
    fn message(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Self::Raised(error) => Err(error),
            Self::Returned(text) => Ok(Value::String(lua.create_string(text)?)),
        }
    }
}

/// Looks up or compiles a pattern.
fn compile(
    lua: &Lua,
    cache: &Shared,
    pattern: Value,
    options: Value,
) -> Result<Rc<Program>, Refusal> {
    let pattern = string_arg(lua, pattern, 2, "regex")?;
    let options = match options {
        Value::Nil => None,
        other => Some(string_arg(lua, other, 3, "regex")?),
    };
    let mut cache = cache.borrow_mut();
    let Cache { programs, key } = &mut *cache;
    key.clear();
    if let Some(options) = &options {
        key.extend_from_slice(&options.as_bytes());
    }
    let letters = key.len();
    key.push(0);
    key.extend_from_slice(&pattern.as_bytes());
    if let Some(program) = programs.get(key.as_slice()) {
        return Ok(Rc::clone(program));
    }
    let flags = Flags::parse(&key[..letters]).map_err(|why| raise(lua, &why))?;
    let program = Program::compile(&pattern.as_bytes(), flags).map_err(Refusal::Returned)?;
    let program = Rc::new(program);
    programs.put(key.as_slice().into(), Rc::clone(&program));
    Ok(program)
}

/// The message for a match that ended with PCRE2's `code`.
fn failed(lua: &Lua, code: i32) -> mlua::Result<Value> {
    Ok(Value::String(lua.create_string(format!("pcre_exec() failed: {code}"))?))
}

/// The `ctx` argument of `function`.
fn ctx_of(lua: &Lua, ctx: Value, function: &str) -> mlua::Result<Option<Table>> {
    match ctx {
        Value::Nil => Ok(None),
        Value::Table(ctx) => Ok(Some(ctx)),
        other => {
            let why = format!("table expected, got {}", super::type_name(&other));
            Err(super::bad_argument(lua, 4, function, &why))
        }
    }
}

/// Where `ctx.pos` asks to start, as a byte offset.
fn start_of(ctx: Option<&Table>) -> mlua::Result<usize> {
    let Some(ctx) = ctx else { return Ok(0) };
    let position: Option<f64> = ctx.get("pos")?;
    Ok(position.map_or(0, |position| (position as usize).saturating_sub(1)))
}

fn match_captures(
    lua: &Lua,
    cache: &Shared,
    (subject, pattern, options, ctx, result): MatchArgs,
) -> mlua::Result<Answer> {
    let subject = text_of(lua, subject)?;
    let program = match compile(lua, cache, pattern, options) {
        Ok(program) => program,
        Err(refusal) => return Ok(Err(refusal.message(lua)?)),
    };
    let ctx = ctx_of(lua, ctx, "match")?;
    let start = start_of(ctx.as_ref())?;
    let mut found = program.scratch();
    let bytes = subject.as_bytes();
    let outcome = match program.run(&bytes, start, &mut found) {
        Err(code) => Err(failed(lua, code)?),
        Ok(false) => Ok(Value::Nil),
        Ok(true) => {
            if let Some(ctx) = ctx {
                ctx.set("pos", whole(&found).1 + 1)?;
            }
            let result = match result {
                Value::Table(table) => Some(table),
                _ => None,
            };
            Ok(Value::Table(captures(lua, &program, &bytes, &found, result)?))
        }
    };
    program.give_back(found);
    Ok(outcome)
}

fn find(
    lua: &Lua,
    cache: &Shared,
    (subject, pattern, options, ctx, nth): MatchArgs,
) -> mlua::Result<MultiValue> {
    let subject = text_of(lua, subject)?;
    let program = match compile(lua, cache, pattern, options) {
        Ok(program) => program,
        Err(refusal) => return Ok(refused(refusal.message(lua)?)),
    };
    let nth = super::number_of(lua, &nth).map_or(0, |number| number.max(0.0) as usize);
    let ctx = ctx_of(lua, ctx, "find")?;
    let start = start_of(ctx.as_ref())?;
    let mut found = program.scratch();
    let outcome = match program.run(&subject.as_bytes(), start, &mut found) {
        Err(code) => refused(failed(lua, code)?),
        Ok(false) => MultiValue::from_iter([Value::Nil]),
        Ok(true) => {
            if let Some(ctx) = ctx {
                ctx.set("pos", whole(&found).1 + 1)?;
            }
            if nth >= program.groups() {
                refused(Value::String(lua.create_string("nth out of bound")?))
            } else {
                match found.get(nth) {
                    Some((from, to)) => MultiValue::from_iter([count(from + 1), count(to)]),
                    None => MultiValue::from_iter([Value::Nil, Value::Nil]),
                }
            }
        }
    };
    program.give_back(found);
    Ok(outcome)
}

fn gmatch(
    lua: &Lua,
    cache: &Shared,
    (subject, pattern, options): ScanArgs,
) -> mlua::Result<Answer> {
    let subject = text_of(lua, subject)?;
    let program = match compile(lua, cache, pattern, options) {
        Ok(program) => program,
        Err(refusal) => return Ok(Err(refusal.message(lua)?)),
    };
    let mut position = Some(0_usize);
    let step = move |lua: &Lua, (): ()| -> mlua::Result<Answer> {
        let Some(start) = position.take() else { return Ok(Ok(Value::Nil)) };
        let mut found = program.scratch();
        let bytes = subject.as_bytes();
        let outcome = match program.run(&bytes, start, &mut found) {
            Err(code) => Err(failed(lua, code)?),
            Ok(false) => Ok(Value::Nil),
            Ok(true) => {
                position = next_start(&program, &bytes, &found);
                Ok(Value::Table(captures(lua, &program, &bytes, &found, None)?))
            }
        };
        program.give_back(found);
        Ok(outcome)
    };
    Ok(Ok(Value::Function(lua.create_function_mut(step)?)))
}

/// What stands for each match.
enum Replacement<'r> {
    Template(Template<'r>),
    Function(&'r Function),
}

/// `sub` and `gsub`: new string and count, or `nil, nil, err`.
fn substitute(
    lua: &Lua,
    cache: &Shared,
    (subject, pattern, replacement, options): SubArgs,
    global: bool,
) -> mlua::Result<MultiValue> {
    let program = match compile(lua, cache, pattern, options) {
        Ok(program) => program,
        Err(refusal) => return Ok(refused(refusal.message(lua)?)),
    };
    let subject = text_of(lua, subject)?;
    let text;
    let bytes;
    let replacement = if let Value::Function(function) = &replacement {
        Replacement::Function(function)
    } else {
        text = text_of(lua, replacement)?;
        bytes = text.as_bytes();
        match Template::parse(&bytes) {
            Some(template) => Replacement::Template(template),
            None => {
                let why = lua.create_string("failed to compile the replacement template")?;
                return Ok(refused(Value::String(why)));
            }
        }
    };
    let mut found = program.scratch();
    let outcome = replace_all(lua, &program, &subject, (&replacement, global), &mut found)?;
    program.give_back(found);
    match outcome {
        Err(code) => Ok(refused(failed(lua, code)?)),
        Ok((_, 0)) => Ok(MultiValue::from_iter([Value::String(subject), count(0)])),
        Ok((out, done)) => {
            let out = Value::String(lua.create_string(out)?);
            Ok(MultiValue::from_iter([out, count(done)]))
        }
    }
}

fn replace_all(
    lua: &Lua,
    program: &Program,
    subject: &LuaString,
    (replacement, global): (&Replacement<'_>, bool),
    found: &mut Places,
) -> mlua::Result<Result<(Vec<u8>, usize), i32>> {
    let subject = subject.as_bytes();
    let mut out = Vec::new();
    let mut done = 0;
    let mut copied = 0;
    let mut start = Some(0);
    while let Some(from) = start {
        match program.run(&subject, from, found) {
            Err(code) => return Ok(Err(code)),
            Ok(false) => break,
            Ok(true) => {}
        }
        done += 1;
        let (match_start, match_end) = whole(found);
        out.extend_from_slice(subject.get(copied..match_start).unwrap_or_default());
        match replacement {
            Replacement::Template(template) => template.render(&subject, found, &mut out),
            Replacement::Function(function) => {
                let groups = captures(lua, program, &subject, found, None)?;
                let piece = text_of(lua, function.call(groups)?)?;
                out.extend_from_slice(&piece.as_bytes());
            }
        }
        copied = match_end;
        start = next_start(program, &subject, found).filter(|_| global);
    }
    out.extend_from_slice(subject.get(copied..).unwrap_or_default());
    Ok(Ok((out, done)))
}

/// Start and end of the whole match.
fn whole(found: &Places) -> (usize, usize) {
    let (from, to) = found.get(0).unwrap_or_default();
    // `\K` inside a look-ahead can put the start behind the end.
    (from, to.max(from))
}

/// Where the next look-up starts; an empty match steps over one character.
fn next_start(program: &Program, subject: &[u8], found: &Places) -> Option<usize> {
    let (from, to) = whole(found);
    if from != to {
        return Some(to);
    }
    let mut next = to + 1;
    while program.flags().utf && subject.get(next).is_some_and(|byte| byte & 0xC0 == 0x80) {
        next += 1;
    }
    (next <= subject.len()).then_some(next)
}

/// The captures of a match as `ngx.re.match` returns them.
fn captures(
    lua: &Lua,
    program: &Program,
    subject: &[u8],
    found: &Places,
    result: Option<Table>,
) -> mlua::Result<Table> {
    let groups = program.groups();
    let result = match result {
        Some(table) => table,
        None => lua.create_table_with_capacity(groups, 1)?,
    };
    for index in 0..groups {
        match group(subject, found, index) {
            Some(text) => result.raw_set(index, LuaString::wrap(text))?,
            None => result.raw_set(index, false)?,
        }
    }
    let duplicates = program.flags().duplicate_names;
    for (index, name) in program.names().iter().enumerate() {
        let Some(name) = name else { continue };
        let text = group(subject, found, index);
        match (text, duplicates) {
            (Some(text), false) => result.raw_set(name.as_str(), LuaString::wrap(text))?,
            (None, false) => result.raw_set(name.as_str(), false)?,
            (Some(text), true) => match result.raw_get(name.as_str())? {
                Value::Table(list) => list.raw_push(LuaString::wrap(text))?,
                _ => {
                    let list = lua.create_sequence_from([LuaString::wrap(text)])?;
                    result.raw_set(name.as_str(), list)?;
                }
            },
            (None, true) => {}
        }
    }
    Ok(result)
}

/// What functions with two results return instead: both nil, then why.
fn refused(why: Value) -> MultiValue {
    MultiValue::from_iter([Value::Nil, Value::Nil, why])
}

fn count(number: usize) -> Value {
    Value::Number(number as f64)
}
