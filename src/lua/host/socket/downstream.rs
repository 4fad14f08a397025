//! The client's own connection as a socket: `ngx.req.socket(true)`.
//!
//! From then on nobody but the plugin reads or writes there; when its request ends, so does the
//! connection.

use std::rc::Rc;

use super::{
    adopt,
    handles::{Owned, tcp_of},
    success,
    tcp::Open,
};
use crate::lua::{
    host::push_failure,
    raw::frame::{Called, Frame, Raise},
};

/// `tcp_downstream(handle)`: gives a fresh socket the client's connection: 1, or nil and why not.
pub(super) fn take_over(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let taken = {
        let x = frame.exchange()?;
        let peer = x.peer.clone().ok_or_else(|| Raise::new("the request has no connection"))?;
        if x.response.taken_over {
            Err("duplicate call")
        } else if !x.response.printed.is_empty() {
            Err("pending data to write")
        } else {
            let taken = peer.take_over();
            x.response.taken_over = taken.is_ok();
            taken
        }
    };
    let (conn, early) = match taken {
        Ok(taken) => taken,
        Err(why) => return push_failure(frame, why),
    };
    tcp.start(Open {
        conn,
        pool: Rc::from(&b""[..]),
        pool_size: None,
        backlog: None,
        permit: None,
        reused: 0,
        host: Rc::from(""),
    });
    tcp.unread(&early);
    let owned: Rc<dyn Owned> = tcp;
    adopt(frame, &owned)?;
    success(frame)
}
