//! Log files as the rest of the gateway sees them: open, append, hand over, rotate, count.
//!
//! Nothing here waits for a disk or a pipe except [`Writer::open`], [`Writer::flush`] and
//! [`Writer::shutdown`]. A worker keeps a [`LineBuffer`] for its access lines, so that most
//! requests touch no lock at all.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    lane::Lane,
    queue::{Job, Queue, Rotated, Sink},
    rotate::RotateOptions,
    target::{Output, Target},
};
use crate::clock;

/// What a file is for; decides what is sacrificed when the disk is nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Access lines: stop first.
    Access,
    /// Error lines: go on at a low rate.
    Error,
    /// A plugin's file: stops with the access lines.
    Plugin,
}

/// What holds for every file of a [`Writer`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes one file may have waiting; what comes on top is dropped and counted.
    pub queue_bytes_max: usize,
    /// Free bytes of the file system below which writing stops; 0 does not look.
    pub min_free: u64,
    /// Time since 1970; tests put their own.
    pub clock: fn() -> Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue_bytes_max: 8 << 20, min_free: 64 << 20, clock: clock::wall }
    }
}

/// Counters of one file, from the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes that reached the target.
    pub written_bytes: u64,
    /// Bytes waiting now.
    pub queued_bytes: usize,
    /// Lines lost: queue full, target broken, or disk nearly full.
    pub dropped_lines: u64,
    /// The same in bytes.
    pub dropped_bytes: u64,
    /// Failed writes and opens.
    pub write_errors: u64,
    /// Rotations done.
    pub rotations: u64,
    /// Whether the target is broken at this moment.
    pub failing: bool,
}

/// All log files of the process and the threads that write them.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

struct Inner {
    options: Options,
    next_id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By number: 0 for files, 1 and 2 for the standard streams, 3 for pipes and devices.
    queues: [Option<Arc<Queue>>; 4],
    files: Vec<(Target, Weak<Handle>)>,
}

struct Handle {
    sink: Arc<Sink>,
    queue: Arc<Queue>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A thread that has ended closed its files already.
        let _ = self.queue.push(Job::Close(self.sink.id));
    }
}

/// A handle to one log file, cheap to clone. The file is closed with its last handle.
#[derive(Clone)]
pub struct LogFile(Option<Arc<Handle>>);

impl Writer {
    /// A writer without files; threads start with the first file that needs them.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { options, next_id: AtomicU64::new(1), state }))
    }

    /// Opens a log. A target that is open already gives the same file and keeps its settings.
    ///
    /// # Errors
    ///
    /// What opening the target said, so that a wrong path is found at start.
    pub fn open(
        &self,
        target: &Target,
        class: Class,
        rotation: RotateOptions,
    ) -> io::Result<LogFile> {
        if *target == Target::Off {
            return Ok(LogFile::off());
        }
        let mut state = self.lock();
        state.files.retain(|(_, handle)| handle.strong_count() > 0);
        let same = state.files.iter().find(|(open, _)| open == target);
        if let Some(handle) = same.and_then(|(_, handle)| handle.upgrade()) {
            return Ok(LogFile(Some(handle)));
        }
        let output = Box::new(Output::open(target)?);
        let number = match target {
            Target::Stdout => 1,
            Target::Stderr => 2,
            _ if output.regular().is_none() => 3,
            _ => 0,
        };
        let queue = match &state.queues[number] {
            Some(queue) => Arc::clone(queue),
            None => {
                let queue = self.start(number)?;
                state.queues[number] = Some(Arc::clone(&queue));
                queue
            }
        };
        let sink = Arc::new(Sink {
            id: self.0.next_id.fetch_add(1, Ordering::Relaxed),
            target: target.clone(),
            class,
            queue_bytes_max: self.0.options.queue_bytes_max,
            queued_bytes: Default::default(),
            written_bytes: Default::default(),
            dropped_lines: Default::default(),
            dropped_bytes: Default::default(),
            write_errors: Default::default(),
            rotations: Default::default(),
            failing: Default::default(),
        });
        if !queue.push(Job::Open(Arc::clone(&sink), output, rotation)) {
            return Err(io::Error::other("the log writer is shut down"));
        }
        let handle = Arc::new(Handle { sink, queue });
        state.files.push((target.clone(), Arc::downgrade(&handle)));
        Ok(LogFile(Some(handle)))
    }

    /// The open file of that path, as configured.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<LogFile> {
        let state = self.lock();
        let found = state.files.iter().find(|(target, _)| target.path() == path)?;
        found.1.upgrade().map(|handle| LogFile(Some(handle)))
    }

    /// All open files with their counters, for metrics.
    #[must_use]
    pub fn stats(&self) -> Vec<(Target, Stats)> {
        let state = self.lock();
        let live = |(target, handle): &(Target, Weak<Handle>)| {
            Some((target.clone(), LogFile(handle.upgrade()).stats()?))
        };
        state.files.iter().filter_map(live).collect()
    }

    /// Opens every file anew by its path, after someone renamed it (SIGUSR1).
    pub fn reopen_all(&self) {
        for queue in self.queues() {
            queue.push(Job::Reopen);
        }
    }

    /// Waits until everything handed over so far is written; false if that took too long.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        self.wait_all(within, Job::Flush)
    }

    /// Writes what is queued and ends the threads; false if that took too long. Later lines
    /// are dropped and counted.
    #[must_use]
    pub fn shutdown(&self, within: Duration) -> bool {
        self.wait_all(within, Job::Stop)
    }

    fn wait_all(&self, within: Duration, job: fn(mpsc::Sender<()>) -> Job) -> bool {
        let end = clock::now() + within;
        let (sender, done) = mpsc::channel();
        let count =
            self.queues().into_iter().filter(|queue| queue.push(job(sender.clone()))).count();
        let left = |end: Instant| end.saturating_duration_since(clock::now());
        (0..count).all(|_| done.recv_timeout(left(end)).is_ok())
    }

    fn start(&self, number: usize) -> io::Result<Arc<Queue>> {
        let queue = Arc::new(Queue::default());
        let lane = Lane::new(Arc::clone(&queue), self.0.options);
        let name = ["log-files", "log-stdout", "log-stderr", "log-pipes"][number];
        thread::Builder::new().name(name.into()).spawn(move || lane.run())?;
        Ok(queue)
    }

    fn queues(&self) -> Vec<Arc<Queue>> {
        self.lock().queues.iter().flatten().map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for queue in state.queues.iter().flatten() {
            // The thread ends by itself; nobody waits for it here.
            let _ = queue.push(Job::Stop(mpsc::channel().0));
        }
    }
}

impl LogFile {
    /// The file of a log that is off.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether lines go nowhere, so that rendering them can be spared.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Copies whole lines, each with its end, into the queue. False if they were dropped.
    pub fn write(&self, lines: &[u8]) -> bool {
        match &self.0 {
            Some(handle) => handle.queue.append(&handle.sink, lines),
            None => true,
        }
    }

    /// Hands a buffer of whole lines over and leaves an empty one. False if they were dropped.
    pub fn send(&self, lines: &mut Vec<u8>) -> bool {
        self.hand_over(lines, 1)
    }

    /// As [`LogFile::send`]; the writing thread is woken once `together` jobs wait.
    fn hand_over(&self, lines: &mut Vec<u8>, together: usize) -> bool {
        match &self.0 {
            Some(handle) => handle.queue.exchange(&handle.sink, lines, together),
            None => {
                lines.clear();
                true
            }
        }
    }

    /// Rotates now, after everything handed over before. `options` hold for this time only.
    /// The answer comes through the channel: the new name, or `None` if there was nothing to do
    /// (the log is off, empty, or no regular file).
    pub fn rotate_now(&self, options: Option<RotateOptions>) -> Receiver<Rotated> {
        let (sender, answer) = mpsc::channel();
        match &self.0 {
            Some(handle) => {
                if !handle.queue.push(Job::Rotate(handle.sink.id, options, sender.clone())) {
                    let _ = sender.send(Err("the log writer is shut down".into()));
                }
            }
            None => drop(sender.send(Ok(None))),
        }
        answer
    }

    /// Changes when and how the file is rotated from now on.
    pub fn set_rotation(&self, options: RotateOptions) {
        if let Some(handle) = &self.0 {
            // A thread that has ended rotates nothing more.
            let _ = handle.queue.push(Job::SetRotation(handle.sink.id, options));
        }
    }

    /// Its counters; `None` if the log is off.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        let sink = &self.0.as_ref()?.sink;
        Some(Stats {
            written_bytes: sink.written_bytes.load(Ordering::Relaxed),
            queued_bytes: sink.queued_bytes.load(Ordering::Relaxed),
            dropped_lines: sink.dropped_lines.load(Ordering::Relaxed),
            dropped_bytes: sink.dropped_bytes.load(Ordering::Relaxed),
            write_errors: sink.write_errors.load(Ordering::Relaxed),
            rotations: sink.rotations.load(Ordering::Relaxed),
            failing: sink.failing.load(Ordering::Relaxed),
        })
    }
}

/// Full buffers that the writing thread is woken for at once.
const TOGETHER: usize = 8;

/// One worker's lines on their way to a file. Not shared: the worker appends without any lock
/// and hands over a whole buffer when it is full, or when it calls [`LineBuffer::flush`], which
/// it must do every second or so.
pub struct LineBuffer {
    file: LogFile,
    lines: Vec<u8>,
    bytes_max: usize,
}

impl LineBuffer {
    /// APISIX's `access_log_buffer`, in bytes.
    pub const BYTES: usize = 16_384;

    /// A buffer of `bytes_max`; 0 hands over every line at once.
    #[must_use]
    pub fn new(file: LogFile, bytes_max: usize) -> Self {
        let room = if file.is_off() { 0 } else { bytes_max };
        Self { file, lines: Vec::with_capacity(room), bytes_max }
    }

    /// Appends one line; `fill` writes it without its end. Not called if the log is off.
    pub fn line(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        if self.file.is_off() {
            return;
        }
        let start = self.lines.len();
        fill(&mut self.lines);
        self.lines.push(b'\n');
        if self.lines.len() < self.bytes_max {
            return;
        }
        if self.lines.len() == self.bytes_max || start == 0 {
            return self.full();
        }
        // The buffer never grows for a line that does not fit: the ones before it go first.
        let last = self.lines.split_off(start);
        self.full();
        self.lines.extend_from_slice(&last);
        if self.lines.len() >= self.bytes_max {
            self.full();
        }
    }

    /// Hands over a full buffer. Waking a thread costs more than the write: a few buffers
    /// go together, and the next [`LineBuffer::flush`] takes along what is fewer.
    fn full(&mut self) {
        self.file.hand_over(&mut self.lines, if self.bytes_max == 0 { 1 } else { TOGETHER });
    }

    /// Hands over what is there.
    pub fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.file.send(&mut self.lines);
        }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
