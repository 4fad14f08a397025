//! Waiting, timers, light threads, `ngx.exit`, `ngx.ctx`, the log, and facts of the worker.

use std::{rc::Rc, time::Duration};

use super::{NONE, ONE, push_failure, socket::Owner};
use crate::{
    log::error_log,
    lua::{
        aside,
        core::{Core, Op},
        env::{Env, level_of},
        raw::{
            co::Value,
            current::Phase,
            frame::{Called, Frame, Kind, Outcome, Raise},
        },
        slot, timer,
    },
};

/// Bytes of lines that one worker keeps for `ngx.errlog`; APISIX's `lua_capture_error_log`.
const CAPTURE_BYTES_MAX: usize = 10 << 20;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "phase", phase)?;
    state.host_function(table, "has_request", has_request)?;
    state.host_function(table, "sleep", sleep)?;
    state.host_function(table, "exit", exit)?;
    state.host_function(table, "log", log)?;
    state.host_function(table, "log_level", log_level)?;
    state.host_function(table, "log_capture", log_capture)?;
    state.host_function(table, "log_captured", log_captured)?;
    state.host_function(table, "ngx_ctx", ngx_ctx)?;
    state.host_function(table, "set_ctx", set_ctx)?;
    state.host_function(table, "get_ctx", get_ctx)?;
    state.host_function(table, "timer_at", timer_at)?;
    state.host_function(table, "timer_counts", timer_counts)?;
    state.host_function(table, "thread_spawn", thread_spawn)?;
    state.host_function(table, "on_abort", on_abort)?;
    state.host_function(table, "thread_wait", thread_wait)?;
    state.host_function(table, "thread_kill", thread_kill)?;
    state.host_function(table, "run_aside", run_aside)?;
    state.host_function(table, "worker_id", worker_id)?;
    state.host_function(table, "worker_count", worker_count)?;
    state.host_function(table, "exiting", exiting)?;
    table.raw_set("pid", core.lua().create_function(|_, ()| Ok(std::process::id()))?)?;
    let prefix = core.env.settings.prefix.to_string_lossy().into_owned();
    table.raw_set("prefix", core.lua().create_function(move |_, ()| Ok(prefix.clone()))?)?;
    table.raw_set("mark", crate::lua::raw::state::State::mark())?;
    table.raw_set("moment", state.moment_address())?;
    table.raw_set("door_version", crate::lua::raw::door::VERSION)?;
    table.raw_set("version", crate::VERSION)?;
    table.raw_set("nginx_version", crate::NGINX_VERSION)
}

fn phase(frame: &mut Frame<'_>) -> Called {
    let name = frame.phase().name();
    frame.push_str(name.as_bytes());
    ONE
}

fn has_request(frame: &mut Frame<'_>) -> Called {
    let has = frame.exchange().is_ok();
    frame.push_bool(has);
    ONE
}

/// Seconds from Lua; refuses what is no time.
fn duration(seconds: f64) -> Result<Duration, Raise> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Raise(format!("invalid delay: {seconds}")))
}

fn sleep(frame: &mut Frame<'_>) -> Called {
    let time = duration(frame.need_num(1, "sleep")?)?;
    frame.core()?.suspend(Op::Wait(Box::pin(async move {
        tokio::time::sleep(time).await;
        Vec::new()
    })));
    Ok(Outcome::Yield)
}

fn exit(frame: &mut Frame<'_>) -> Called {
    #[allow(clippy::cast_possible_truncation)] // Saturates; nonsense codes are refused later.
    let code = frame.num(1).unwrap_or(0.0) as i32;
    frame.core()?.suspend(Op::Exit(code));
    Ok(Outcome::Yield)
}

fn log(frame: &mut Frame<'_>) -> Called {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let level = frame.need_num(1, "log")? as u8;
    let message = String::from_utf8_lossy(frame.need_str(2, "log")?);
    let source = frame.str(3).map(String::from_utf8_lossy);
    let text = match source {
        Some(source) => format!("[lua] {source} {message}"),
        None => format!("[lua] {message}"),
    };
    match frame.exchange() {
        Ok(x) => Env::log_request(level, x, &text),
        Err(_) => {
            let context = error_log::Context::default();
            error_log::log(level_of(level), &context, text.as_bytes());
        }
    }
    NONE
}

fn log_level(frame: &mut Frame<'_>) -> Called {
    frame.push_num(f64::from(error_log::level() as u8));
    ONE
}

/// `log_capture(level)`: this worker's lines up to `level` are kept for `log_captured`.
fn log_capture(frame: &mut Frame<'_>) -> Called {
    #[allow(clippy::cast_possible_truncation)] // Saturates; what is no level is refused.
    let level = frame.need_num(1, "log_capture")? as i64;
    let level = error_log::Level::from_number(level).ok_or_else(|| Raise::new("bad log level"))?;
    if !error_log::set_capture_level(level) {
        error_log::capture(level, CAPTURE_BYTES_MAX);
    }
    NONE
}

/// `log_captured(max)`: the oldest lines kept, taken out: level, time, line, level, and so on.
fn log_captured(frame: &mut Frame<'_>) -> Called {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let lines = error_log::take_captured(frame.need_num(1, "log_captured")? as usize);
    frame.push_table(lines.len() * 3, 0);
    for (line, at) in lines.iter().zip(0..) {
        frame.push_num(f64::from(line.level as u8));
        frame.set_index(at * 3 + 1);
        frame.push_num(line.time);
        frame.set_index(at * 3 + 2);
        frame.push_str(&line.line);
        frame.set_index(at * 3 + 3);
    }
    ONE
}

/// The table behind `ngx.ctx`, made at first use. Timers and `init` have one of their own.
fn ngx_ctx(frame: &mut Frame<'_>) -> Called {
    if let Some(owner) = run_alone(frame)? {
        return own_ctx(frame, &owner);
    }
    let x = frame.exchange()?;
    let slot = slot::of(x);
    if slot.ngx_ctx.is_none() {
        frame.push_table(0, 4);
        // In a location there is none, as in APISIX.
        let ctx = slot.ctx.as_ref().filter(|_| !slot.is_local());
        if let Some(ctx) = ctx {
            frame.push_str(b"api_ctx");
            frame.push_ref(ctx);
            frame.set_pair();
        }
        slot.ngx_ctx = Some(frame.keep(-1)?);
        return ONE;
    }
    if let Some(table) = &slot.ngx_ctx {
        frame.push_ref(table);
    }
    ONE
}

/// The run of a timer or of `init`: it belongs to no request.
pub(super) fn run_alone(frame: &Frame<'_>) -> Result<Option<Rc<Owner>>, Raise> {
    let alone = matches!(frame.phase(), Phase::Timer | Phase::InitWorker);
    Ok(if alone { frame.core()?.owner() } else { None })
}

fn own_ctx(frame: &mut Frame<'_>, owner: &Owner) -> Called {
    if let Some(table) = &*owner.ctx.borrow() {
        frame.push_ref(table);
        return ONE;
    }
    frame.push_table(0, 4);
    *owner.ctx.borrow_mut() = Some(frame.keep(-1)?);
    ONE
}

/// The runner hands over the `ctx` it made, for the later phases.
fn set_ctx(frame: &mut Frame<'_>) -> Called {
    let ctx = frame.keep(1)?;
    let x = frame.exchange()?;
    let slot = slot::of(x);
    // A location that the request passed on its way has one already.
    if let Some(ngx_ctx) = slot.ngx_ctx.as_ref().filter(|_| !slot.is_local()) {
        frame.push_ref(ngx_ctx);
        frame.push_str(b"api_ctx");
        frame.push_ref(&ctx);
        frame.set_pair();
    }
    slot.ctx = Some(ctx);
    NONE
}

fn get_ctx(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    match &slot::of(x).ctx {
        Some(ctx) => frame.push_ref(ctx),
        None => frame.push_nil(),
    }
    ONE
}

/// `timer_at(delay, function, every, ...)`.
fn timer_at(frame: &mut Frame<'_>) -> Called {
    let delay = duration(frame.need_num(1, "timer.at")?)?;
    if frame.kind(2) != Kind::Function {
        return Err(Raise(format!(
            "bad argument #2 to 'at' (function expected, got {})",
            frame.type_name(2)
        )));
    }
    let every = frame.truth(3);
    if every && delay.is_zero() {
        return Err(Raise::new("delay cannot be zero"));
    }
    let core = frame.core()?;
    let function = frame.keep(2)?;
    let args = (4..=frame.count()).map(|at| frame.keep(at)).collect::<Result<Vec<_>, _>>()?;
    match timer::start(core, delay, every, function, args) {
        Ok(()) => {
            frame.push_bool(true);
            ONE
        }
        Err(message) => push_failure(frame, message),
    }
}

fn timer_counts(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    frame.push_num(count(core.timers.1.get()));
    frame.push_num(count(core.timers.0.get()));
    Ok(Outcome::Return(2))
}

fn thread_spawn(frame: &mut Frame<'_>) -> Called {
    if frame.kind(1) != Kind::Function {
        return Err(Raise::new("bad argument #1 to 'spawn' (Lua function expected)"));
    }
    let core = frame.core()?;
    let co = core.coroutine();
    let moved = frame.move_to(&co, 1);
    core.suspend(Op::Spawn(co, moved - 1));
    Ok(Outcome::Yield)
}

/// `on_abort(function)`: 1, or nil and that there is one already.
fn on_abort(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let is_function = frame.kind(1) == Kind::Function;
    let registered = &mut slot::of(frame.exchange()?).on_abort;
    if *registered {
        return push_failure(frame, "duplicate call");
    }
    if !is_function {
        return Err(Raise::new("bad argument #1 to 'on_abort' (Lua function expected)"));
    }
    *registered = true;
    let co = core.coroutine();
    frame.move_to(&co, 1);
    core.suspend(Op::OnAbort(co));
    Ok(Outcome::Yield)
}

/// The coroutine at `at`; raises for anything else.
fn need_thread(frame: &Frame<'_>, at: i32, function: &str) -> Result<usize, Raise> {
    frame
        .thread(at)
        .ok_or_else(|| Raise(format!("bad argument #{at} to '{function}' (lua thread expected)")))
}

/// The results of a thread; null and why if these coroutines cannot be waited for.
fn thread_wait(frame: &mut Frame<'_>) -> Called {
    let threads: Vec<usize> =
        (1..=frame.count()).map(|at| need_thread(frame, at, "wait")).collect::<Result<_, _>>()?;
    if threads.is_empty() {
        return Err(Raise::new("at least one coroutine should be specified"));
    }
    frame.core()?.suspend(Op::Join(threads));
    Ok(Outcome::Yield)
}

fn thread_kill(frame: &mut Frame<'_>) -> Called {
    let thread = need_thread(frame, 1, "kill")?;
    frame.core()?.suspend(Op::Kill(thread));
    Ok(Outcome::Yield)
}

/// `run_aside(module, function, arguments)`: true and the results, or false and what went wrong.
fn run_aside(frame: &mut Frame<'_>) -> Called {
    let texts = [1, 2, 3].map(|at| frame.str(at).unwrap_or_default().to_vec());
    let core = frame.core()?;
    let answer = match aside::call(core, texts) {
        Ok(answer) => answer,
        Err(why) => {
            frame.push_bool(false);
            frame.push_str(why.as_bytes());
            return Ok(Outcome::Return(2));
        }
    };
    core.suspend(Op::Wait(Box::pin(async move {
        match answer.await {
            Ok(Ok(results)) => vec![Value::Bool(true), Value::Str(results)],
            Ok(Err(why)) => vec![Value::Bool(false), Value::Str(why.into_bytes())],
            Err(_) => vec![Value::Bool(false), Value::from("the worker thread has ended")],
        }
    })));
    Ok(Outcome::Yield)
}

fn worker_id(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    frame.push_num(f64::from(u32::try_from(core.env.worker).unwrap_or(0)));
    ONE
}

fn worker_count(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    frame.push_num(f64::from(u32::try_from(core.env.workers).unwrap_or(1)));
    ONE
}

fn exiting(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    frame.push_bool(core.retired.get() || core.env.exiting.get());
    ONE
}
