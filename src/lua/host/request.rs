//! `host.var_*` and `host.req_*`: the request as plugins read and change it.

use std::{
    borrow::Cow, ffi::OsStr, net::SocketAddr, os::unix::ffi::OsStrExt as _, path::Path, rc::Rc,
    time::Duration,
};

use bytes::Bytes;

use super::{NONE, ONE, push_failure, push_fields, push_option};
use crate::{
    exchange::{Exchange, body::Room, vars},
    fields::{self, Fields},
    lua::{
        core::{Core, Op},
        raw::frame::{Called, Frame, Kind, Outcome, Raise},
    },
    parse,
    sys::scratch::Scratch,
};

/// Fields a table of headers holds unless the caller says otherwise; nginx's number.
const HEADERS_MAX: f64 = 100.0;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "var_get", var_get)?;
    state.host_function(table, "var_set", var_set)?;
    state.host_function(table, "ngx_var_set", ngx_var_set)?;
    state.host_function(table, "req_method", req_method)?;
    state.host_function(table, "req_set_method", req_set_method)?;
    state.host_function(table, "req_http_version", req_http_version)?;
    state.host_function(table, "req_start_time", req_start_time)?;
    state.host_function(table, "req_header", req_header)?;
    state.host_function(table, "req_headers", req_headers)?;
    state.host_function(table, "req_set_header", req_set_header)?;
    state.host_function(table, "req_set_headers", req_set_headers)?;
    state.host_function(table, "req_add_header", req_add_header)?;
    state.host_function(table, "req_raw_header", req_raw_header)?;
    state.host_function(table, "req_uri", req_uri)?;
    state.host_function(table, "req_set_uri", req_set_uri)?;
    state.host_function(table, "req_args", req_args)?;
    state.host_function(table, "req_set_args", req_set_args)?;
    state.host_function(table, "req_read_body", req_read_body)?;
    state.host_function(table, "req_body", req_body)?;
    state.host_function(table, "req_piece", req_piece)?;
    state.host_function(table, "req_body_state", req_body_state)?;
    state.host_function(table, "req_body_read", req_body_read)?;
    state.host_function(table, "req_set_body", req_set_body)?;
    state.host_function(table, "req_set_body_file", req_set_body_file)?;
    state.host_function(table, "req_set_buffering", req_set_buffering)?;
    state.host_function(table, "req_discard_body", req_discard_body)?;
    state.host_function(table, "req_mirror", req_mirror)?;
    state.host_function(table, "req_set_real_ip", req_set_real_ip)?;
    state.host_function(table, "req_set_body_max", req_set_body_max)?;
    state.host_function(table, "req_param", req_param)?;
    state.host_function(table, "req_params", req_params)
}

fn var_get(frame: &mut Frame<'_>) -> Called {
    let name = frame.need_str(1, "var_get")?;
    let x = frame.exchange()?;
    let value = vars::get(x, name);
    push_option(frame, value.as_deref())
}

/// `ctx.var.NAME = value`: whatever the name, later reads see the value.
fn var_set(frame: &mut Frame<'_>) -> Called {
    let name = frame.need_str(1, "var_set")?;
    let value = frame.str(2);
    let x = frame.exchange()?;
    match name {
        b"args" | b"query_string" => set_args(x, value.unwrap_or_default()),
        b"request_method" | b"request" | b"http_host" | b"status" | b"document_uri" => {
            return Err(not_changeable(name));
        }
        _ => x.set_var(name, value),
    }
    NONE
}

fn not_changeable(name: &[u8]) -> Raise {
    Raise(format!("variable \"{}\" not changeable", String::from_utf8_lossy(name)))
}

/// `ngx.var.NAME = value`: what shows the request stays as it is.
fn ngx_var_set(frame: &mut Frame<'_>) -> Called {
    let name = frame.need_str(1, "var_set")?;
    let value = frame.str(2);
    let x = frame.exchange()?;
    if name == b"args" {
        set_args(x, value.unwrap_or_default());
        return NONE;
    }
    if name == b"limit_rate" {
        set_rate(x, value.unwrap_or_default());
        return NONE;
    }
    match vars::writable(name) {
        vars::Writable::Yes => x.set_var(&name.to_ascii_lowercase(), value),
        vars::Writable::Shown => return Err(not_changeable(name)),
        vars::Writable::Derived => {
            return Err(Raise(format!(
                "variable \"{0}\" not found for writing; maybe it is a built-in variable that is \
                 not changeable: \"{0}\" shows a part of the request",
                String::from_utf8_lossy(name)
            )));
        }
    }
    NONE
}

/// `ngx.var.limit_rate = value`: what is no rate changes nothing and is logged, as in nginx.
fn set_rate(x: &mut Exchange, value: &[u8]) {
    match vars::rate(value) {
        Some(rate) => x.response.rate = rate,
        None => {
            let line = format!("invalid $limit_rate \"{}\"", String::from_utf8_lossy(value));
            crate::lua::env::Env::log_request(4, x, &line);
        }
    }
}

fn req_method(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_str(&x.method);
    ONE
}

fn req_set_method(frame: &mut Frame<'_>) -> Called {
    let method = frame.need_str(1, "set_method")?;
    if method.is_empty() || !method.iter().all(u8::is_ascii_alphabetic) {
        return Err(Raise::new("unsupported HTTP method"));
    }
    let x = frame.exchange()?;
    x.method.clear();
    x.method.extend_from_slice(method);
    NONE
}

fn req_http_version(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_num(match (x.conn.http2, x.head.minor()) {
        (true, _) => 2.0,
        (_, 0) => 1.0,
        _ => 1.1,
    });
    ONE
}

fn req_start_time(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let millis = u32::try_from(x.started_wall.as_millis() % 1000).unwrap_or(0);
    #[allow(clippy::cast_precision_loss)] // Seconds since 1970 are far below 2^52.
    frame.push_num(x.started_wall.as_secs() as f64 + f64::from(millis) / 1000.0);
    ONE
}

/// The first line of a header, and if there are more how many.
fn req_header(frame: &mut Frame<'_>) -> Called {
    let name = frame.need_str(1, "header")?;
    let x = frame.exchange()?;
    let mut lines = x.head.fields.get_all(name);
    let Some(first) = lines.next() else { return push_option(frame, None) };
    frame.push_str(first);
    let others = lines.count();
    if others == 0 {
        return ONE;
    }
    frame.push_num(f64::from(u32::try_from(others).unwrap_or(u32::MAX)) + 1.0);
    Ok(Outcome::Return(2))
}

fn req_headers(frame: &mut Frame<'_>) -> Called {
    let max = frame.num(1).unwrap_or(HEADERS_MAX).max(0.0);
    let raw = frame.truth(2);
    let x = frame.exchange()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped above; saturates.
    let truncated = push_fields(frame, &x.head.fields, max as usize, raw)?;
    if !truncated {
        return ONE;
    }
    frame.push_str(b"truncated");
    Ok(Outcome::Return(2))
}

fn header_name<'f>(frame: &Frame<'f>, at: i32, function: &str) -> Result<&'f str, Raise> {
    std::str::from_utf8(frame.need_str(at, function)?)
        .map_err(|_| Raise(format!("bad argument #{at} to '{function}' (header name expected)")))
}

fn req_set_header(frame: &mut Frame<'_>) -> Called {
    let name = header_name(frame, 1, "set_header")?;
    let (values, one);
    let values: &[Cow<'_, [u8]>] = match frame.kind(2) {
        Kind::Table => {
            values = frame.strings(2).into_iter().map(Cow::Owned).collect::<Vec<_>>();
            &values
        }
        Kind::None | Kind::Nil => &[],
        _ => {
            one = [scalar(frame, 2)];
            &one
        }
    };
    let x = frame.exchange()?;
    match values {
        [value] => put(&mut x.head.fields, name, value, true)?,
        values => {
            x.head.fields.remove(name);
            for value in values {
                put(&mut x.head.fields, name, value, false)?;
            }
        }
    }
    if name.eq_ignore_ascii_case("host")
        && let Some(value) = values.first()
    {
        parse::set_host(&mut x.host, value);
    }
    NONE
}

/// `req_set_headers(name, value, ...)`: one line of each; nil and the empty text remove it.
fn req_set_headers(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    for at in (1..frame.count()).step_by(2) {
        if frame.is_nil(at) {
            continue;
        }
        let name = header_name(frame, at, "set_headers")?;
        let value = scalar(frame, at + 1);
        if value.is_empty() {
            x.head.fields.remove(name);
        } else {
            put(&mut x.head.fields, name, &value, true)?;
        }
        if name.eq_ignore_ascii_case("host") && !value.is_empty() {
            parse::set_host(&mut x.host, &value);
        }
    }
    NONE
}

fn req_add_header(frame: &mut Frame<'_>) -> Called {
    let name = header_name(frame, 1, "add_header")?;
    let values = match frame.kind(2) {
        Kind::Table => frame.strings(2),
        _ => vec![scalar(frame, 2).into_owned()],
    };
    let x = frame.exchange()?;
    for value in &values {
        put(&mut x.head.fields, name, value, false)?;
    }
    NONE
}

/// A header value as Lua's tostring would print it.
pub(super) fn scalar<'f>(frame: &Frame<'f>, at: i32) -> Cow<'f, [u8]> {
    match frame.kind(at) {
        Kind::Bool => frame.truth(at).to_string().into_bytes().into(),
        _ => frame.str(at).unwrap_or_default().into(),
    }
}

/// Line breaks and other control bytes become percent-encoded, as OpenResty does it.
fn without_controls(value: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let bad = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    if !value.iter().any(bad) {
        return value.into();
    }
    let mut clean = Vec::with_capacity(value.len() + 8);
    for byte in value {
        if bad(byte) {
            clean.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            clean.push(*byte);
        }
    }
    clean.into()
}

/// A header name as it is written: what cannot stand in one is percent-encoded, as OpenResty
/// does it.
fn name_bytes(name: &str) -> Cow<'_, [u8]> {
    if fields::is_token(name.as_bytes()) {
        return name.as_bytes().into();
    }
    let mut clean = Vec::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if fields::is_token(&[byte]) {
            clean.push(byte);
        } else {
            clean.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    clean.into()
}

/// Sets or adds a field; an empty name raises.
pub(super) fn put(
    fields: &mut Fields,
    name: &str,
    value: &[u8],
    replace: bool,
) -> Result<(), Raise> {
    let value = without_controls(value);
    let bytes = name_bytes(name);
    let done = if replace { fields.set(bytes, value) } else { fields.add(bytes, value) };
    done.map_err(|error| Raise(format!("bad header '{}': {error:?}", name.escape_debug())))
}

fn req_raw_header(frame: &mut Frame<'_>) -> Called {
    let no_line = frame.truth(1);
    let x = frame.exchange()?;
    let raw = x.head.raw();
    let start = if no_line { memchr::memchr(b'\n', raw).map_or(0, |at| at + 1) } else { 0 };
    frame.push_str(&raw[start..]);
    ONE
}

fn req_uri(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_str(&x.path);
    ONE
}

fn req_set_uri(frame: &mut Frame<'_>) -> Called {
    let path = frame.need_str(1, "set_uri")?;
    if path.is_empty() {
        return Err(Raise::new("attempt to use zero-length uri"));
    }
    let x = frame.exchange()?;
    x.path.clear();
    x.path.extend_from_slice(path);
    x.rewritten = true;
    NONE
}

fn req_args(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_str(&x.args);
    ONE
}

fn set_args(x: &mut Exchange, args: &[u8]) {
    x.args.clear();
    x.args.extend_from_slice(args);
    x.rewritten = true;
}

fn req_set_args(frame: &mut Frame<'_>) -> Called {
    let args = frame.need_str(1, "set_uri_args")?;
    set_args(frame.exchange()?, args);
    NONE
}

/// Reads the body: whether there is one. If that fails, the request ends, as in OpenResty.
fn req_read_body(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let x = frame.exchange()?;
    let body = &x.body;
    if !body.present || body.held.is_some() || body.file.is_some() {
        frame.push_bool(body.present);
        return ONE;
    }
    core.suspend(Op::ReadBody(Room {
        bytes_max: x.body_bytes_max.unwrap_or(body.bytes_max),
        memory_bytes_max: core.env.settings.body_memory_bytes_max,
        dir: Rc::clone(&core.env.temp_dir),
    }));
    Ok(Outcome::Yield)
}

/// `req_piece(milliseconds)`: the next piece of a body that nobody has read.
fn req_piece(frame: &mut Frame<'_>) -> Called {
    let milliseconds = frame.need_num(1, "req_piece")?;
    let time = Duration::try_from_secs_f64(milliseconds / 1000.0)
        .map_err(|_| Raise::new("bad timeout value"))?;
    let core = frame.core()?;
    let x = frame.exchange()?;
    core.suspend(Op::ReadPiece(x.body_bytes_max.unwrap_or(x.body.bytes_max), time));
    Ok(Outcome::Yield)
}

/// Whether there is a body, and whether somebody has read it.
fn req_body_state(frame: &mut Frame<'_>) -> Called {
    let body = &frame.exchange()?.body;
    let (present, read) = (body.present, body.held.is_some() || body.file.is_some());
    frame.push_bool(present);
    frame.push_bool(read);
    Ok(Outcome::Return(2))
}

/// The body as far as it was read: itself, or the path of the file it lies in.
fn req_body(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    if let Some(file) = &x.body.file {
        let path = file.path();
        frame.push_nil();
        frame.push_str(path.as_os_str().as_bytes());
        return Ok(Outcome::Return(2));
    }
    let body = x.body.held.clone();
    push_option(frame, body.as_deref().filter(|body| !body.is_empty()))
}

/// Whether the body was read, or there is none to read.
fn req_body_read(frame: &mut Frame<'_>) -> Called {
    let body = &frame.exchange()?.body;
    let read = !body.present || body.held.is_some() || body.file.is_some();
    frame.push_bool(read);
    ONE
}

fn req_set_body(frame: &mut Frame<'_>) -> Called {
    let body = frame.need_str(1, "set_body_data")?;
    let x = frame.exchange()?;
    x.body.replace(Bytes::copy_from_slice(body));
    announce(x)?;
    NONE
}

/// Sends what lies in a file instead of the client's body: `true`, or `nil` and why not.
fn req_set_body_file(frame: &mut Frame<'_>) -> Called {
    let path = frame.need_str(1, "set_body_file")?;
    let x = frame.exchange()?;
    match Scratch::open(Path::new(OsStr::from_bytes(path))) {
        Ok(file) => x.body.replace_by_file(file),
        Err(error) => return push_failure(frame, &error.to_string()),
    }
    announce(x)?;
    frame.push_bool(true);
    ONE
}

/// Makes the head say what the new body is.
fn announce(x: &mut Exchange) -> Result<(), Raise> {
    let length = itoa::Buffer::new().format(x.body.length.unwrap_or(0)).to_owned();
    put(&mut x.head.fields, "Content-Length", length.as_bytes(), true)?;
    x.head.fields.remove("transfer-encoding");
    Ok(())
}

/// Whether the body is read before the upstream is asked, whatever the route says.
fn req_set_buffering(frame: &mut Frame<'_>) -> Called {
    let wanted = frame.truth(1);
    frame.exchange()?.body.buffered = Some(wanted);
    frame.push_bool(true);
    ONE
}

fn req_discard_body(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    x.body.replace(Bytes::new());
    NONE
}

/// The request goes to a second server too, which `$upstream_mirror_uri` names by then.
fn req_mirror(frame: &mut Frame<'_>) -> Called {
    frame.exchange()?.upstream.mirrored = true;
    frame.push_bool(true);
    ONE
}

/// Changes what `$remote_addr` and `$remote_port` say.
fn req_set_real_ip(frame: &mut Frame<'_>) -> Called {
    let address = frame.need_str(1, "set_real_ip")?;
    let port = frame.num(2);
    let x = frame.exchange()?;
    let Some(address) = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok()) else {
        return push_failure(frame, "bad address");
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let port = port.map_or(x.remote.port(), |port| port as u16);
    x.remote = SocketAddr::new(address, port);
    frame.push_bool(true);
    ONE
}

/// Bounds the body of this request, 0 for any size, whatever `client_max_body_size` says.
fn req_set_body_max(frame: &mut Frame<'_>) -> Called {
    let bytes = frame.need_num(1, "set_client_max_body_size")?;
    if bytes < 0.0 || bytes.is_nan() {
        return push_failure(frame, "invalid size");
    }
    let x = frame.exchange()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked; saturates.
    {
        x.body_bytes_max = Some(bytes as u64);
    }
    frame.push_bool(true);
    ONE
}

/// One captured route parameter.
fn req_param(frame: &mut Frame<'_>) -> Called {
    let name = frame.need_str(1, "param")?;
    let x = frame.exchange()?;
    push_option(frame, x.params.get(name))
}

/// All of them, as a table.
fn req_params(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    frame.push_table(0, x.params.len());
    for (name, value) in x.params.iter() {
        frame.push_str(name);
        frame.push_str(value);
        frame.set_pair();
    }
    ONE
}
