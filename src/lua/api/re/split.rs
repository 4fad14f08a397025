//! `split` of the module `ngx.re`.

use mlua::{Lua, LuaString, Table, Value};

use super::{Places, Program, Shared, compile, failed, next_start, template::group, whole};
use crate::lua::api::{number_of, raise, text_of};

/// subject, pattern, options, ctx, max, result table.
pub(super) type Args = (Value, Value, Value, Option<Table>, Value, Value);

/// Splits the subject at each match; the first group of a match is kept between the parts.
pub(super) fn run(
    lua: &Lua,
    cache: &Shared,
    (subject, pattern, options, ctx, max, result): Args,
) -> mlua::Result<Result<Table, Value>> {
    let subject = text_of(lua, subject)?;
    let bytes = subject.as_bytes();
    let position = match &ctx {
        Some(ctx) => ctx.get::<Option<f64>>("pos")?.unwrap_or(1.0),
        None => 1.0,
    };
    let result = match result {
        Value::Nil => lua.create_table_with_capacity(4, 0)?,
        Value::Table(table) => table,
        _ => return Err(raise(lua, "res is not a table")),
    };
    if position > bytes.len() as f64 {
        result.raw_set(1, Value::Nil)?;
        return Ok(Ok(result));
    }
    let program = match compile(lua, cache, pattern, options) {
        Ok(program) => program,
        Err(refusal) => return Ok(Err(refusal.message(lua)?)),
    };
    let max = number_of(lua, &max).map_or(0, |max| max.max(0.0) as usize);
    let start = (position as usize).saturating_sub(1);
    let mut found = program.scratch();
    let mut parts = Parts { result: &result, len: 0, last: LuaEnd::Other };
    let outcome = cut(&program, &bytes, (start, max), &mut parts, &mut found);
    let len = parts.len;
    program.give_back(found);
    match outcome? {
        Err(code) => return Ok(Err(failed(lua, code)?)),
        Ok(next) => {
            if let Some(ctx) = ctx {
                ctx.set("pos", next)?;
            }
        }
    }
    result.raw_set(len + 1, Value::Nil)?;
    Ok(Ok(result))
}

/// Whether the list ends with empty parts that are to be dropped.
enum LuaEnd {
    /// This many empty strings stand at the end.
    Empty(usize),
    Other,
}

struct Parts<'r> {
    result: &'r Table,
    len: usize,
    last: LuaEnd,
}

impl Parts<'_> {
    fn push(&mut self, text: &[u8]) -> mlua::Result<()> {
        self.len += 1;
        self.last = match (text.is_empty(), &self.last) {
            (true, LuaEnd::Empty(count)) => LuaEnd::Empty(count + 1),
            (true, LuaEnd::Other) => LuaEnd::Empty(1),
            (false, _) => LuaEnd::Other,
        };
        self.result.raw_set(self.len, LuaString::wrap(text))
    }

    fn drop_trailing_empty(&mut self) -> mlua::Result<()> {
        if let LuaEnd::Empty(count) = self.last {
            for _ in 0..count {
                self.result.raw_set(self.len, Value::Nil)?;
                self.len -= 1;
            }
        }
        Ok(())
    }
}

/// Returns the offset the last match left behind, for `ctx.pos`.
fn cut(
    program: &Program,
    subject: &[u8],
    (start, max): (usize, usize),
    parts: &mut Parts<'_>,
    found: &mut Places,
) -> mlua::Result<Result<usize, i32>> {
    let mut part_start = start;
    let mut next = Some(start);
    let mut after = start;
    let mut pieces = 1;
    // An empty match splits only in front of a character that is not yet in a part.
    let mut last_empty: Option<usize> = None;
    while max == 0 || pieces < max {
        let Some(from) = next else { break };
        match program.run(subject, from, found) {
            Err(code) => return Ok(Err(code)),
            Ok(false) => break,
            Ok(true) => {}
        }
        let (match_start, match_end) = whole(found);
        next = next_start(program, subject, found);
        after = next.unwrap_or(subject.len() + 1);
        if let Some(empty) = last_empty {
            part_start = empty;
        }
        if match_start == match_end {
            last_empty = Some(match_start);
        }
        if match_start > part_start || last_empty.is_none() {
            pieces += 1;
            parts.push(subject.get(part_start..match_start).unwrap_or_default())?;
            if let Some(text) = group(subject, found, 1) {
                parts.push(text)?;
            }
            part_start = match_end;
            if part_start >= subject.len() {
                break;
            }
        }
    }
    if max == 0 && part_start >= subject.len() {
        parts.drop_trailing_empty()?;
    } else {
        parts.push(subject.get(part_start..).unwrap_or_default())?;
    }
    Ok(Ok(after))
}
