//! Threads beside the workers, each with a VM of its own: `ngx.run_worker_thread`.
//!
//! They exist once for the process, from the first job on. A job carries all that a VM is made
//! of, so a thread whose VM has older code makes a new one. Values cross as text, which
//! `lua/moongate/aside.lua` writes and reads.

use std::{
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::LocalSet,
};

use super::{
    core::Core,
    env::{Env, Process, Settings},
    loader::Generation,
    pace::Pace,
    raw::current::Phase,
    task::{self, Finish},
    vm::Vm,
};
use crate::config::Snapshot;

/// How many there are.
const THREADS: usize = 2;

/// Jobs that wait for a thread; nginx's `max_queue` is 65536.
const QUEUE_MAX: usize = 4096;

/// What one job may take. Nobody waits behind it but other jobs.
const BUDGET: Duration = Duration::from_mins(10);

/// What a function returned, as text, or why it did not.
type Answer = Result<Vec<u8>, String>;

struct Job {
    seed: Seed,
    /// Module, function, arguments.
    call: [Vec<u8>; 3],
    reply: oneshot::Sender<Answer>,
}

/// What a VM is made of.
struct Seed {
    settings: Settings,
    workers: usize,
    snapshot: Arc<Snapshot>,
    local: Arc<serde_json::Value>,
    process: Process,
    generation: Arc<Generation>,
}

/// Hands a call over to a thread.
///
/// # Errors
///
/// When too many calls wait, or no thread could be started.
pub(crate) fn call(
    core: &Core,
    call: [Vec<u8>; 3],
) -> Result<oneshot::Receiver<Answer>, &'static str> {
    static QUEUE: OnceLock<SyncSender<Job>> = OnceLock::new();
    let Some(generation) = core.code.get() else { return Err("no code was loaded yet") };
    let env = &core.env;
    let seed = Seed {
        settings: Settings { budget: BUDGET, ..env.settings.clone() },
        workers: env.workers,
        snapshot: Arc::clone(&env.snapshot.borrow()),
        local: Arc::clone(&env.local.borrow()),
        process: env.process.clone(),
        generation: Arc::clone(generation),
    };
    let (reply, answer) = oneshot::channel();
    let queue = QUEUE.get_or_init(start);
    queue.try_send(Job { seed, call, reply }).map_err(|_| "thread pool queue overflow")?;
    Ok(answer)
}

fn start() -> SyncSender<Job> {
    let (queue, jobs) = sync_channel(QUEUE_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..THREADS {
        let jobs = Arc::clone(&jobs);
        // Without any thread the queue has no reader, which whoever asks is told.
        let _ = thread::Builder::new().name(format!("aside-{number}")).spawn(move || serve(&jobs));
    }
    queue
}

fn serve(jobs: &Mutex<Receiver<Job>>) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let mut vm = None;
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { seed, call, reply }) = next else { return };
        let answer = LocalSet::new().block_on(&runtime, run(&mut vm, &seed, &call));
        // Whoever asked may be gone.
        let _ = reply.send(answer);
        settle(&runtime);
    }
}

/// Lets what a job left behind come to an end.
fn settle(runtime: &Runtime) {
    runtime.block_on(tokio::task::yield_now());
}

async fn run(vm: &mut Option<Vm>, seed: &Seed, call: &[Vec<u8>; 3]) -> Answer {
    if vm.as_ref().is_none_or(|vm| vm.generation.id != seed.generation.id) {
        *vm = Some(make(seed).await?);
    }
    let Some((vm, co)) = vm.as_ref().and_then(|vm| Some((vm, vm.entry("serve")?))) else {
        return Err("the VM has no entry for jobs".to_owned());
    };
    for text in call {
        co.push_str(text);
    }
    match task::run(&vm.core, co, 3, None, Phase::Init).await {
        Finish::Returned(co) => {
            let answer = co.str(1).ok_or_else(|| {
                String::from_utf8_lossy(&co.str(2).unwrap_or_default()).into_owned()
            });
            vm.core.recycle(co);
            answer
        }
        Finish::Exited(_) => Err("ngx.exit was called in a worker thread".to_owned()),
        Finish::Failed(failure) => Err(failure.message),
    }
}

async fn make(seed: &Seed) -> Result<Vm, String> {
    let env = Env::new(
        seed.settings.clone(),
        (seed.workers, seed.workers),
        (Arc::clone(&seed.snapshot), Arc::clone(&seed.local)),
        seed.process.clone(),
        None,
    );
    Vm::bare(Rc::clone(&env), Arc::clone(&seed.generation), &Pace::at_once()).await
}
