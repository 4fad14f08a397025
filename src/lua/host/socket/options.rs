//! What `setoption`, `bind` and `setclientcert` set.

use std::{io, net::IpAddr, rc::Rc};

use socket2::SockRef;

use super::{
    handles::{tcp_of, udp_of},
    success,
    tls::Identity,
    words,
};
use crate::lua::{
    core::Core,
    host::{ONE, push_failure},
    raw::frame::{Called, Frame, Kind},
};

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "tcp_set_option", set_option)?;
    state.host_function(table, "tcp_get_option", get_option)?;
    state.host_function(table, "tcp_bind", tcp_bind)?;
    state.host_function(table, "udp_bind", udp_bind)?;
    state.host_function(table, "tcp_set_identity", set_identity)
}

fn set(socket: &SockRef<'_>, name: &[u8], value: f64) -> Option<io::Result<()>> {
    let on = value != 0.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let size = value as usize;
    Some(match name {
        b"keepalive" => socket.set_keepalive(on),
        b"reuseaddr" => socket.set_reuse_address(on),
        b"tcp-nodelay" => socket.set_tcp_nodelay(on),
        b"sndbuf" => socket.set_send_buffer_size(size),
        b"rcvbuf" => socket.set_recv_buffer_size(size),
        _ => return None,
    })
}

fn get(socket: &SockRef<'_>, name: &[u8]) -> Option<io::Result<usize>> {
    Some(match name {
        b"keepalive" => socket.keepalive().map(usize::from),
        b"reuseaddr" => socket.reuse_address().map(usize::from),
        b"tcp-nodelay" => socket.tcp_nodelay().map(usize::from),
        b"sndbuf" => socket.send_buffer_size(),
        b"rcvbuf" => socket.recv_buffer_size(),
        _ => return None,
    })
}

fn unknown(frame: &mut Frame<'_>, name: &[u8]) -> Called {
    push_failure(frame, &format!("unsupported option {}", String::from_utf8_lossy(name)))
}

/// `(handle, name, value)` -> true | nil, error.
fn set_option(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    if frame.is_nil(2) {
        return push_failure(frame, "missing the \"option\" argument");
    }
    if frame.is_nil(3) {
        return push_failure(frame, "missing the \"value\" argument");
    }
    let name = frame.need_str(2, "setoption")?;
    let value = match frame.kind(3) {
        Kind::Bool => f64::from(u8::from(frame.truth(3))),
        _ => frame.need_num(3, "setoption")?,
    };
    let Some(conn) = tcp.conn() else { return push_failure(frame, "closed") };
    match conn.with_socket(|socket| set(socket, name, value)) {
        None => unknown(frame, name),
        Some(Ok(())) => {
            frame.push_bool(true);
            ONE
        }
        Some(Err(error)) => push_failure(frame, &words(&error)),
    }
}

/// `(handle, name)` -> number | nil, error.
fn get_option(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let name = frame.need_str(2, "getoption")?;
    let Some(conn) = tcp.conn() else { return push_failure(frame, "closed") };
    match conn.with_socket(|socket| get(socket, name)) {
        None => unknown(frame, name),
        Some(Ok(value)) => {
            #[allow(clippy::cast_precision_loss)] // A buffer size.
            frame.push_num(value as f64);
            ONE
        }
        Some(Err(error)) => push_failure(frame, &words(&error)),
    }
}

fn address(frame: &Frame<'_>) -> Option<IpAddr> {
    std::str::from_utf8(frame.str(2)?).ok()?.parse().ok()
}

/// `(handle, address)` -> 1 | nil, error: where later connections start from.
fn tcp_bind(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    frame.need_str(2, "bind")?;
    let Some(address) = address(frame) else { return push_failure(frame, "bad address") };
    tcp.local.set(Some(address));
    success(frame)
}

/// As [`tcp_bind`].
fn udp_bind(frame: &mut Frame<'_>) -> Called {
    let udp = udp_of(frame)?;
    frame.need_str(2, "bind")?;
    let Some(address) = address(frame) else { return push_failure(frame, "bad address") };
    udp.local.set(Some(address));
    success(frame)
}

/// `(handle, chain, key)`: PEM texts for the next handshake; nil for none.
fn set_identity(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let identity = match (frame.is_nil(2), frame.is_nil(3)) {
        (true, true) => None,
        (true, false) | (false, true) => {
            return push_failure(
                frame,
                "client certificate must be supplied with corresponding private key",
            );
        }
        (false, false) => {
            let text = |at| Some(String::from_utf8_lossy(frame.str(at)?).into_owned());
            let (Some(chain), Some(key)) = (text(2), text(3)) else {
                return push_failure(frame, "client certificate and private key must be PEM texts");
            };
            Some(Rc::new(Identity { chain, key }))
        }
    };
    *tcp.identity.borrow_mut() = identity;
    success(frame)
}
