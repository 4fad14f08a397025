//! Running Lua as a future: a main coroutine and its light threads.
//!
//! Almost every run ends at the first resume; only then nothing below [`drive`] is
//! touched. A run borrows the request for its whole length, and the request is current
//! on the VM exactly while one of its coroutines is resumed.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use super::{
    clean,
    core::{Core, Op},
    host::socket::Owner,
    raw::{
        co::{Co, Resumed, Value},
        current::Phase,
    },
};
use crate::{
    clock,
    error::{Error, Kind, Side},
    exchange::{Exchange, body::Room},
    log::error_log::Level,
};

/// An uncaught error.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Message with position.
    pub(crate) message: String,
    /// The Lua stack at that moment.
    pub(crate) traceback: String,
    /// Whether the watchdog ended it.
    pub(crate) overrun: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Finish {
    /// The function returned; its results are on the stack of the coroutine.
    Returned(Co),
    /// It called `ngx.exit` with this code.
    Exited(i32),
    /// It raised.
    Failed(Failure),
}

/// Runs the function on the stack of `co` with its top `args` values.
pub(crate) async fn run(
    core: &Rc<Core>,
    co: Co,
    args: i32,
    mut x: Option<&mut Exchange>,
    phase: Phase,
) -> Finish {
    // A request owns its sockets itself.
    let owner = x.is_none().then(Rc::<Owner>::default);
    core.set_owner(owner.as_ref());
    match co.resume(args, core, x.as_deref_mut(), phase) {
        Resumed::Done => Finish::Returned(co),
        Resumed::Failed { message, traceback } => failed(core, message, traceback),
        waits => {
            let finish = Group::new(core, phase, owner).drive(co, waits, x.as_deref_mut()).await;
            if let Some(x) = x {
                x.now = clock::now();
            }
            finish
        }
    }
}

/// Runs a function that may not wait, such as `filter_func`.
///
/// # Errors
///
/// What it raised, or that it tried to wait.
pub(crate) fn run_now(
    core: &Rc<Core>,
    co: Co,
    args: i32,
    x: Option<&mut Exchange>,
    phase: Phase,
) -> Result<Co, Failure> {
    match co.resume(args, core, x, phase) {
        Resumed::Done => Ok(co),
        Resumed::Failed { message, traceback } => match failed(core, message, traceback) {
            Finish::Failed(failure) => Err(failure),
            _ => Err(no_waiting()),
        },
        Resumed::Waits | Resumed::Yielded => {
            core.take_pending();
            Err(no_waiting())
        }
    }
}

fn no_waiting() -> Failure {
    Failure {
        message: "attempt to wait where nothing may wait".to_owned(),
        traceback: String::new(),
        overrun: false,
    }
}

fn failed(core: &Core, message: String, traceback: String) -> Finish {
    clean::after_failure(core);
    Finish::Failed(match core.watch().take_overrun() {
        // Where it ran away, not where the last `pcall` on the way gave up.
        Some(first) => {
            Failure { message: first.message, traceback: first.traceback, overrun: true }
        }
        None => Failure { message, traceback, overrun: false },
    })
}

type Waiting = Pin<Box<dyn Future<Output = Vec<Value>>>>;

enum State {
    /// Waits for a future.
    Waiting(Waiting),
    /// Waits for the end of one of these.
    Joining(Vec<usize>),
    /// In the ready queue.
    Ready,
    /// Ended, with what `ngx.thread.wait` returns.
    Ended(Vec<Value>),
}

struct Thread {
    id: usize,
    co: Co,
    state: State,
}

/// The coroutines of one run.
struct Group<'c> {
    core: &'c Rc<Core>,
    phase: Phase,
    /// Owns the sockets of a run without a request.
    owner: Option<Rc<Owner>>,
    threads: Vec<Thread>,
    ready: VecDeque<(usize, Vec<Value>)>,
}

/// Whether the run goes on.
enum Step {
    Go,
    End(Finish),
}

impl<'c> Group<'c> {
    fn new(core: &'c Rc<Core>, phase: Phase, owner: Option<Rc<Owner>>) -> Self {
        Self { core, phase, owner, threads: Vec::new(), ready: VecDeque::new() }
    }

    /// Goes on after the first resume of the main coroutine `co`, until all have ended.
    async fn drive(mut self, co: Co, first: Resumed, mut x: Option<&mut Exchange>) -> Finish {
        let main = co.id();
        self.threads.push(Thread { id: main, co, state: State::Ready });
        if let Step::End(finish) = self.after_resume(main, first, x.as_deref_mut()).await {
            return finish;
        }
        loop {
            while let Some((id, values)) = self.ready.pop_front() {
                let Some(resumed) = self.resume(id, &values, x.as_deref_mut()) else { continue };
                if let Step::End(finish) = self.after_resume(id, resumed, x.as_deref_mut()).await {
                    return finish;
                }
            }
            if self.threads.iter().all(|thread| matches!(thread.state, State::Ended(_))) {
                break;
            }
            if !self.threads.iter().any(|thread| matches!(thread.state, State::Waiting(_))) {
                return Finish::Failed(Failure {
                    message: "light threads wait for each other for ever".to_owned(),
                    traceback: String::new(),
                    overrun: false,
                });
            }
            let woken = poll_fn(|cx| self.poll_waiting(cx)).await;
            self.ready.push_back(woken);
        }
        match self.threads.into_iter().find(|thread| thread.id == main) {
            Some(thread) => Finish::Returned(thread.co),
            None => Finish::Exited(0),
        }
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Vec<Value>)> {
        for thread in &mut self.threads {
            let State::Waiting(future) = &mut thread.state else { continue };
            if let Poll::Ready(values) = future.as_mut().poll(cx) {
                thread.state = State::Ready;
                return Poll::Ready((thread.id, values));
            }
        }
        Poll::Pending
    }

    fn resume(&self, id: usize, values: &[Value], x: Option<&mut Exchange>) -> Option<Resumed> {
        let thread = self.threads.iter().find(|thread| thread.id == id)?;
        if !matches!(thread.state, State::Ready) {
            return None;
        }
        for value in values {
            thread.co.push(value);
        }
        let args = i32::try_from(values.len()).unwrap_or(0);
        self.core.set_owner(self.owner.as_ref());
        Some(thread.co.resume(args, self.core, x, self.phase))
    }

    async fn after_resume(
        &mut self,
        id: usize,
        mut resumed: Resumed,
        mut x: Option<&mut Exchange>,
    ) -> Step {
        loop {
            self.kill_asked();
            match resumed {
                Resumed::Done => {
                    self.done(id);
                    return Step::Go;
                }
                Resumed::Failed { message, traceback } => {
                    return self.raised(id, message, traceback);
                }
                Resumed::Yielded => {
                    self.set(id, State::Waiting(Box::pin(yielded())));
                    return Step::Go;
                }
                Resumed::Waits => {}
            }
            let values = match self.core.take_pending() {
                None => return Step::Go,
                Some(Op::Exit(code)) => return Step::End(Finish::Exited(code)),
                Some(Op::Wait(future)) => {
                    self.set(id, State::Waiting(future));
                    return Step::Go;
                }
                Some(Op::Join(ids)) => {
                    self.join(id, ids);
                    return Step::Go;
                }
                Some(Op::HoldBody(room)) => match hold_body(x.as_deref_mut(), &room).await {
                    Ok(held) => vec![Value::Bool(held)],
                    Err(code) => return Step::End(Finish::Exited(code)),
                },
                Some(Op::ReadBody(room)) => match read_body(x.as_deref_mut(), &room).await {
                    Ok(()) => vec![Value::Bool(true)],
                    Err(code) => return Step::End(Finish::Exited(code)),
                },
                Some(Op::Spawn(co, args)) => {
                    let (thread, step) = self.spawn(co, args, x.as_deref_mut());
                    match step {
                        Step::End(finish) => return Step::End(finish),
                        Step::Go => thread,
                    }
                }
            };
            self.set(id, State::Ready);
            match self.resume(id, &values, x.as_deref_mut()) {
                Some(next) => resumed = next,
                None => return Step::Go,
            }
        }
    }

    /// Starts a light thread; its first resume is queued right behind the parent's.
    fn spawn(&mut self, co: Co, args: i32, x: Option<&mut Exchange>) -> (Vec<Value>, Step) {
        let id = co.id();
        let object = Value::Ref(Rc::clone(co.anchor()));
        let resumed = co.resume(args, self.core, x, self.phase);
        self.threads.push(Thread { id, co, state: State::Ready });
        let step = match resumed {
            Resumed::Done => {
                self.done(id);
                Step::Go
            }
            Resumed::Failed { message, traceback } => self.raised(id, message, traceback),
            Resumed::Yielded => {
                self.set(id, State::Waiting(Box::pin(yielded())));
                Step::Go
            }
            Resumed::Waits => match self.core.take_pending() {
                Some(Op::Exit(code)) => Step::End(Finish::Exited(code)),
                Some(Op::Wait(future)) => {
                    self.set(id, State::Waiting(future));
                    Step::Go
                }
                Some(Op::Join(ids)) => {
                    self.join(id, ids);
                    Step::Go
                }
                Some(Op::ReadBody(_) | Op::HoldBody(_) | Op::Spawn(..)) | None => {
                    // A thread's first step may not read the body or start another one
                    // before its parent went on; both are answered as an error.
                    self.ready.push_back((
                        id,
                        vec![Value::Nil, Value::from("not possible before the parent continues")],
                    ));
                    Step::Go
                }
            },
        };
        (vec![object], step)
    }

    fn set(&mut self, id: usize, state: State) {
        if let Some(thread) = self.threads.iter_mut().find(|thread| thread.id == id) {
            thread.state = state;
        }
    }

    /// Thread `id` returned: whoever joins it gets its results.
    fn done(&mut self, id: usize) {
        let Some(thread) = self.threads.iter().find(|thread| thread.id == id) else { return };
        let count = thread.co.count();
        let is_main = self.threads.first().is_some_and(|main| main.id == id);
        let mut values = vec![Value::Bool(true)];
        if !is_main {
            values.extend((1..=count).map(|at| Value::Ref(Rc::new(thread.co.keep(at)))));
        }
        self.ended(id, values);
    }

    fn ended(&mut self, id: usize, values: Vec<Value>) {
        let joiner = self
            .threads
            .iter_mut()
            .find(|thread| matches!(&thread.state, State::Joining(ids) if ids.contains(&id)));
        match joiner {
            Some(joiner) => {
                joiner.state = State::Ready;
                let joiner = joiner.id;
                self.ready.push_back((joiner, values));
                self.set(
                    id,
                    State::Ended(vec![Value::Nil, Value::from("already waited or killed")]),
                );
            }
            None => self.set(id, State::Ended(values)),
        }
    }

    /// The main coroutine's error ends the run; a light thread's goes to who joins it.
    fn raised(&mut self, id: usize, message: String, traceback: String) -> Step {
        if self.threads.first().is_some_and(|main| main.id == id) {
            return Step::End(failed(self.core, message, traceback));
        }
        let message = self.core.watch().take_overrun().map_or(message, |first| first.message);
        self.core.env.log_lua(4, &format!("lua user thread aborted: {message}"));
        self.ended(id, vec![Value::Bool(false), Value::Str(message.into_bytes())]);
        Step::Go
    }

    fn join(&mut self, id: usize, ids: Vec<usize>) {
        let over = ids.iter().find_map(|wanted| {
            let thread = self.threads.iter_mut().find(|thread| thread.id == *wanted)?;
            match &mut thread.state {
                State::Ended(values) => {
                    let waited = vec![Value::Nil, Value::from("already waited or killed")];
                    Some(std::mem::replace(values, waited))
                }
                _ => None,
            }
        });
        match over {
            Some(values) => self.ready.push_back((id, values)),
            None => self.set(id, State::Joining(ids)),
        }
    }

    fn kill_asked(&mut self) {
        for id in self.core.take_kills() {
            self.set(id, State::Ended(vec![Value::Nil, Value::from("killed")]));
        }
    }
}

async fn yielded() -> Vec<Value> {
    tokio::task::yield_now().await;
    Vec::new()
}

/// Reads the body of the request; the code that the request ends with if that fails.
async fn read_body(x: Option<&mut Exchange>, room: &Room) -> Result<(), i32> {
    let Some(x) = x else { return Err(500) };
    super::hold_body(x, room).await.map_err(|error| unreadable(x, &error))
}

/// Reads it, too; `false` if it is larger than there is room for.
async fn hold_body(x: Option<&mut Exchange>, room: &Room) -> Result<bool, i32> {
    let Some(x) = x else { return Err(500) };
    match super::hold_body(x, room).await {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), Kind::BodyTooLarge { .. }) => Ok(false),
        Err(error) => Err(unreadable(x, &error)),
    }
}

fn unreadable(x: &mut Exchange, error: &Error) -> i32 {
    super::log_line(Level::Error, x, &format!("the request body cannot be read: {error}"));
    x.body.tampered |= matches!(error.kind(), Kind::BodyTampered { .. });
    match error.kind() {
        Kind::BodyTooLarge { .. } => 413,
        Kind::BodyTampered { status } => i32::from(*status),
        Kind::ClientTimeout(_) => 408,
        Kind::ClientGone => 499,
        _ if error.side() == Side::Downstream => 400,
        _ => 500,
    }
}
