//! Idle connections of one worker, by OpenResty's pool names.
//!
//! A pool holds at most its size; the one unused for longest goes first. Each idle
//! connection is watched: when its time is over, or the peer closes it or says something
//! unasked, it is dropped at once. A pool with a backlog also bounds the connections in
//! use: who comes too late waits for one of them.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::timeout,
};

use crate::sys::conn::Conn;

/// nginx's `lua_socket_pool_size`.
pub(super) const SIZE: usize = 30;
/// nginx's `lua_socket_keepalive_timeout`.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(60);
/// Connections a pool may hold, whatever plugins ask for.
const SIZE_MAX: usize = 65_536;
/// Pools from which on those that hold nothing are forgotten.
const POOLS_MAX: usize = 1024;

/// The pools of one worker.
#[derive(Default)]
pub(super) struct Pools(RefCell<HashMap<Rc<[u8]>, Rc<Pool>>>);

impl Pools {
    pub(super) fn find(&self, name: &[u8]) -> Option<Rc<Pool>> {
        self.0.borrow().get(name).map(Rc::clone)
    }

    /// The pool of this name; size and backlog count for a new one only.
    pub(super) fn find_or_make(
        &self,
        name: &Rc<[u8]>,
        size: usize,
        backlog: Option<usize>,
    ) -> Rc<Pool> {
        let mut pools = self.0.borrow_mut();
        if let Some(pool) = pools.get(name) {
            return Rc::clone(pool);
        }
        if pools.len() >= POOLS_MAX {
            pools.retain(|_, pool| pool.is_used());
        }
        let pool = Rc::new(Pool::new(size.clamp(1, SIZE_MAX), backlog));
        pools.insert(Rc::clone(name), Rc::clone(&pool));
        pool
    }
}

/// An idle connection.
struct Idle {
    conn: Rc<Conn>,
    reused: u64,
    number: u64,
    watcher: AbortHandle,
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Connections of one name.
pub(super) struct Pool {
    size: usize,
    /// Places for connections in use, and how many may wait for one.
    limit: Option<(Arc<Semaphore>, usize)>,
    waiting: Cell<usize>,
    numbers: Cell<u64>,
    /// The freshest in front.
    idle: RefCell<VecDeque<Idle>>,
}

/// Whether another connection of a pool may be used now.
pub(super) enum Turn {
    /// Yes; the permit is kept while it is in use.
    Now(Option<OwnedSemaphorePermit>),
    /// After some other one is given back.
    Later(Queued),
    /// Too many wait already.
    Never,
}

/// A place in the queue of a pool.
pub(super) struct Queued {
    pool: Rc<Pool>,
    places: Arc<Semaphore>,
}

impl Queued {
    /// Waits for its turn.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.pool.waiting.set(self.pool.waiting.get() - 1);
    }
}

impl Pool {
    fn new(size: usize, backlog: Option<usize>) -> Self {
        Self {
            size,
            limit: backlog.map(|backlog| (Arc::new(Semaphore::new(size)), backlog)),
            waiting: Cell::new(0),
            numbers: Cell::new(0),
            idle: RefCell::default(),
        }
    }

    fn is_used(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) > 1 || !self.idle.borrow().is_empty()
    }

    /// Asks to use one more connection.
    pub(super) fn turn(self: &Rc<Self>) -> Turn {
        let Some((places, backlog)) = &self.limit else { return Turn::Now(None) };
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Turn::Now(Some(permit));
        }
        if self.waiting.get() >= *backlog {
            return Turn::Never;
        }
        self.waiting.set(self.waiting.get() + 1);
        Turn::Later(Queued { pool: Rc::clone(self), places: Arc::clone(places) })
    }

    /// A living idle connection, and how often it was used again with this time.
    pub(super) fn take(&self) -> Option<(Rc<Conn>, u64)> {
        loop {
            let idle = self.idle.borrow_mut().pop_front()?;
            idle.watcher.abort();
            if idle.conn.is_alive() {
                return Some((Rc::clone(&idle.conn), idle.reused + 1));
            }
        }
    }

    /// Keeps a connection for up to `time`; zero is for ever.
    pub(super) fn put(self: &Rc<Self>, conn: Rc<Conn>, reused: u64, time: Duration) {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        let watched = watch(Rc::downgrade(self), Rc::clone(&conn), number, time);
        let watcher = tokio::task::spawn_local(watched).abort_handle();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.size
            && let Some(oldest) = idle.pop_back()
        {
            oldest.conn.goodbye();
        }
        idle.push_front(Idle { conn, reused, number, watcher });
    }

    fn forget(&self, number: u64) {
        let mut idle = self.idle.borrow_mut();
        if let Some(at) = idle.iter().position(|idle| idle.number == number)
            && let Some(gone) = idle.remove(at)
        {
            gone.conn.goodbye();
        }
    }

    /// How many are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}

/// Ends when `conn` is of no more use.
async fn watch(pool: Weak<Pool>, conn: Rc<Conn>, number: u64, time: Duration) {
    let gone = async { while conn.readable().await.is_ok() && conn.is_alive() {} };
    if time.is_zero() {
        gone.await;
    } else {
        // Either way it is over; which of the two it was does not matter.
        let _ = timeout(time, gone).await;
    }
    if let Some(pool) = pool.upgrade() {
        pool.forget(number);
    }
}
