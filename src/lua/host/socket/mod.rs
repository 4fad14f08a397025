//! Cosockets: `ngx.socket.tcp`, `ngx.socket.udp`, and names asked of DNS.
//!
//! Lua holds a number per socket ([`handles`]); the connection belongs to the run that
//! opened it ([`Owner`]) and is closed with it, unless it went back to its pool before.
//! Whatever can be done at once (a pooled connection, bytes already read, a write the
//! kernel takes) does not yield. `lua/moongate/socket.lua` makes objects of the numbers.

mod connect;
mod dns;
mod downstream;
mod handles;
mod options;
mod pool;
pub(in crate::lua::host) mod read;
mod tcp;
#[cfg(test)]
pub(super) mod tests;
mod tls;
mod udp;

use std::{error::Error as _, future::Future, io, rc::Rc, time::Duration};

use super::ONE;
use crate::{
    error::Error,
    lua::{
        core::{Core, Op},
        raw::{
            co::Value,
            frame::{Called, Frame, Outcome, Raise},
        },
        slot,
    },
    upstream::tls::TlsClient,
};

pub(crate) use handles::{Owner, Sockets};

/// How long any operation may take that has no `settimeout` of its own: nginx's
/// `lua_socket_*_timeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What one `receive` may gather, in bytes.
const RECEIVE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What the sockets of one worker share.
#[derive(Default)]
pub(crate) struct Network {
    pools: pool::Pools,
    tls: tls::Clients,
}

impl Network {
    /// What shakes hands without a certificate of ours.
    ///
    /// # Errors
    ///
    /// When the authorities to trust cannot be read.
    pub(super) fn tls_client(&self, core: &Core, verify: bool) -> Result<TlsClient, String> {
        self.tls.client(core, verify, None)
    }
}

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    handles::register(core, table)?;
    tcp::register(core, table)?;
    options::register(core, table)?;
    udp::register(core, table)?;
    core.state().host_function(table, "dns", dns::dns)
}

/// Makes the current run the owner of `socket`.
///
/// # Errors
///
/// When nothing runs that could own it, or where plugins are only checked.
fn adopt(frame: &mut Frame<'_>, socket: &Rc<dyn handles::Owned>) -> Result<(), Raise> {
    let core = frame.core()?;
    if !core.env.serves {
        return Err(Raise::new("no socket can be used while plugins are only being checked"));
    }
    if let Ok(x) = frame.exchange() {
        slot::of(x).sockets.adopt(socket);
        return Ok(());
    }
    let owner = core.owner().ok_or_else(|| Raise::new("API disabled in the current context"))?;
    owner.adopt(socket);
    Ok(())
}

/// Awaits `future`; its values become the results of the call.
fn wait(frame: &Frame<'_>, future: impl Future<Output = Vec<Value>> + 'static) -> Called {
    frame.core()?.suspend(Op::Wait(Box::pin(future)));
    Ok(Outcome::Yield)
}

/// OpenResty's usual sign of success.
fn success(frame: &mut Frame<'_>) -> Called {
    frame.push_num(1.0);
    ONE
}

/// `nil, text`.
fn failure(text: impl Into<String>) -> Vec<Value> {
    vec![Value::Nil, Value::Str(text.into().into_bytes())]
}

/// Milliseconds from Lua; as with OpenResty zero is the default, not "at once".
fn timeout_of(frame: &Frame<'_>, at: i32, name: &str) -> Result<Duration, Raise> {
    let milliseconds = frame.need_num(at, name)?;
    if !(0.0..=f64::from(i32::MAX)).contains(&milliseconds) {
        return Err(Raise::new("bad timeout value"));
    }
    if milliseconds < 1.0 {
        return Ok(TIMEOUT);
    }
    Ok(Duration::from_secs_f64(milliseconds / 1000.0))
}

/// A count from Lua, at least `min`.
fn count_of(frame: &Frame<'_>, at: i32, min: f64) -> Option<usize> {
    let number = frame.num(at)?;
    if !(min..=f64::from(u32::MAX)).contains(&number) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
    Some(number as usize)
}

/// An error of the system, worded as nginx words it: lower case, without a number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => return "timeout".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => return "closed".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if error.raw_os_error().is_some() { text.to_lowercase() } else { text.to_owned() }
}

/// Why a name has no address, in OpenResty's form.
fn not_resolved(host: &str, error: &Error) -> String {
    match error.source() {
        Some(cause) => format!("{host} could not be resolved ({cause})"),
        None => format!("{host} could not be resolved"),
    }
}
