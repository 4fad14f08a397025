//! The bounded queue between the threads that log and the one that writes.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use super::{rotate::RotateOptions, target::Output, target::Target, writer::Class};

/// Small writes are joined up to this many bytes.
const JOIN_BYTES_MAX: usize = 64 * 1024;

/// Buffers kept for reuse, and the largest worth keeping, in bytes.
const SPARES_MAX: usize = 32;
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// What both sides know of one log file.
pub(super) struct Sink {
    pub(super) id: u64,
    pub(super) target: Target,
    pub(super) class: Class,
    pub(super) queue_bytes_max: usize,
    pub(super) queued_bytes: AtomicUsize,
    pub(super) written_bytes: AtomicU64,
    pub(super) dropped_lines: AtomicU64,
    pub(super) dropped_bytes: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) failing: AtomicBool,
}

impl Sink {
    pub(super) fn dropped(&self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.dropped_lines.fetch_add(count, Ordering::Relaxed);
        self.dropped_bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
    }
}

/// What `rotate_now` answers: the rotated file, none if there was nothing to rotate.
pub(super) type Rotated = Result<Option<PathBuf>, String>;

/// Work for the writing thread, done in order.
pub(super) enum Job {
    Open(Arc<Sink>, Box<Output>, RotateOptions),
    Data(u64, Vec<u8>),
    Rotate(u64, Option<RotateOptions>, Sender<Rotated>),
    SetRotation(u64, RotateOptions),
    Reopen,
    Flush(Sender<()>),
    Close(u64),
    Stop(Sender<()>),
}

#[derive(Default)]
struct Jobs {
    list: VecDeque<Job>,
    spares: Vec<Vec<u8>>,
    asleep: bool,
    stopped: bool,
}

/// One writing thread's queue. The thread takes the whole list at once, so its lock is never
/// held during a write, and a producer holds it for one append.
#[derive(Default)]
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    wake: Condvar,
}

impl Queue {
    /// Appends a job that is no data. Returns false if the thread has ended.
    pub(super) fn push(&self, job: Job) -> bool {
        let mut jobs = self.lock();
        if jobs.stopped {
            return false;
        }
        jobs.list.push_back(job);
        self.wake(jobs);
        true
    }

    /// Copies lines into the queue; returns false if they were dropped.
    pub(super) fn append(&self, sink: &Sink, lines: &[u8]) -> bool {
        let mut jobs = self.lock();
        if !admit(&jobs, sink, lines) {
            return false;
        }
        match jobs.list.back_mut() {
            Some(Job::Data(id, buf))
                if *id == sink.id && buf.len() + lines.len() <= JOIN_BYTES_MAX =>
            {
                buf.extend_from_slice(lines);
            }
            _ => {
                let mut buf = jobs.spares.pop().unwrap_or_default();
                buf.extend_from_slice(lines);
                jobs.list.push_back(Job::Data(sink.id, buf));
            }
        }
        self.wake(jobs);
        true
    }

    /// Takes the caller's buffer and leaves an empty one; returns false if lines were dropped.
    /// The thread is woken once `together` jobs wait.
    pub(super) fn exchange(&self, sink: &Sink, lines: &mut Vec<u8>, together: usize) -> bool {
        let mut jobs = self.lock();
        if !admit(&jobs, sink, lines) {
            lines.clear();
            return false;
        }
        let empty = jobs.spares.pop().unwrap_or_else(|| Vec::with_capacity(lines.capacity()));
        jobs.list.push_back(Job::Data(sink.id, std::mem::replace(lines, empty)));
        if jobs.list.len() >= together {
            self.wake(jobs);
        }
        true
    }

    /// All jobs there are; waits up to `idle` for the first.
    pub(super) fn take(&self, idle: Duration) -> VecDeque<Job> {
        let mut jobs = self.lock();
        if jobs.list.is_empty() {
            jobs.asleep = true;
            let woken = self.wake.wait_timeout(jobs, idle);
            jobs = woken.unwrap_or_else(PoisonError::into_inner).0;
            jobs.asleep = false;
        }
        std::mem::take(&mut jobs.list)
    }

    /// Gives a written buffer back.
    pub(super) fn recycle(&self, mut buf: Vec<u8>) {
        buf.clear();
        let mut jobs = self.lock();
        if jobs.spares.len() < SPARES_MAX && buf.capacity() <= SPARE_BYTES_MAX {
            jobs.spares.push(buf);
        }
    }

    /// Refuses everything from now on and returns what came in too late.
    pub(super) fn stop(&self) -> VecDeque<Job> {
        let mut jobs = self.lock();
        jobs.stopped = true;
        std::mem::take(&mut jobs.list)
    }

    fn wake(&self, jobs: MutexGuard<'_, Jobs>) {
        let asleep = jobs.asleep;
        drop(jobs);
        if asleep {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes room in the sink's budget, or counts the lines as dropped.
fn admit(jobs: &Jobs, sink: &Sink, lines: &[u8]) -> bool {
    let fits = |queued: usize| {
        let sum = queued.checked_add(lines.len())?;
        (sum <= sink.queue_bytes_max).then_some(sum)
    };
    let taken = !jobs.stopped
        && sink.queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
    if !taken {
        sink.dropped(lines);
    }
    taken
}
