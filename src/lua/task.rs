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
    time::Duration,
};

use tokio::time::timeout;

use super::{
    clean,
    core::{Core, Op},
    host::socket::Owner,
    raw::{
        co::{Co, LuaError, Resumed, Value},
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
        Resumed::Failed(error) => failed(core, error),
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
        Resumed::Failed(error) => match failed(core, error) {
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

fn failed(core: &Core, error: LuaError) -> Finish {
    let LuaError { message, traceback, .. } = error;
    clean::after_failure(core);
    Finish::Failed(match core.watch().take_overrun((&message, &traceback)) {
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
    /// In the ready queue, or about to run.
    Ready,
    /// Yielded; its turn comes after those who yielded before.
    Yielded,
    /// Ended, with what `ngx.thread.wait` returns.
    Ended(Vec<Value>),
    /// Ended or killed, and somebody has been told.
    Gone,
}

struct Thread {
    id: usize,
    co: Co,
    /// Who started it; nobody the main coroutine.
    parent: Option<usize>,
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
    yielded: VecDeque<usize>,
    /// Runs as a light thread of the main coroutine when the client goes away.
    on_abort: OnAbort,
}

/// What `ngx.on_abort` was called with.
enum OnAbort {
    No,
    Waits(Co),
    Runs,
}

/// Why the wait for something to do is over.
enum Woken {
    /// This thread goes on with these values.
    Thread(usize, Vec<Value>),
    /// The client has gone.
    Aborted,
}

/// Whether the run goes on.
enum Step {
    Go,
    End(Finish),
}

/// What an operation gives to the coroutine that asked for it.
enum Answer {
    /// It goes on at once with these values.
    Now(Vec<Value>),
    /// It waits.
    Later,
    /// It waits in the ready queue; this thread, which it started, runs first.
    Behind(usize, Resumed),
    /// The run is over.
    End(Finish),
}

impl<'c> Group<'c> {
    fn new(core: &'c Rc<Core>, phase: Phase, owner: Option<Rc<Owner>>) -> Self {
        Self {
            core,
            phase,
            owner,
            threads: Vec::new(),
            ready: VecDeque::new(),
            yielded: VecDeque::new(),
            on_abort: OnAbort::No,
        }
    }

    /// Goes on after the first resume of the main coroutine `co`, until all have ended.
    async fn drive(mut self, co: Co, first: Resumed, mut x: Option<&mut Exchange>) -> Finish {
        let main = co.id();
        self.threads.push(Thread { id: main, co, parent: None, state: State::Ready });
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
            if self.next_yielded().await {
                continue;
            }
            if self.threads.iter().all(|thread| thread.has_ended()) {
                break;
            }
            if !self.threads.iter().any(|thread| matches!(thread.state, State::Waiting(_))) {
                return Finish::Failed(Failure {
                    message: "light threads wait for each other for ever".to_owned(),
                    traceback: String::new(),
                    overrun: false,
                });
            }
            match poll_fn(|cx| self.poll_anything(cx, x.as_deref_mut())).await {
                Woken::Thread(id, values) => self.ready.push_back((id, values)),
                Woken::Aborted => self.start_on_abort(main),
            }
        }
        match self.threads.into_iter().find(|thread| thread.id == main) {
            Some(thread) => Finish::Returned(thread.co),
            None => Finish::Exited(0),
        }
    }

    /// Gives the next one that yielded its turn, and everybody else a chance before.
    async fn next_yielded(&mut self) -> bool {
        if self.yielded.is_empty() {
            return false;
        }
        tokio::task::yield_now().await;
        let woken = poll_fn(|cx| Poll::Ready(self.poll_waiting(cx))).await;
        if let Poll::Ready(woken) = woken {
            self.ready.push_back(woken);
        }
        if let Some(id) = self.yielded.pop_front()
            && self.thread(id).is_some_and(|thread| matches!(thread.state, State::Yielded))
        {
            self.wake(id, Vec::new());
        }
        true
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

    fn poll_anything(&mut self, cx: &mut Context<'_>, x: Option<&mut Exchange>) -> Poll<Woken> {
        if let Poll::Ready((id, values)) = self.poll_waiting(cx) {
            return Poll::Ready(Woken::Thread(id, values));
        }
        let watched = matches!(self.on_abort, OnAbort::Waits(_));
        if watched && x.is_some_and(|x| x.peer_is_gone(cx)) {
            return Poll::Ready(Woken::Aborted);
        }
        Poll::Pending
    }

    fn start_on_abort(&mut self, main: usize) {
        let OnAbort::Waits(co) = std::mem::replace(&mut self.on_abort, OnAbort::Runs) else {
            return;
        };
        let id = co.id();
        self.threads.push(Thread { id, co, parent: Some(main), state: State::Ready });
        self.ready.push_back((id, Vec::new()));
    }

    fn resume(&self, id: usize, values: &[Value], x: Option<&mut Exchange>) -> Option<Resumed> {
        let thread = self.thread(id)?;
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

    /// Goes on with `id`, and with threads it starts, until all of them wait.
    async fn after_resume(
        &mut self,
        mut id: usize,
        mut resumed: Resumed,
        mut x: Option<&mut Exchange>,
    ) -> Step {
        loop {
            match resumed {
                Resumed::Done => {
                    self.done(id);
                    return Step::Go;
                }
                Resumed::Failed(error) => return self.raised(id, error),
                Resumed::Yielded => {
                    self.set(id, State::Yielded);
                    self.yielded.push_back(id);
                    return Step::Go;
                }
                Resumed::Waits => {}
            }
            let Some(op) = self.core.take_pending() else { return Step::Go };
            let values = match self.begin(id, op, x.as_deref_mut()).await {
                Answer::Now(values) => values,
                Answer::Later => return Step::Go,
                Answer::End(finish) => return Step::End(finish),
                Answer::Behind(child, first) => {
                    (id, resumed) = (child, first);
                    continue;
                }
            };
            self.set(id, State::Ready);
            match self.resume(id, &values, x.as_deref_mut()) {
                Some(next) => resumed = next,
                None => return Step::Go,
            }
        }
    }

    /// Begins what `id` asked for.
    async fn begin(&mut self, id: usize, op: Op, x: Option<&mut Exchange>) -> Answer {
        match op {
            Op::Exit(code) => Answer::End(Finish::Exited(code)),
            Op::Wait(future) => {
                self.set(id, State::Waiting(future));
                Answer::Later
            }
            Op::HoldBody(room) => match hold_body(x, &room).await {
                Ok(held) => Answer::Now(vec![Value::Bool(held)]),
                Err(code) => Answer::End(Finish::Exited(code)),
            },
            Op::ReadBody(room) => match read_body(x, &room).await {
                Ok(()) => Answer::Now(vec![Value::Bool(true)]),
                Err(code) => Answer::End(Finish::Exited(code)),
            },
            Op::ReadPiece(bytes_max, time) => match read_piece(x, bytes_max, time).await {
                Ok(values) => Answer::Now(values),
                Err(code) => Answer::End(Finish::Exited(code)),
            },
            Op::Send(last) => match send(x, last).await {
                Ok(values) => Answer::Now(values),
                Err(code) => Answer::End(Finish::Exited(code)),
            },
            Op::OnAbort(co) => match self.on_abort {
                OnAbort::No => {
                    self.on_abort = OnAbort::Waits(co);
                    Answer::Now(vec![Value::Num(1.0)])
                }
                _ => Answer::Now(vec![Value::Nil, Value::from("duplicate call")]),
            },
            Op::Join(ids) => self.join(id, ids),
            Op::Kill(thread) => Answer::Now(self.kill(thread)),
            Op::Spawn(co, args) => {
                let child = co.id();
                let object = Value::Ref(Rc::clone(co.anchor()));
                let first = co.resume(args, self.core, x, self.phase);
                let parent = Some(id);
                self.threads.push(Thread { id: child, co, parent, state: State::Ready });
                self.set(id, State::Ready);
                self.ready.push_front((id, vec![object]));
                Answer::Behind(child, first)
            }
        }
    }

    fn thread(&self, id: usize) -> Option<&Thread> {
        self.threads.iter().find(|thread| thread.id == id)
    }

    fn set(&mut self, id: usize, state: State) {
        if let Some(thread) = self.threads.iter_mut().find(|thread| thread.id == id) {
            thread.state = state;
        }
    }

    fn wake(&mut self, id: usize, values: Vec<Value>) {
        self.set(id, State::Ready);
        self.ready.push_back((id, values));
    }

    /// Thread `id` returned: whoever joins it gets its results.
    fn done(&mut self, id: usize) {
        let Some(thread) = self.thread(id) else { return };
        let mut values = vec![Value::Bool(true)];
        if thread.parent.is_some() {
            let kept = (1..=thread.co.count()).map(|at| Value::Ref(Rc::new(thread.co.keep(at))));
            values.extend(kept);
            // An empty stack is what Lua calls dead.
            thread.co.clear();
        }
        self.ended(id, values);
    }

    fn ended(&mut self, id: usize, values: Vec<Value>) {
        let joiner = self
            .threads
            .iter()
            .find(|thread| matches!(&thread.state, State::Joining(ids) if ids.contains(&id)))
            .map(|joiner| joiner.id);
        match joiner {
            Some(joiner) => {
                self.wake(joiner, values);
                self.set(id, State::Gone);
            }
            None => self.set(id, State::Ended(values)),
        }
    }

    /// The main coroutine's error ends the run; a light thread's goes to who joins it.
    fn raised(&mut self, id: usize, error: LuaError) -> Step {
        if self.thread(id).is_none_or(|thread| thread.parent.is_none()) {
            return Step::End(failed(self.core, error));
        }
        let LuaError { mut message, mut value, traceback } = error;
        if let Some(first) = self.core.watch().take_overrun((&message, &traceback)) {
            value = Value::from(first.message.as_str());
            message = first.message;
        }
        self.core.env.log_lua(4, &format!("lua user thread aborted: {message}"));
        self.ended(id, vec![Value::Bool(false), value]);
        Step::Go
    }

    fn join(&mut self, id: usize, ids: Vec<usize>) -> Answer {
        for wanted in &ids {
            let Some(thread) = self.threads.iter_mut().find(|thread| thread.id == *wanted) else {
                return refused("attempt to wait on a coroutine that is not a user thread");
            };
            if thread.parent != Some(id) {
                return refused("only the parent coroutine can wait on the thread");
            }
            match &mut thread.state {
                State::Ended(values) => {
                    let values = std::mem::take(values);
                    thread.state = State::Gone;
                    return Answer::Now(values);
                }
                State::Gone => {
                    return Answer::Now(vec![Value::Nil, Value::from("already waited or killed")]);
                }
                _ => {}
            }
        }
        self.set(id, State::Joining(ids));
        Answer::Later
    }

    /// What `ngx.thread.kill` returns; what the thread waited for is dropped.
    fn kill(&mut self, id: usize) -> Vec<Value> {
        let Some(thread) = self.threads.iter_mut().find(|thread| thread.id == id) else {
            return vec![Value::Nil, Value::from("not user thread")];
        };
        if thread.parent.is_none() {
            return vec![Value::Nil, Value::from("not user thread")];
        }
        match std::mem::replace(&mut thread.state, State::Gone) {
            State::Ended(_) => vec![Value::Nil, Value::from("already terminated")],
            State::Gone => vec![Value::Nil, Value::from("already waited or killed")],
            _ => vec![Value::Num(1.0)],
        }
    }
}

impl Thread {
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_) | State::Gone)
    }
}

/// An error for Lua to raise: the host function's caller knows the mark.
fn refused(message: &str) -> Answer {
    Answer::Now(vec![Value::Null, Value::from(message)])
}

/// Lets what was printed leave: 1, or nil and that the client is gone.
async fn send(x: Option<&mut Exchange>, last: bool) -> Result<Vec<Value>, i32> {
    let Some(x) = x else { return Err(500) };
    let Some(peer) = x.peer.clone() else { return Ok(vec![Value::Num(1.0)]) };
    match peer.send(x, last).await {
        Ok(()) => Ok(vec![Value::Num(1.0)]),
        // A filter that raised has said so in the log.
        Err(_) if x.client_gone || x.response.head_sent => {
            x.response.body_lost = true;
            Ok(vec![Value::Nil, Value::from("nginx output filter error")])
        }
        Err(error) => {
            super::log_line(Level::Error, x, &format!("the answer cannot be sent: {error}"));
            Err(500)
        }
    }
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

/// The next piece of it: nil behind the last, nil and an error if the client is slow or gone.
async fn read_piece(
    x: Option<&mut Exchange>,
    bytes_max: u64,
    time: Duration,
) -> Result<Vec<Value>, i32> {
    let Some(x) = x else { return Err(500) };
    let failure = |why| Ok(vec![Value::Nil, Value::from(why)]);
    match timeout(time, x.body.piece(bytes_max)).await {
        Err(_) => failure("timeout"),
        Ok(Ok(Some(piece))) => Ok(vec![Value::Str(piece.to_vec())]),
        Ok(Ok(None)) => Ok(vec![Value::Nil]),
        Ok(Err(error)) => match error.kind() {
            Kind::ClientTimeout(_) => failure("timeout"),
            Kind::ClientGone => failure("closed"),
            _ => Err(unreadable(x, &error)),
        },
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
