//! What every piece of one VM shares: its state, its watchdog, and the operation a
//! host function just asked to wait for.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashSet,
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use super::{
    env::{Env, Raised},
    host::{
        Known, Names,
        socket::{Owner, Sockets},
    },
    loader::Generation,
    raw::{
        co::{Co, Ref, Value},
        heap::Heap,
        state::State,
        watch::Watch,
    },
    task::Failure,
};
use crate::exchange::body::Room;

/// How many finished coroutines a VM keeps for the next request.
const SPARE_COROUTINES_MAX: usize = 256;

/// Something a coroutine waits for.
pub(crate) enum Op {
    /// A future; its values become the results of the host function.
    Wait(Pin<Box<dyn Future<Output = Vec<Value>>>>),
    /// The whole request body.
    ReadBody(Room),
    /// The same, for somebody who wants to know if it is too large.
    HoldBody(Room),
    /// The next piece of the request body, of which so many bytes may come; how long it may take.
    ReadPiece(u64, Duration),
    /// What was printed so far leaves; with true it is all of the answer.
    Send(bool),
    /// The function on this stack is to run when the client goes away.
    OnAbort(Co),
    /// `ngx.exit`: the coroutine is never resumed.
    Exit(i32),
    /// A light thread to start: its function and arguments lie on its stack.
    Spawn(Co, i32),
    /// The end of any of these light threads.
    Join(Vec<usize>),
    /// A light thread to end.
    Kill(usize),
}

/// Messages a VM remembers to tell new errors from old ones.
const MESSAGES_MAX: usize = 1_000;

/// Uncaught errors of one VM.
#[derive(Default)]
pub(crate) struct Errors {
    /// The first one, with its position.
    first: RefCell<Option<String>>,
    /// Messages without their numbers: lines move when a file is edited.
    known: RefCell<HashSet<String>>,
}

impl Errors {
    /// Whether an error with this message was raised before, in whatever line.
    pub(crate) fn has(&self, message: &str) -> bool {
        self.known.borrow().contains(&without_digits(message))
    }

    /// The first error there was.
    pub(crate) fn first(&self) -> Option<String> {
        self.first.borrow().clone()
    }

    /// Remembers a message; false if it was known.
    fn add(&self, message: &str) -> bool {
        self.first.borrow_mut().get_or_insert_with(|| message.to_owned());
        let mut known = self.known.borrow_mut();
        if known.len() >= MESSAGES_MAX {
            known.clear();
        }
        known.insert(without_digits(message))
    }
}

fn without_digits(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// One VM of one worker.
pub(crate) struct Core {
    spare: RefCell<Vec<Co>>,
    /// `ctx` tables of requests that are over, for the next ones.
    spare_ctx: RefCell<Vec<Ref>>,
    pending: RefCell<Option<Op>>,
    sockets: Rc<Sockets>,
    owner: RefCell<Weak<Owner>>,
    me: Weak<Self>,
    watch: Watch,
    state: State,
    /// The code generation this VM runs.
    pub(crate) generation: u64,
    /// The same, whole.
    pub(crate) code: OnceCell<Arc<Generation>>,
    /// Set when the VM no longer serves: timers end, `ngx.worker.exiting()` is true.
    pub(crate) retired: Cell<bool>,
    /// Wakes the timers when the VM retires.
    pub(crate) retire: tokio::sync::Notify,
    /// Timers waiting and running.
    pub(crate) timers: (Cell<usize>, Cell<usize>),
    /// Uncaught errors so far.
    pub(crate) errors: Errors,
    /// Set when the requests that still run are to be cut.
    pub(crate) evicted: Cell<bool>,
    /// Wakes long-lived connections when `evicted` is set.
    pub(crate) evict: tokio::sync::Notify,
    /// Tables made of the configuration.
    pub(crate) known: Known,
    /// Names of header fields.
    pub(crate) names: Names,
    /// What the worker offers.
    pub(crate) env: Rc<Env>,
}

impl Core {
    pub(crate) fn new(env: Rc<Env>, generation: u64) -> Result<Rc<Self>, String> {
        let settings = &env.settings;
        let state = State::new(settings.resume_bytes_max, settings.vm_bytes_max)?;
        let watch = Watch::new(&state, settings.budget);
        Ok(Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            spare: RefCell::default(),
            spare_ctx: RefCell::default(),
            pending: RefCell::default(),
            sockets: Rc::default(),
            owner: RefCell::default(),
            watch,
            state,
            generation,
            code: OnceCell::new(),
            retired: Cell::new(false),
            retire: tokio::sync::Notify::new(),
            timers: (Cell::new(0), Cell::new(0)),
            errors: Errors::default(),
            evicted: Cell::new(false),
            evict: tokio::sync::Notify::new(),
            known: Known::default(),
            names: Names::default(),
            env,
        }))
    }

    /// Notes an uncaught error, and tells the worker if it is a new one.
    pub(crate) fn failed(&self, failure: &Failure) {
        let hook = self.env.on_error.borrow().clone();
        if self.errors.add(&failure.message)
            && let Some(hook) = hook
        {
            let (message, traceback) = (&failure.message, &failure.traceback);
            hook(&Raised { generation: self.generation, message, traceback });
        }
    }

    /// The owner of `self`, for tasks that outlive the call.
    pub(crate) fn owned(&self) -> Option<Rc<Self>> {
        self.me.upgrade()
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn lua(&self) -> &mlua::Lua {
        self.state.lua()
    }

    pub(crate) fn heap(&self) -> &Heap {
        self.state.heap()
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// A coroutine with an empty stack, a used one if there is one.
    pub(crate) fn coroutine(&self) -> Co {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| Co::create(&self.state))
    }

    /// Takes back a coroutine whose function returned; one that failed is dropped instead.
    pub(crate) fn recycle(&self, co: Co) {
        co.clear();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_COROUTINES_MAX {
            spare.push(co);
        }
    }

    /// Takes back the `ctx` of a request that is over.
    pub(crate) fn spare_ctx(&self, ctx: Ref) {
        let mut spare = self.spare_ctx.borrow_mut();
        if spare.len() < SPARE_COROUTINES_MAX {
            spare.push(ctx);
        }
    }

    /// A used `ctx` for a new request; the runner empties it.
    pub(crate) fn take_spare_ctx(&self) -> Option<Ref> {
        self.spare_ctx.borrow_mut().pop()
    }

    /// Called by a host function that is about to yield.
    pub(crate) fn suspend(&self, op: Op) {
        *self.pending.borrow_mut() = Some(op);
    }

    /// What the host function that just yielded waits for.
    pub(crate) fn take_pending(&self) -> Option<Op> {
        self.pending.borrow_mut().take()
    }

    /// The sockets that Lua has handles of.
    pub(crate) fn sockets(&self) -> &Rc<Sockets> {
        &self.sockets
    }

    /// Who owns the sockets opened from now on, where no request is current.
    pub(crate) fn set_owner(&self, owner: Option<&Rc<Owner>>) {
        *self.owner.borrow_mut() = owner.map(Rc::downgrade).unwrap_or_default();
    }

    /// See [`Core::set_owner`].
    pub(crate) fn owner(&self) -> Option<Rc<Owner>> {
        self.owner.borrow().upgrade()
    }

    /// Keeps a value of mlua's for the hot path.
    pub(crate) fn keep(&self, value: impl mlua::IntoLua) -> mlua::Result<Ref> {
        self.state.keep(value)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Core(generation {})", self.generation)
    }
}
