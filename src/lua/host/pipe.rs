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

/// A flag that is set while somebody is at it.
struct Busy<'b>(&'b Cell<bool>);

impl<'b> Busy<'b> {
    fn new(flag: &'b Cell<bool>) -> Self {
        flag.set(true);
        Self(flag)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
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

    async fn wait(self: Rc<Self>, time: Duration) -> Vec<Value> {
        if self.waiting.get() {
            return failure("pipe busy waiting");
        }
        if self.told.get() {
            return failure("exited");
        }
        let Ok(children) = signal(SignalKind::child()) else { return failure("no signals") };
        let _busy = Busy::new(&self.waiting);
        let Some(status) = within(time, self.end(children)).await else {
            return failure("timeout");
        };
        self.told.set(true);
        let (reason, number) = match (status.code(), status.signal()) {
            (Some(code), _) => ("exit", code),
            (None, number) => ("signal", number.unwrap_or(0)),
        };
        vec![Value::Bool(status.success()), Value::from(reason), Value::Num(f64::from(number))]
    }

    async fn write(self: Rc<Self>, data: Vec<u8>, time: Duration) -> Vec<Value> {
        if self.writing.get() {
            return failure("pipe busy writing");
        }
        let Some(mut lent) = lend(&self.stdin) else { return failure("closed") };
        let _busy = Busy::new(&self.writing);
        let Some(pipe) = lent.0.as_mut() else { return failure("closed") };
        let written = tokio::select! {
            written = within(time, pipe.write_all(&data)) => written,
            () = self.stop_writing.notified() => {
                lent.2.set(false);
                return failure("aborted");
            }
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

    async fn read(self: Rc<Self>, from: usize, want: Want, time: Duration) -> Vec<Value> {
        if from == 1 && self.merged {
            return failure("merged to stdout");
        }
        let Some(output) = self.outputs.get(from) else { return failure("closed") };
        if output.busy.get() {
            return failure("pipe busy reading");
        }
        if output.over.get() {
            return failure("closed");
        }
        let _busy = Busy::new(&output.busy);
        let mut reading = Reading::new(want);
        let got = tokio::select! {
            got = within(time, output.fill(&mut reading)) => got,
            () = output.abort.notified() => {
                drop(output.pipe.borrow_mut().take());
                return failure("aborted");
            }
        };
        match got {
            Some(Ok(data)) => vec![Value::Str(data)],
            Some(Err(why)) => output.partial(why),
            None => output.partial("timeout"),
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
    /// `host.semaphore_wait` yields to `future`.
    fn begin(&self, future: impl Future<Output = Vec<Value>> + 'static) {
        if let Some(core) = self.core.upgrade() {
            core.suspend(Op::Wait(Box::pin(future)));
        }
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
            this.begin(Rc::clone(&this.inner).wait(time(ms)));
            Ok(())
        });
        methods.add_method("write", |_, this, (data, ms): (LuaString, Option<f64>)| {
            this.begin(Rc::clone(&this.inner).write(data.as_bytes().to_vec(), time(ms)));
            Ok(())
        });
        type Read = (usize, String, Option<f64>, Option<f64>);
        methods.add_method("read", |_, this, (from, how, size, ms): Read| {
            this.begin(Rc::clone(&this.inner).read(from, want(&how, size), time(ms)));
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
