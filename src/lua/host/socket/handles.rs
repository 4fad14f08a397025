//! The numbers that stand for sockets in Lua, and who closes what they stand for.
//!
//! A handle is a place in a table plus how often that place was used before, so an old
//! one never reaches a newer socket. The place is given back when Lua collects the object
//! (its [`Tether`] is dropped); the connection does not wait for that: it ends with its
//! [`Owner`].

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use super::{tcp::Tcp, udp::Udp};
use crate::lua::{
    core::Core,
    raw::{
        co::Ref,
        frame::{Frame, Raise},
    },
};

const PLACE_BITS: u32 = 20;
const GENERATION_BITS: u32 = 32;
/// Sockets that one VM may have, also those that are not connected.
const SOCKETS_MAX: usize = 1 << PLACE_BITS;

// Lua's numbers hold 53 bits exactly.
const _: () = assert!(PLACE_BITS + GENERATION_BITS <= 53);

thread_local! {
    static OWNERS: Cell<u64> = const { Cell::new(0) };
}

#[derive(Clone)]
enum Socket {
    Tcp(Rc<Tcp>),
    Udp(Rc<Udp>),
}

#[derive(Default)]
struct Place {
    generation: u32,
    socket: Option<Socket>,
}

#[derive(Default)]
struct Places {
    all: Vec<Place>,
    free: Vec<usize>,
}

/// The sockets of one VM.
#[derive(Default)]
pub(crate) struct Sockets {
    places: RefCell<Places>,
}

impl Sockets {
    fn insert(&self, socket: Socket) -> Option<u64> {
        let mut places = self.places.borrow_mut();
        let at = match places.free.pop() {
            Some(at) => at,
            None if places.all.len() >= SOCKETS_MAX => return None,
            None => {
                places.all.push(Place::default());
                places.all.len() - 1
            }
        };
        let place = places.all.get_mut(at)?;
        place.socket = Some(socket);
        Some((u64::from(place.generation) << PLACE_BITS) | at as u64)
    }

    fn find(&self, handle: u64) -> Option<Socket> {
        let (at, generation) = split(handle);
        let places = self.places.borrow();
        let place = places.all.get(at)?;
        if place.generation == generation { place.socket.clone() } else { None }
    }

    fn remove(&self, handle: u64) -> Option<Socket> {
        let (at, generation) = split(handle);
        let mut places = self.places.borrow_mut();
        let place = places.all.get_mut(at)?;
        if place.generation != generation {
            return None;
        }
        let socket = place.socket.take();
        // A place that was used four billion times is not used again.
        if let Some(next) = generation.checked_add(1) {
            place.generation = next;
            places.free.push(at);
        }
        socket
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let places = self.places.borrow();
        places.all.len() - places.free.len()
    }
}

fn split(handle: u64) -> (usize, u32) {
    let at = handle & (SOCKETS_MAX as u64 - 1);
    let generation = handle >> PLACE_BITS;
    (usize::try_from(at).unwrap_or(usize::MAX), u32::try_from(generation).unwrap_or(u32::MAX))
}

/// What a socket object in Lua holds besides its handle.
struct Tether {
    sockets: Weak<Sockets>,
    handle: u64,
}

impl mlua::UserData for Tether {}

impl Drop for Tether {
    fn drop(&mut self) {
        // The socket itself is dropped after the table is free again.
        let socket = self.sockets.upgrade().and_then(|sockets| sockets.remove(self.handle));
        drop(socket);
    }
}

/// `socket_new(is_tcp)` -> handle, tether.
pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let sockets = Rc::downgrade(core.sockets());
    let make = core.lua().create_function(move |lua, is_tcp: bool| {
        let gone = || mlua::Error::RuntimeError("the virtual machine ends".to_owned());
        let live = sockets.upgrade().ok_or_else(gone)?;
        let socket = if is_tcp { Socket::Tcp(Rc::default()) } else { Socket::Udp(Rc::default()) };
        let Some(handle) = live.insert(socket) else {
            return Err(mlua::Error::RuntimeError("too many sockets".to_owned()));
        };
        let tether = Tether { sockets: Weak::clone(&sockets), handle };
        #[allow(clippy::cast_precision_loss)] // At most 53 bits, see above.
        Ok((handle as f64, lua.create_userdata(tether)?))
    })?;
    table.raw_set("socket_new", make)
}

fn socket_of(frame: &Frame<'_>) -> Result<Option<Socket>, Raise> {
    let handle = frame.num(1).unwrap_or(-1.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let handle = if handle < 0.0 { u64::MAX } else { handle as u64 };
    Ok(frame.core()?.sockets().find(handle))
}

/// The TCP socket that the first argument stands for.
///
/// # Errors
///
/// When it stands for none.
pub(super) fn tcp_of(frame: &Frame<'_>) -> Result<Rc<Tcp>, Raise> {
    match socket_of(frame)? {
        Some(Socket::Tcp(tcp)) => Ok(tcp),
        _ => Err(Raise::new("bad TCP socket object")),
    }
}

/// The UDP socket that the first argument stands for.
///
/// # Errors
///
/// When it stands for none.
pub(super) fn udp_of(frame: &Frame<'_>) -> Result<Rc<Udp>, Raise> {
    match socket_of(frame)? {
        Some(Socket::Udp(udp)) => Ok(udp),
        _ => Err(Raise::new("bad UDP socket object")),
    }
}

/// A socket as its owner sees it.
pub(super) trait Owned {
    /// The owner's number; 0 is nobody.
    fn owner(&self) -> &Cell<u64>;
    /// Ends the connection, whatever goes on there.
    fn abandon(&self);
}

/// A run of Lua that opened sockets: a request, or a timer. They end with it.
#[derive(Default)]
pub(crate) struct Owner {
    /// The table behind `ngx.ctx` of a run without a request.
    pub(crate) ctx: RefCell<Option<Ref>>,
    number: Cell<u64>,
    sockets: RefCell<Vec<Weak<dyn Owned>>>,
}

impl Owner {
    pub(super) fn adopt(&self, socket: &Rc<dyn Owned>) {
        if self.number.get() == 0 {
            self.number.set(OWNERS.get() + 1);
            OWNERS.set(self.number.get());
        }
        if socket.owner().replace(self.number.get()) == self.number.get() {
            return;
        }
        let mut sockets = self.sockets.borrow_mut();
        if sockets.len() == sockets.capacity() {
            sockets.retain(|socket| socket.strong_count() > 0);
        }
        sockets.push(Rc::downgrade(socket));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        for socket in self.sockets.take() {
            let Some(socket) = socket.upgrade() else { continue };
            if socket.owner().get() == self.number.get() {
                socket.owner().set(0);
                socket.abandon();
            }
        }
    }
}
