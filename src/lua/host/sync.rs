//! Semaphores: light threads of one VM that wait for each other, also across requests.
//!
//! A semaphore belongs to its Lua object. The object's methods are `try(seconds)`, which
//! takes a place or queues up, `post(n)` and `count()`; after `try` said "queued" Lua calls
//! `host.semaphore_wait`, which yields. `lua/ngx/semaphore.lua` hides that.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::lua::{
    core::{Core, Op},
    raw::{
        co::Value,
        frame::{Called, Frame, Outcome, Raise},
    },
};

/// Who waits for one semaphore at most.
const WAITERS_MAX: usize = 100_000;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let weak = Rc::downgrade(core);
    let make = core.lua().create_function(move |lua, free: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
        let free = Cell::new(free as u32);
        let inner = Rc::new(Inner { free, waiting: RefCell::default() });
        lua.create_userdata(Semaphore { inner, core: Weak::clone(&weak) })
    })?;
    table.raw_set("semaphore", make)?;
    core.state().host_function(table, "semaphore_wait", wait)
}

/// One who waits.
#[derive(Default)]
struct Waiter {
    called: Cell<bool>,
    wake: Notify,
}

struct Inner {
    free: Cell<u32>,
    /// Who waits, first come first served.
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

impl Inner {
    fn post(&self, places: u32) {
        let mut waiting = self.waiting.borrow_mut();
        for left in (0..places).rev() {
            let Some(waiter) = waiting.pop_front() else {
                self.free.set(self.free.get().saturating_add(left + 1));
                return;
            };
            waiter.called.set(true);
            waiter.wake.notify_one();
        }
    }
}

/// A place in the queue. Who leaves it after being called passes the call on.
struct Queued {
    inner: Rc<Inner>,
    waiter: Rc<Waiter>,
    over: bool,
}

impl Queued {
    async fn run(mut self, time: Duration) -> Vec<Value> {
        let woken = timeout(time, self.waiter.wake.notified()).await;
        if woken.is_ok() || self.waiter.called.get() {
            self.over = true;
            return vec![Value::Bool(true)];
        }
        vec![Value::Nil, Value::from("timeout")]
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.waiter.called.get() {
            self.inner.post(1);
        } else {
            self.inner.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
        }
    }
}

struct Semaphore {
    inner: Rc<Inner>,
    core: Weak<Core>,
}

impl Semaphore {
    /// True: got a place. False: `semaphore_wait` will tell. Nil and why otherwise.
    fn try_take(&self, seconds: f64) -> (Option<bool>, Option<&'static str>) {
        let free = self.inner.free.get();
        if free > 0 {
            self.inner.free.set(free - 1);
            return (Some(true), None);
        }
        let (Ok(time), Some(core)) = (Duration::try_from_secs_f64(seconds), self.core.upgrade())
        else {
            return (None, Some("timeout"));
        };
        if time.is_zero() {
            return (None, Some("timeout"));
        }
        let mut waiting = self.inner.waiting.borrow_mut();
        if waiting.len() >= WAITERS_MAX {
            return (None, Some("too many waiters"));
        }
        let waiter = Rc::new(Waiter::default());
        waiting.push_back(Rc::clone(&waiter));
        let queued = Queued { inner: Rc::clone(&self.inner), waiter, over: false };
        drop(waiting);
        core.suspend(Op::Wait(Box::pin(queued.run(time))));
        (Some(false), None)
    }

    /// Free places; below zero how many wait.
    fn count(&self) -> i64 {
        let waiting = i64::try_from(self.inner.waiting.borrow().len()).unwrap_or(i64::MAX);
        i64::from(self.inner.free.get()) - waiting
    }
}

impl mlua::UserData for Semaphore {
    fn add_methods<M: mlua::UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("try", |_, this, seconds: f64| Ok(this.try_take(seconds)));
        methods.add_method("count", |_, this, ()| Ok(this.count()));
        methods.add_method("post", |_, this, places: f64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
            this.inner.post(places as u32);
            Ok(())
        });
    }
}

/// Yields to what `try` queued.
fn wait(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let Some(queued) = core.take_pending() else {
        return Err(Raise::new("nothing to wait for"));
    };
    core.suspend(queued);
    Ok(Outcome::Yield)
}
