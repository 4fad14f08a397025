//! `host.resp_*`, `host.print`, `host.chunk`: the response as plugins read and change it.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;

use super::{NONE, ONE, push_failure, push_fields, push_option, request};
use crate::{
    exchange::{Exchange, Origin, Packing, Response},
    lua::{
        core::{Core, Op},
        raw::{
            current::Phase,
            frame::{Called, Frame, Kind, Outcome, Raise},
        },
    },
};

/// Bytes that are printed before they leave without being told to.
const STREAM_BYTES: usize = 128 << 10;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "resp_status", resp_status)?;
    state.host_function(table, "resp_set_status", resp_set_status)?;
    state.host_function(table, "resp_header", resp_header)?;
    state.host_function(table, "resp_headers", resp_headers)?;
    state.host_function(table, "resp_set_header", resp_set_header)?;
    state.host_function(table, "resp_add_header", resp_add_header)?;
    state.host_function(table, "resp_set_numbers", resp_set_numbers)?;
    state.host_function(table, "resp_source", resp_source)?;
    state.host_function(table, "resp_set_gzip", resp_set_gzip)?;
    state.host_function(table, "resp_skip_filter", resp_skip_filter)?;
    state.host_function(table, "log_facts", log_facts)?;
    state.host_function(table, "headers_sent", headers_sent)?;
    state.host_function(table, "fix_head", fix_head)?;
    state.host_function(table, "flush", flush)?;
    state.host_function(table, "eof", eof)?;
    state.host_function(table, "print", print)?;
    state.host_function(table, "chunk", chunk)?;
    state.host_function(table, "set_chunk", set_chunk)?;
    state.host_function(table, "set_eof", set_eof)
}

fn resp_status(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_num(f64::from(x.response.status));
    ONE
}

fn resp_set_status(frame: &mut Frame<'_>) -> Called {
    let status = frame.need_num(1, "status")?;
    if !(100.0..=999.0).contains(&status) {
        return Err(Raise(format!("invalid response status: {status}")));
    }
    let phase = frame.phase();
    let x = frame.exchange()?;
    if is_late(x, phase, "ngx.status") {
        return NONE;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
    {
        x.response.status = status as u16;
    }
    NONE
}

/// `resp_set_gzip(level)`: packs the body, if the client takes that.
fn resp_set_gzip(frame: &mut Frame<'_>) -> Called {
    let level = frame.need_num(1, "set_gzip")?.clamp(1.0, 9.0);
    let x = frame.exchange()?;
    if !x.response.head_sent {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped above.
        {
            x.response.packing = Packing::Wanted(level as u32);
        }
    }
    NONE
}

/// `resp_skip_filter(body)`: `header_filter` or, if `body`, `body_filter` does not run.
fn resp_skip_filter(frame: &mut Frame<'_>) -> Called {
    let of_body = frame.truth(1);
    let response = &mut frame.exchange()?.response;
    if of_body {
        response.skip_body_filter = true;
    } else {
        response.skip_header_filter = true;
    }
    NONE
}

/// Whether the head cannot be changed any more, which is logged. A body filter is too late, also
/// where the head still waits for the first piece of the body.
fn is_late(x: &mut Exchange, phase: Phase, what: &str) -> bool {
    let late = x.response.head_sent || x.response.head_fixed || phase == Phase::BodyFilter;
    if late {
        let line = format!("[lua] attempt to set {what} after sending out response headers");
        crate::lua::env::Env::log_request(4, x, &line);
    }
    late
}

fn name_of<'f>(frame: &Frame<'f>) -> Result<&'f str, Raise> {
    std::str::from_utf8(frame.need_str(1, "header")?)
        .map_err(|_| Raise::new("bad header name: not UTF-8"))
}

/// Fields the driver writes itself: kept out of `fields`, so that they are never doubled.
fn length_text(x: &Exchange, name: &str) -> Option<String> {
    let length = x.response.length.filter(|_| name.eq_ignore_ascii_case("content-length"));
    length.map(|length| length.to_string())
}

fn resp_header(frame: &mut Frame<'_>) -> Called {
    let name = name_of(frame)?;
    let x = frame.exchange()?;
    if let Some(length) = length_text(x, name) {
        return push_option(frame, Some(length.as_bytes()));
    }
    let fields = &x.response.fields;
    if fields.count(name) < 2 {
        return push_option(frame, fields.get(name));
    }
    let values: Vec<&[u8]> = fields.get_all(name).collect();
    frame.push_table(values.len(), 0);
    for (value, at) in values.iter().zip(1..) {
        frame.push_str(value);
        frame.set_index(at);
    }
    ONE
}

fn resp_headers(frame: &mut Frame<'_>) -> Called {
    let max = frame.num(1).unwrap_or(100.0).max(0.0);
    let raw = frame.truth(2);
    let x = frame.exchange()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped above; saturates.
    let truncated = push_fields(frame, &x.response.fields, max as usize, raw)?;
    if let Some(length) = x.response.length {
        frame.push_str(if raw { b"Content-Length" } else { b"content-length" });
        frame.push_str(length.to_string().as_bytes());
        frame.set_pair();
    }
    if !truncated {
        return ONE;
    }
    frame.push_str(b"truncated");
    Ok(Outcome::Return(2))
}

fn resp_set_header(frame: &mut Frame<'_>) -> Called {
    let name = name_of(frame)?;
    let values = match frame.kind(2) {
        Kind::Table => frame.strings(2),
        Kind::None | Kind::Nil => Vec::new(),
        _ => vec![request::scalar(frame, 2).into_owned()],
    };
    let phase = frame.phase();
    let x = frame.exchange()?;
    if is_late(x, phase, "ngx.header.HEADER") {
        return NONE;
    }
    if name.eq_ignore_ascii_case("content-length") {
        x.response.length =
            values.first().and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
        return NONE;
    }
    if name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case("transfer-encoding") {
        return NONE;
    }
    match &values[..] {
        [value] => {
            request::put(&mut x.response.fields, name, value, true)?;
        }
        values => {
            x.response.fields.remove(name);
            for value in values {
                request::put(&mut x.response.fields, name, value, false)?;
            }
        }
    }
    NONE
}

fn resp_add_header(frame: &mut Frame<'_>) -> Called {
    let name = name_of(frame)?;
    let values = if frame.kind(2) == Kind::Table {
        frame.strings(2)
    } else {
        vec![request::scalar(frame, 2).into_owned()]
    };
    let phase = frame.phase();
    let x = frame.exchange()?;
    if is_late(x, phase, "ngx.header.HEADER") {
        return NONE;
    }
    for value in &values {
        request::put(&mut x.response.fields, name, value, false)?;
    }
    NONE
}

/// The head stays as it is: who asks next is told that it has been sent.
fn fix_head(frame: &mut Frame<'_>) -> Called {
    frame.exchange()?.response.head_fixed = true;
    NONE
}

/// Why nothing can be added to the answer any more.
fn closed(x: &Exchange) -> Option<&'static str> {
    match x.response {
        Response { taken_over: true, .. } => Some("raw request socket acquired"),
        Response { body_fixed: true, .. } => Some("seen eof"),
        _ => None,
    }
}

/// What was printed leaves; the answer of `Op::Send`, or nil and why there is nothing to do.
fn flush(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let x = frame.exchange()?;
    if let Some(why) = closed(x) {
        return push_failure(frame, why);
    }
    let response = &x.response;
    if !response.head_sent && !response.head_fixed && response.printed.is_empty() {
        return push_failure(frame, "nothing to flush");
    }
    core.suspend(Op::Send(false));
    Ok(Outcome::Yield)
}

/// The head and the body are complete, and leave; where nobody can wait for that, when the
/// phase ends.
fn eof(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let can_wait = frame.can_yield();
    let x = frame.exchange()?;
    if let Some(why) = closed(x) {
        return push_failure(frame, why);
    }
    let response = &mut x.response;
    response.head_fixed = true;
    response.body_fixed = true;
    if !can_wait {
        frame.push_num(1.0);
        return ONE;
    }
    core.suspend(Op::Send(true));
    Ok(Outcome::Yield)
}

/// `resp_set_numbers(name, number, name, number, ...)`: sets a header for each number.
/// False, and nothing set, if the head has left.
fn resp_set_numbers(frame: &mut Frame<'_>) -> Called {
    let count = frame.count();
    let fields = match frame.exchange()? {
        x if x.response.head_sent || x.response.head_fixed => {
            frame.push_bool(false);
            return ONE;
        }
        x => &mut x.response.fields,
    };
    let mut text = Vec::with_capacity(24);
    for at in (1..count).step_by(2) {
        let name = std::str::from_utf8(frame.need_str(at, "header")?)
            .map_err(|_| Raise::new("bad header name: not UTF-8"))?;
        text.clear();
        write_number(&mut text, frame.need_num(at + 1, "header")?);
        request::put(fields, name, &text, true)?;
    }
    frame.push_bool(true);
    ONE
}

/// Appends a number; quickly if it has at most two decimals.
#[allow(clippy::float_cmp)] // Whether the hundredths are exactly the number.
fn write_number(out: &mut Vec<u8>, number: f64) {
    let cents = (number.abs() * 100.0).round();
    if cents > 9e15 || cents / 100.0 != number.abs() {
        out.extend_from_slice(number.to_string().as_bytes());
        return;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // In range, see above.
    let cents = cents as u64;
    if number < 0.0 && cents > 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(cents / 100).as_bytes());
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or(0);
    match cents % 100 {
        0 => {}
        rest if rest % 10 == 0 => out.extend_from_slice(&[b'.', digit(rest / 10)]),
        rest => out.extend_from_slice(&[b'.', digit(rest / 10), digit(rest)]),
    }
}

/// What metrics count of a request, in one call: status; milliseconds since the request came;
/// milliseconds of all tries of the upstream together, or nil; bytes received; bytes sent;
/// the last address tried, or nil; who made the response; the matched `_path` and `_host`, or
/// nil.
fn log_facts(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let milliseconds = |time: Duration| {
        let whole = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        f64::from(whole)
    };
    let attempts = &x.upstream.attempts;
    let last = attempts.last();
    frame.push_num(f64::from(x.response.status));
    frame.push_num(milliseconds(x.lasted()));
    match attempts.iter().filter_map(|attempt| attempt.response_time).reduce(|a, b| a + b) {
        Some(time) => frame.push_num(milliseconds(time)),
        None => frame.push_nil(),
    }
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    {
        frame.push_num(x.request_length as f64);
        frame.push_num(x.response.bytes_sent as f64);
    }
    push_option(frame, last.map(|attempt| attempt.addr_text.as_bytes()))?;
    frame.push_str(source_of(x));
    push_option(frame, x.params.get(b"_path"))?;
    push_option(frame, x.params.get(b"_host"))?;
    Ok(Outcome::Return(9))
}

/// Who made the response, as `core.response.get_response_source` names it.
fn resp_source(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_str(source_of(x));
    ONE
}

fn source_of(x: &Exchange) -> &'static [u8] {
    match x.response.origin {
        Origin::Upstream => b"upstream",
        Origin::Failure => b"nginx",
        Origin::Gateway | Origin::None => b"apisix",
    }
}

fn headers_sent(frame: &mut Frame<'_>) -> Called {
    let body = frame.phase() == Phase::BodyFilter;
    let x = frame.exchange()?;
    frame.push_bool(x.response.head_sent || x.response.head_fixed || body);
    ONE
}

/// Appends to the body of an answer made in Lua.
fn print(frame: &mut Frame<'_>) -> Called {
    let text = frame.need_str(1, "print")?;
    let core = frame.core()?;
    let bytes_max = core.env.settings.resume_bytes_max;
    let x = frame.exchange()?;
    if let Some(why) = closed(x) {
        return push_failure(frame, why);
    }
    if x.response.printed.len() + text.len() > bytes_max {
        return Err(Raise(format!("not enough memory: a response body above {bytes_max} bytes")));
    }
    x.response.printed.extend_from_slice(text);
    let large = x.response.printed.len() >= STREAM_BYTES;
    if large && frame.can_yield() {
        core.suspend(Op::Send(false));
        return Ok(Outcome::Yield);
    }
    NONE
}

fn chunk(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_str(&x.chunk.data);
    frame.push_bool(x.chunk.eof);
    Ok(Outcome::Return(2))
}

fn set_chunk(frame: &mut Frame<'_>) -> Called {
    let data = frame.str(1).map(Bytes::copy_from_slice).unwrap_or_default();
    let x = frame.exchange()?;
    x.chunk.data = data;
    x.chunk.changed = true;
    NONE
}

fn set_eof(frame: &mut Frame<'_>) -> Called {
    let eof = frame.truth(1);
    let x = frame.exchange()?;
    x.chunk.eof = eof;
    NONE
}
