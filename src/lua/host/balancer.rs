//! `host.balancer_*`: what a plugin's `balancer` has to say about the try that comes next.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use super::{ONE, push_failure};
use crate::{
    exchange::{Exchange, Orders},
    lua::{
        core::Core,
        raw::frame::{Called, Frame, Outcome},
    },
};

/// Tries that one call may add.
const MORE_TRIES_MAX: f64 = 1000.0;

/// Longest time that a connection may be idle.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Idle connections to one node at most.
const POOL_SIZE_MAX: f64 = 65536.0;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "balancer_set_peer", set_peer)?;
    state.host_function(table, "balancer_more_tries", more_tries)?;
    state.host_function(table, "balancer_set_timeouts", set_timeouts)?;
    state.host_function(table, "balancer_keep", keep)?;
    state.host_function(table, "balancer_pool_size", pool_size)?;
    state.host_function(table, "balancer_last_failure", last_failure)
}

fn orders(x: &mut Exchange) -> &mut Orders {
    x.upstream.orders.get_or_insert_default()
}

/// `balancer_set_peer(address, port, host)`: true, or nil and why not.
fn set_peer(frame: &mut Frame<'_>) -> Called {
    let address = String::from_utf8_lossy(frame.need_str(1, "set_current_peer")?);
    let port = frame.need_num(2, "set_current_peer")?;
    let host = frame.str(3).map(|host| String::from_utf8_lossy(host).into_owned());
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let Ok(ip) = address.parse() else { return push_failure(frame, "no host allowed") };
    if !(1.0..=65535.0).contains(&port) {
        return push_failure(frame, "invalid port");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
    let peer = SocketAddr::new(ip, port as u16);
    let orders = orders(frame.exchange()?);
    orders.peer = Some(peer);
    orders.host = host.map(Into::into);
    frame.push_bool(true);
    ONE
}

/// `balancer_more_tries(count)`: how many of them there will be.
fn more_tries(frame: &mut Frame<'_>) -> Called {
    let count = frame.need_num(1, "set_more_tries")?.clamp(0.0, MORE_TRIES_MAX);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped above.
    {
        orders(frame.exchange()?).more_tries = count as u32;
    }
    frame.push_num(count);
    ONE
}

/// `balancer_set_timeouts(connect, send, read)`: seconds; nil leaves one as it is.
fn set_timeouts(frame: &mut Frame<'_>) -> Called {
    let seconds = |at| frame.num(at).and_then(|time| Duration::try_from_secs_f64(time).ok());
    let given = [seconds(1), seconds(2), seconds(3)];
    let timeouts = &mut orders(frame.exchange()?).timeouts;
    for (timeout, given) in timeouts.iter_mut().zip(given) {
        *timeout = given.or(*timeout);
    }
    frame.push_bool(true);
    ONE
}

/// `balancer_keep(seconds, requests)`: how the connection is kept; 0 is for ever.
fn keep(frame: &mut Frame<'_>) -> Called {
    let seconds = frame.need_num(1, "enable_keepalive")?;
    let requests = frame.need_num(2, "enable_keepalive")?;
    let idle = match Duration::try_from_secs_f64(seconds) {
        Ok(idle) if !idle.is_zero() => idle.min(IDLE_MAX),
        _ => IDLE_MAX,
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let requests = if requests >= 1.0 { requests as u32 } else { u32::MAX };
    orders(frame.exchange()?).keep = Some((idle, requests));
    frame.push_bool(true);
    ONE
}

/// `balancer_pool_size(count)`: how many idle connections to the node are kept.
fn pool_size(frame: &mut Frame<'_>) -> Called {
    let count = frame.need_num(1, "set_current_peer")?.clamp(1.0, POOL_SIZE_MAX);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped above.
    {
        orders(frame.exchange()?).pool_size = Some(count as usize);
    }
    frame.push_bool(true);
    ONE
}

/// The status of the try before; nil if this is the first.
fn last_failure(frame: &mut Frame<'_>) -> Called {
    let status = frame.exchange()?.upstream.attempts.last().map(|attempt| attempt.status);
    match status {
        Some(status) => frame.push_num(f64::from(status)),
        None => frame.push_nil(),
    }
    Ok(Outcome::Return(1))
}
