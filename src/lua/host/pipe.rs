//! Child processes: what stands behind `ngx.pipe`.
//!
//! A process belongs to its Lua object: when that is collected, or its VM ends, the process is
//! killed. Methods that wait put their future into the VM; Lua then calls
//! `host.semaphore_wait`, which yields to it. `lua/ngx/pipe.lua` hides that and checks arguments.

use std::{
    cell::{Cell, RefCell},
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::BytesMut;
use mlua::{LuaString, Table};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    time::timeout,
};

use super::socket::read::{Reading, Want};
use crate::{
    lua::{
        core::{Core, Op},
        raw::co::Value,
    },
    sys::platform,
};

/// Processes that one VM may have at a time.
const PROCESSES_MAX: usize = 128;
/// Bytes that one read may collect.
const READ_BYTES_MAX: usize = 64 << 20;
/// How long an operation may take unless the plugin says otherwise; OpenResty's.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn register(core: &Rc<Core>, table: &Table) -> mlua::Result<()> {
    let running = Rc::new(Cell::new(0));
    let weak = Rc::downgrade(core);
    let spawn = core.lua().create_function(move |lua, (args, options): (Table, Table)| {
        let (Some(core), true) = (weak.upgrade(), running.get() < PROCESSES_MAX) else {
            return Ok((None, Some("too many processes".to_owned())));
        };
        if !core.env.serves {
            let why = "no process is started while plugins are only being checked";
            return Ok((None, Some(why.to_owned())));
        }
        match start(&args, &options, &running)? {
            Ok(process) => {
                let process = Process { inner: Rc::new(process), core: Weak::clone(&weak) };
                Ok((Some(lua.create_userdata(process)?), None))
            }
            Err(error) => Ok((None, Some(error.to_string()))),
        }
    })?;
    table.raw_set("pipe_spawn", spawn)
}

/// One output of a process.
#[derive(Default)]
struct Output {
    pipe: RefCell<Option<pipe::Receiver>>,
    /// Read, but not asked for yet.
    buf: RefCell<BytesMut>,
    busy: Cell<bool>,
    /// The end was seen, and told.
    over: Cell<bool>,
    abort: Notify,
}

/// A process and its ends of the pipes.
struct Inner {
    /// Taken when the process is given up.
    child: RefCell<Option<Child>>,
    pid: i32,
    status: Cell<Option<ExitStatus>>,
    stdin: RefCell<Option<pipe::Sender>>,
    outputs: [Output; 2],
    merged: bool,
    writing: Cell<bool>,
    waiting: Cell<bool>,
    /// Whether somebody was told how it ended.
    told: Cell<bool>,
    stop_writing: Notify,
    running: Rc<Cell<usize>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.running.set(self.running.get().saturating_sub(1));
        if let (None, Some(child)) = (self.ended(), self.child.borrow_mut().take()) {
            platform::discard(child);
        }
    }
}

/// Starts what `args` says; the options are `merge_stderr` and `environ`.
fn start(
    args: &Table,
    options: &Table,
    running: &Rc<Cell<usize>>,
) -> mlua::Result<io::Result<Inner>> {
    let args: Vec<Vec<u8>> = texts(args)?;
    let Some((program, rest)) = args.split_first() else {
        return Ok(Err(io::Error::other("no command")));
    };
    let mut command = Command::new(os(program));
    command.args(rest.iter().map(|arg| os(arg)));
    if let Some(environ) = options.get::<Option<Table>>("environ")? {
        command.env_clear();
        for pair in texts(&environ)? {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            command.env(os(&pair[..at]), os(value));
        }
    }
    let merged = options.get::<bool>("merge_stderr")?;
    Ok(run(command, merged, running))
}

fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

fn texts(list: &Table) -> mlua::Result<Vec<Vec<u8>>> {
    list.sequence_values::<LuaString>().map(|text| Ok(text?.as_bytes().to_vec())).collect()
}

fn run(mut command: Command, merged: bool, running: &Rc<Cell<usize>>) -> io::Result<Inner> {
    let (stdin, ours_in) = io::pipe()?;
    let (ours_out, stdout) = io::pipe()?;
    let (ours_err, stderr) = if merged {
        (None, stdout.try_clone()?)
    } else {
        let (ours, theirs) = io::pipe()?;
        (Some(ours), theirs)
    };
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    let child = platform::spawn(&mut command)?;
    // The child's ends close here, so that reading ends when the child does.
    drop(command);
    let receiver = |end: io::PipeReader| pipe::Receiver::from_owned_fd(end.into());
    let output = |end: Option<io::PipeReader>| -> io::Result<Output> {
        let pipe = RefCell::new(end.map(receiver).transpose()?);
        Ok(Output { pipe, ..Output::default() })
    };
    running.set(running.get() + 1);
    Ok(Inner {
        pid: i32::try_from(child.id()).unwrap_or(i32::MAX),
        child: RefCell::new(Some(child)),
        status: Cell::new(None),
        stdin: RefCell::new(Some(pipe::Sender::from_owned_fd(ours_in.into())?)),
        outputs: [output(Some(ours_out))?, output(ours_err)?],
        merged,
        writing: Cell::new(false),
        waiting: Cell::new(false),
        told: Cell::new(false),
        stop_writing: Notify::new(),
        running: Rc::clone(running),
    })
}

/// What somebody is doing with a process.
#[derive(Clone, Copy)]
enum Doing {
    Waiting,
    Writing,
    /// Reading this output.
    Reading(usize),
}

/// Keeps others from doing the same at the same time; made when Lua asks, which is before the
/// operation is first polled.
struct Busy {
    inner: Rc<Inner>,
    doing: Doing,
}

impl Busy {
    fn new(inner: &Rc<Inner>, doing: Doing) -> Result<Self, &'static str> {
        if let Some(why) = inner.refuses(doing) {
            return Err(why);
        }
        let busy = Self { inner: Rc::clone(inner), doing };
        busy.set(true);
        Ok(busy)
    }

    fn set(&self, on: bool) {
        if let Some(flag) = self.inner.flag(self.doing) {
            flag.set(on);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Gives a pipe back to its place, also when the one who used it is killed.
struct Lent<'l, T>(Option<T>, &'l RefCell<Option<T>>, Cell<bool>);

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if self.2.get() {
            *self.1.borrow_mut() = self.0.take();
        }
    }
}

fn lend<T>(place: &RefCell<Option<T>>) -> Option<Lent<'_, T>> {
    let pipe = place.borrow_mut().take()?;
    Some(Lent(Some(pipe), place, Cell::new(true)))
}

fn failure(text: &str) -> Vec<Value> {
    vec![Value::Nil, Value::from(text)]
}

/// `f` within `time`; no bound at zero.
async fn within<T>(time: Duration, f: impl Future<Output = T>) -> Option<T> {
    if time.is_zero() {
        return Some(f.await);
    }
    timeout(time, f).await.ok()
}

impl Inner {
    /// How it ended, if it has.
    fn ended(&self) -> Option<ExitStatus> {
        if self.status.get().is_none() {
            let mut child = self.child.borrow_mut();
            self.status.set(child.as_mut().and_then(platform::try_wait));
        }
        self.status.get()
    }

    async fn end(&self, mut children: Signal) -> ExitStatus {
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            children.recv().await;
        }
    }

    fn flag(&self, doing: Doing) -> Option<&Cell<bool>> {
        match doing {
            Doing::Waiting => Some(&self.waiting),
            Doing::Writing => Some(&self.writing),
            Doing::Reading(from) => self.outputs.get(from).map(|output| &output.busy),
        }
    }

    /// Why something cannot be done now.
    fn refuses(&self, doing: Doing) -> Option<&'static str> {
        let busy = self.flag(doing).is_some_and(Cell::get);
        match doing {
            Doing::Waiting if busy => Some("pipe busy waiting"),
            Doing::Waiting if self.told.get() => Some("exited"),
            Doing::Writing if busy => Some("pipe busy writing"),
            Doing::Reading(1) if self.merged => Some("merged to stdout"),
            Doing::Reading(_) if busy => Some("pipe busy reading"),
            Doing::Reading(from) if self.outputs.get(from)?.over.get() => Some("closed"),
            _ => None,
        }
    }
    fn shut(&self, from: &str) -> Result<(), &'static str> {
        if from == "stderr" && self.merged {
            return Err("merged to stdout");
        }
        if self.ended().is_some() {
            return Err("closed");
        }
        match from {
            "stdin" => {
                drop(self.stdin.borrow_mut().take());
                if self.writing.get() {
                    self.stop_writing.notify_one();
                }
            }
            other => {
                let Some(output) = self.outputs.get(usize::from(other == "stderr")) else {
                    return Ok(());
                };
                output.over.set(true);
                if output.busy.get() {
                    output.abort.notify_one();
                }
                drop(output.pipe.borrow_mut().take());
            }
        }
        Ok(())
    }
}

impl Busy {
    async fn wait(self, time: Duration) -> Vec<Value> {
        let Ok(children) = signal(SignalKind::child()) else { return failure("no signals") };
        let Some(status) = within(time, self.inner.end(children)).await else {
            return failure("timeout");
        };
        self.inner.told.set(true);
        let (reason, number) = match (status.code(), status.signal()) {
            (Some(code), _) => ("exit", code),
            (None, number) => ("signal", number.unwrap_or(0)),
        };
        vec![Value::Bool(status.success()), Value::from(reason), Value::Num(f64::from(number))]
    }

    async fn write(self, data: Vec<u8>, time: Duration) -> Vec<Value> {
        let Some(mut lent) = lend(&self.inner.stdin) else { return failure("closed") };
        let Some(pipe) = lent.0.as_mut() else { return failure("closed") };
        let written = tokio::select! {
            biased;
            () = self.inner.stop_writing.notified() => {
                lent.2.set(false);
                return failure("aborted");
            }
            written = within(time, pipe.write_all(&data)) => written,
        };
        match written {
            None => failure("timeout"),
            #[allow(clippy::cast_precision_loss)] // No string is that long.
            Some(Ok(())) => vec![Value::Num(data.len() as f64)],
            Some(Err(_)) => {
                lent.2.set(false);
                failure("closed")
            }
        }
    }

    async fn read(self, want: Want, time: Duration) -> Vec<Value> {
        let Doing::Reading(from) = self.doing else { return failure("closed") };
        let Some(output) = self.inner.outputs.get(from) else { return failure("closed") };
        let mut reading = Reading::new(want);
        // A pipe that was shut meanwhile looks as if it had ended.
        let got = tokio::select! {
            biased;
            () = output.abort.notified() => {
                drop(output.pipe.borrow_mut().take());
                return failure("aborted");
            }
            got = within(time, output.fill(&mut reading)) => got,
        };
        match got {
            Some(Ok(data)) => vec![Value::Str(data)],
            Some(Err(why)) => output.partial(why),
            None => output.partial("timeout"),
        }
    }
}

impl Output {
    /// Reads until `reading` is complete.
    async fn fill(&self, reading: &mut Reading) -> Result<Vec<u8>, &'static str> {
        loop {
            if let Some(got) = reading.take(&mut self.buf.borrow_mut()) {
                return Ok(got.data);
            }
            if self.buf.borrow().len() > READ_BYTES_MAX {
                return Err("too much data for one read");
            }
            let mut piece = [0; 4096];
            let count = match lend(&self.pipe) {
                None => 0,
                Some(mut lent) => match lent.0.as_mut() {
                    Some(pipe) => pipe.read(&mut piece).await.unwrap_or(0),
                    None => 0,
                },
            };
            if count > 0 {
                self.buf.borrow_mut().extend_from_slice(&piece[..count]);
                continue;
            }
            self.over.set(true);
            let got = reading.take_at_end(&mut self.buf.borrow_mut());
            return got.map(|got| got.data).ok_or("closed");
        }
    }

    /// What a failed read tells, with what came until then.
    fn partial(&self, why: &str) -> Vec<Value> {
        let mut values = failure(why);
        let mut buf = self.buf.borrow_mut();
        if !buf.is_empty() || why == "timeout" {
            values.push(Value::Str(buf.to_vec()));
        }
        buf.clear();
        values
    }
}

/// What Lua holds.
struct Process {
    inner: Rc<Inner>,
    core: Weak<Core>,
}

impl Process {
    /// Begins something that `host.semaphore_wait` then yields to, unless it cannot be done now.
    fn begin<F>(&self, doing: Doing, start: impl FnOnce(Busy) -> F)
    where
        F: Future<Output = Vec<Value>> + 'static,
    {
        let Some(core) = self.core.upgrade() else { return };
        core.suspend(Op::Wait(match Busy::new(&self.inner, doing) {
            Ok(busy) => Box::pin(start(busy)),
            Err(why) => Box::pin(async move { failure(why) }),
        }));
    }
}

/// Milliseconds from Lua.
fn time(milliseconds: Option<f64>) -> Duration {
    milliseconds
        .map_or(TIMEOUT, |number| Duration::try_from_secs_f64(number / 1000.0).unwrap_or(TIMEOUT))
}

/// What a read is for: "all", "line", or a number of bytes, exactly or at most.
fn want(how: &str, size: Option<f64>) -> Want {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let size = size.unwrap_or(0.0) as usize;
    match how {
        "line" => Want::Line,
        "bytes" => Want::Exactly(size),
        "any" => Want::Any(size),
        _ => Want::All,
    }
}

impl mlua::UserData for Process {
    fn add_methods<M: mlua::UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("pid", |_, this, ()| Ok(this.inner.pid));
        methods.add_method("wait", |_, this, ms: Option<f64>| {
            this.begin(Doing::Waiting, |busy| busy.wait(time(ms)));
            Ok(())
        });
        methods.add_method("write", |_, this, (data, ms): (LuaString, Option<f64>)| {
            let data = data.as_bytes().to_vec();
            this.begin(Doing::Writing, |busy| busy.write(data, time(ms)));
            Ok(())
        });
        type Read = (usize, String, Option<f64>, Option<f64>);
        methods.add_method("read", |_, this, (from, how, size, ms): Read| {
            this.begin(Doing::Reading(from), |busy| busy.read(want(&how, size), time(ms)));
            Ok(())
        });
        methods.add_method("shutdown", |_, this, from: String| {
            Ok(this.inner.shut(&from).map(|()| true))
        });
        methods.add_method("kill", |_, this, number: i32| {
            if this.inner.ended().is_some() {
                return Ok(Err("exited"));
            }
            Ok(platform::signal(this.inner.pid, number)
                .map(|()| true)
                .map_err(|_| "invalid signal"))
        });
    }
}
