//! `host.health_*`: what plugins ask and report about nodes that somebody watches.

use std::{rc::Rc, sync::Arc};

use super::{NONE, ONE, push_failure};
use crate::{
    config::upstream::Upstream,
    health::{Target, Watch},
    lua::{
        api::convert,
        core::Core,
        raw::{
            frame::{Called, Frame, Raise},
            object::{self, Object},
        },
    },
    shared::health::{Report, State},
};

/// An upstream that is watched, in the hands of Lua. While it has it, the probes go on.
struct Held(Arc<Watch>);

impl Object for Held {
    fn tag() -> &'static u8 {
        static TAG: u8 = 0;
        &TAG
    }
}

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let lua = core.lua();
    object::class::<Held>(lua, lua.create_table()?)?;
    let state = core.state();
    state.host_function(table, "health_find", find)?;
    state.host_function(table, "health_watch", watch)?;
    state.host_function(table, "health_end", end)?;
    state.host_function(table, "health_status", status)?;
    state.host_function(table, "health_turns", turns)?;
    state.host_function(table, "health_force", force)?;
    state.host_function(table, "health_report", report)
}

/// `health_find(key)`: who watches the upstream under `key`, or nil.
fn find(frame: &mut Frame<'_>) -> Called {
    let key = String::from_utf8_lossy(frame.need_str(1, "health_find")?);
    match frame.core()?.env.process.health.get(&key) {
        Some(watch) => frame.push_object(Held(watch)),
        None => frame.push_nil(),
    }
    ONE
}

/// `health_watch(key, conf)`: has an upstream watched that a plugin made, for as long as it
/// keeps what it gets. Nil and why not.
fn watch(frame: &mut Frame<'_>) -> Called {
    let key = String::from_utf8_lossy(frame.need_str(1, "health_watch")?).into_owned();
    let core = frame.core()?;
    let kept = frame.keep(2)?;
    let value = core
        .state()
        .value(&kept)
        .and_then(|value| convert::from_lua(core.lua(), &value))
        .map_err(|error| Raise(error.to_string()))?;
    let upstream = match Upstream::read(&value, None) {
        Ok(upstream) => upstream,
        Err(reason) => return push_failure(frame, &reason),
    };
    match core.env.process.health.of_plugin(&key, &upstream) {
        Some(watch) => {
            frame.push_object(Held(watch));
            ONE
        }
        None => push_failure(frame, "health checks are off"),
    }
}

/// `health_end(held)`: nobody wants what `health_watch` began any more.
fn end(frame: &mut Frame<'_>) -> Called {
    let Held(watch) = frame.need_object(1, "health_end")?;
    frame.core()?.env.process.health.end(watch);
    NONE
}

/// The node that arguments 2 to 4 name: address, port, and host name unless it is nil.
fn target<'w>(frame: &Frame<'_>, watch: &'w Watch) -> Option<&'w Target> {
    let host = String::from_utf8_lossy(frame.str(2)?);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let port = frame.num(3).map(|port| port as u16)?;
    let hostname = frame.str(4).map(String::from_utf8_lossy);
    watch.find(&host, port, hostname.as_deref())
}

/// `health_status(held, address, port, hostname)`: whether the node gets traffic; nil if
/// there is none.
fn status(frame: &mut Frame<'_>) -> Called {
    let Held(watch) = frame.need_object(1, "health_status")?;
    match target(frame, watch) {
        Some(target) => {
            let healthy = target.word.is_healthy();
            frame.push_bool(healthy);
            ONE
        }
        None => push_failure(frame, "target not found"),
    }
}

/// `health_turns(held)`: how often a node started or stopped getting traffic.
fn turns(frame: &mut Frame<'_>) -> Called {
    let Held(watch) = frame.need_object(1, "health_turns")?;
    frame.push_num(f64::from(watch.turns()));
    ONE
}

/// `health_force(held, address, port, hostname, healthy)`.
fn force(frame: &mut Frame<'_>) -> Called {
    let Held(watch) = frame.need_object(1, "health_force")?;
    if let Some(target) = target(frame, watch) {
        let state = if frame.truth(5) { State::Healthy } else { State::Unhealthy };
        watch.force(target, state);
    }
    NONE
}

/// `health_report(held, address, port, hostname, what, active)`; `what` is an HTTP status,
/// "success", "tcp" or "timeout", counted by the active limits or the passive ones.
fn report(frame: &mut Frame<'_>) -> Called {
    let Held(watch) = frame.need_object(1, "health_report")?;
    let active = frame.truth(6);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let seen = match (frame.num(5), frame.str(5)) {
        (Some(status), _) => watch.verdict(status as u16, active),
        (None, Some(b"success")) => Some(Report::Success),
        (None, Some(b"tcp")) => Some(Report::TcpFailure),
        (None, Some(b"timeout")) => Some(Report::Timeout),
        _ => None,
    };
    if let Some(seen) = seen
        && let Some(target) = target(frame, watch)
    {
        watch.reported(target, seen, active);
    }
    NONE
}
