//! `host.exec`, `host.sub_*`: requests that go on elsewhere, and requests inside of others.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{NONE, push_option};
use crate::{
    exchange::{Exchange, Inner, Jump, Told},
    lua::{
        Vm,
        core::{Core, Op},
        raw::{
            co::Value,
            frame::{Called, Frame, Kind, Outcome, Raise},
        },
        slot,
    },
    parse::uri,
};

/// Requests that one call makes at the same time.
const TOGETHER_MAX: usize = 200;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "exec", exec)?;
    state.host_function(table, "jump_again", jump_again)?;
    state.host_function(table, "sub_add", sub_add)?;
    state.host_function(table, "sub_run", sub_run)?;
    state.host_function(table, "var_capture", var_capture)?;
    state.host_function(table, "req_place", req_place)
}

/// `exec(path, args)`, or `exec("@name")`: the request ends here and goes on there.
fn exec(frame: &mut Frame<'_>) -> Called {
    let path = frame.need_str(1, "exec")?;
    let args = frame.str(2).unwrap_or_default();
    let jump = match path.strip_prefix(b"@") {
        Some(name) => Jump::Named(name.to_vec()),
        None => Jump::Path(path.to_vec(), args.to_vec()),
    };
    leave(frame, jump)
}

/// A location is looked for again, with the path as it is now.
fn jump_again(frame: &mut Frame<'_>) -> Called {
    leave(frame, Jump::Again)
}

fn leave(frame: &mut Frame<'_>, jump: Jump) -> Called {
    let x = frame.exchange()?;
    if x.response.head_fixed || x.response.head_sent || !x.response.printed.is_empty() {
        return Err(Raise::new("attempt to call ngx.exec after sending out response headers"));
    }
    x.inner.get_or_insert_default().jump = Some(jump);
    frame.core()?.suspend(Op::Exit(0));
    Ok(Outcome::Yield)
}

/// `var_capture(number)`: what the location's expression, or the last `rewrite`, captured.
fn var_capture(frame: &mut Frame<'_>) -> Called {
    let number = frame.need_num(1, "var")?;
    let x = frame.exchange()?;
    let captured = x.inner.as_ref().map(|inner| &inner.captured.numbered);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let at = (number as usize).wrapping_sub(1);
    let value = captured.and_then(|all| all.get(at)?.as_deref());
    push_option(frame, value)
}

/// Whether the request was sent here by another location, and whether it is inside of another.
fn req_place(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let (internal, inside) =
        x.inner.as_ref().map_or((false, false), |inner| (inner.internal, inner.depth > 0));
    frame.push_bool(internal);
    frame.push_bool(inside);
    Ok(Outcome::Return(2))
}

/// `sub_add(method, path, args, body, forward, ctx, vars, name, value, ...)`: a request for the
/// next `sub_run`. With `forward` it gets the body of the request it is in; with `vars` its
/// variables.
fn sub_add(frame: &mut Frame<'_>) -> Called {
    let method = frame.need_str(1, "capture")?;
    let path = frame.need_str(2, "capture")?;
    let args = frame.str(3).unwrap_or_default();
    let body = frame.str(4);
    let (forward, copies) = (frame.truth(5), frame.truth(7));
    let ctx = if frame.kind(6) == Kind::Table { Some(frame.keep(6)?) } else { None };
    let set: Vec<(Vec<u8>, Vec<u8>)> = (8..frame.count())
        .step_by(2)
        .filter_map(|at| Some((frame.str(at)?.to_vec(), frame.str(at + 1)?.to_vec())))
        .collect();
    let x = frame.exchange()?;
    let made = inside(x, method, path, args).and_then(|mut sub| {
        give_body(&mut sub, x, body, forward)?;
        Ok(sub)
    });
    let mut sub = match made {
        Ok(sub) => sub,
        Err(raise) => {
            // Those before it are not asked either.
            slot::of(x).asks.clear();
            return Err(raise);
        }
    };
    if copies {
        sub.vars.clone_from(&x.vars);
    }
    for (name, value) in &set {
        sub.set_var(name, Some(value));
    }
    if let Some(vm) = Vm::of(x) {
        vm.hold(&mut sub);
    }
    slot::of(&mut sub).ngx_ctx = ctx;
    slot::of(x).asks.push(sub);
    NONE
}

/// A request inside of `x`, without a body.
fn inside(x: &mut Exchange, method: &[u8], path: &[u8], args: &[u8]) -> Result<Exchange, Raise> {
    let depth = x.inner.as_ref().map_or(0, |inner| inner.depth);
    if depth >= Inner::DEPTH_MAX {
        return Err(Raise::new("too many requests inside of each other"));
    }
    if slot::of(x).asks.len() >= TOGETHER_MAX {
        return Err(Raise(format!("more than {TOGETHER_MAX} requests at the same time")));
    }
    let mut sub = Exchange::default();
    sub.reset(&x.conn);
    let fields: Vec<(&[u8], &[u8])> = x
        .head
        .fields
        .iter()
        .filter(|(name, _)| {
            let framing = [&b"content-length"[..], b"transfer-encoding", b"expect"];
            !framing.iter().any(|own| name.eq_ignore_ascii_case(own))
        })
        .collect();
    sub.head
        .assemble(method, x.head.target(), None, fields)
        .map_err(|error| Raise(format!("this request cannot be asked again: {}", error.why())))?;
    sub.serial = x.serial;
    sub.conn_requests = x.conn_requests;
    sub.remote = x.remote;
    sub.host.clone_from(&x.host);
    sub.method = method.to_vec();
    sub.path = path.to_vec();
    sub.args = args.to_vec();
    sub.forward = uri::encode_path(path);
    sub.rewritten = true;
    sub.snapshot.clone_from(&x.snapshot);
    sub.globals.clone_from(&x.globals);
    sub.body_bytes_max = x.body_bytes_max;
    sub.body.bytes_max = x.body.bytes_max;
    let asked_by = match &x.inner {
        Some(inner) if inner.depth > 0 => inner.method.clone(),
        _ => x.method.clone(),
    };
    let inner = Inner { internal: true, depth: depth + 1, method: asked_by, ..Inner::default() };
    sub.inner = Some(Box::new(inner));
    Ok(sub)
}

fn give_body(
    sub: &mut Exchange,
    x: &Exchange,
    body: Option<&[u8]>,
    forward: bool,
) -> Result<(), Raise> {
    match (body, forward) {
        (Some(body), _) => sub.body.replace(Bytes::copy_from_slice(body)),
        (None, true) => match (&x.body.held, &x.body.file) {
            (Some(held), _) => sub.body.replace(held.clone()),
            (None, Some(file)) => {
                sub.body.present = true;
                sub.body.length = Some(file.len());
                sub.body.file = Some(Rc::clone(file));
            }
            (None, None) => return Ok(()),
        },
        (None, false) => return Ok(()),
    }
    let length = sub.body.length.unwrap_or(0).to_string();
    sub.head
        .fields
        .set("Content-Length", length)
        .map(drop)
        .map_err(|error| Raise(format!("this request cannot be asked again: {error}")))
}

/// `sub_run()`: asks all that was added; a list with, for each, status, whether its body was cut,
/// body, headers and variables, the last two as names and values in turns.
fn sub_run(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let asks = std::mem::take(&mut slot::of(frame.exchange()?).asks);
    let Some(inside) = core.env.inside.borrow().clone() else {
        return Err(Raise::new("there is no server here to ask"));
    };
    let bytes_max = core.env.settings.resume_bytes_max / asks.len().max(1);
    let asked = asks.into_iter().map(|x| Ask::Waits(inside.ask(Box::new(x), bytes_max))).collect();
    core.suspend(Op::Wait(Box::pin(All(asked))));
    Ok(Outcome::Yield)
}

enum Ask {
    Waits(Pin<Box<dyn Future<Output = Told>>>),
    Over(Value),
}

/// Waits for all of them.
struct All(Vec<Ask>);

impl Future for All {
    type Output = Vec<Value>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waits = false;
        for ask in &mut self.0 {
            if let Ask::Waits(future) = ask {
                match future.as_mut().poll(cx) {
                    Poll::Ready(told) => *ask = Ask::Over(value_of(told)),
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits {
            return Poll::Pending;
        }
        let values = std::mem::take(&mut self.0).into_iter().map(|ask| match ask {
            Ask::Over(value) => value,
            Ask::Waits(_) => Value::Nil,
        });
        Poll::Ready(vec![Value::List(values.collect())])
    }
}

fn value_of(told: Told) -> Value {
    let Told { mut x, body, truncated } = told;
    let response = &x.response;
    let mut headers = Vec::new();
    // The gateway's own name is put on what leaves it.
    let told = response.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"server"));
    for (name, value) in told {
        // However it was spelled when it was set.
        let name =
            if name.eq_ignore_ascii_case(b"content-type") { &b"Content-Type"[..] } else { name };
        headers.extend([Value::Str(name.to_vec()), Value::Str(value.to_vec())]);
    }
    if let Some(length) =
        response.length.filter(|_| response.fields.get("content-length").is_none())
    {
        let length = length.to_string().into_bytes();
        headers.extend([Value::Str(b"Content-Length".to_vec()), Value::Str(length)]);
    }
    let vars = x.vars.iter().flat_map(|(name, value)| {
        let value = value.as_ref().map_or(Value::Bool(false), |value| Value::Str(value.to_vec()));
        [Value::Str(name.to_vec()), value]
    });
    let answer = vec![
        Value::Num(f64::from(response.status)),
        Value::Bool(truncated),
        Value::Str(body),
        Value::List(headers),
        Value::List(vars.collect()),
    ];
    Vm::detach(&mut x);
    Value::List(answer)
}
