//! The thread that writes: one for files, one for each standard stream, one for pipes and
//! devices, so that what is stuck holds up no file.
//!
//! Writing, rotating and reopening happen on this one thread in the order of the queue, which
//! is why no line is lost or torn by a rotation.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use super::{
    error_log::{self, Context, Level},
    queue::{Job, Queue, Rotated, Sink},
    rotate::{self, RotateOptions},
    target::{Output, Short},
    writer::{Class, Options},
};

/// How often an idle thread looks at its files.
const TICK: Duration = Duration::from_secs(1);

/// Pause before a broken target is opened again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Pause after a rotation that failed.
const ROTATE_RETRY_S: u64 = 60;

/// Error lines that are still written per second when the disk is nearly full, in bytes.
const LOW_SPACE_BYTES: usize = 16 * 1024;

/// One open log file as its thread sees it.
struct Open {
    sink: Arc<Sink>,
    output: Option<Output>,
    options: RotateOptions,
    next_rotation_s: u64,
    /// No rotation before this, after one failed.
    rotate_hold_s: u64,
    /// When a broken target is tried again, as time since 1970.
    retry_at: Duration,
    /// The broken output ended in an unfinished line.
    torn: bool,
    low_space: bool,
    allowance: usize,
    dropped_before: u64,
}

pub(super) struct Lane {
    queue: Arc<Queue>,
    setup: Options,
    files: HashMap<u64, Open>,
    ticked_s: u64,
    compressor: Option<Sender<PathBuf>>,
}

impl Lane {
    pub(super) fn new(queue: Arc<Queue>, setup: Options) -> Self {
        Self { queue, setup, files: HashMap::new(), ticked_s: 0, compressor: None }
    }

    /// Works until told to stop; then what is queued has been written.
    pub(super) fn run(mut self) {
        loop {
            for job in self.queue.take(TICK) {
                if let Some(stopped) = self.work(job) {
                    return self.end(stopped);
                }
            }
            self.tick();
        }
    }

    fn end(mut self, stopped: Sender<()>) {
        for job in self.queue.stop() {
            self.work(job);
        }
        self.files.clear();
        // Whoever asked may have given up waiting.
        let _ = stopped.send(());
    }

    fn work(&mut self, job: Job) -> Option<Sender<()>> {
        let now = (self.setup.clock)();
        match job {
            Job::Data(id, lines) => {
                if let Some(file) = self.files.get_mut(&id) {
                    file.write(&lines, now, &mut self.compressor);
                    file.sink.queued_bytes.fetch_sub(lines.len(), Ordering::Relaxed);
                }
                self.queue.recycle(lines);
            }
            Job::Open(sink, output, options) => {
                let file = Open {
                    next_rotation_s: options.next_s(now.as_secs()),
                    sink,
                    output: Some(*output),
                    options,
                    rotate_hold_s: 0,
                    retry_at: Duration::ZERO,
                    torn: false,
                    low_space: false,
                    allowance: 0,
                    dropped_before: 0,
                };
                self.files.insert(file.sink.id, file);
                self.ticked_s = 0;
            }
            Job::Rotate(id, options, answer) => {
                let file = self.files.get_mut(&id);
                let rotated = match file {
                    Some(file) => file.rotate(now.as_secs(), options, &mut self.compressor),
                    None => Ok(None),
                };
                // Whoever asked may not care for the answer.
                let _ = answer.send(rotated);
            }
            Job::SetRotation(id, options) => {
                if let Some(file) = self.files.get_mut(&id) {
                    file.next_rotation_s = options.next_s(now.as_secs());
                    file.options = options;
                }
            }
            Job::Reopen => self.files.values_mut().for_each(|file| file.reopen(now)),
            Job::Flush(done) => drop(done.send(())),
            Job::Close(id) => drop(self.files.remove(&id)),
            Job::Stop(done) => return Some(done),
        }
        None
    }

    fn tick(&mut self) {
        let now = (self.setup.clock)();
        if self.ticked_s == now.as_secs() {
            return;
        }
        self.ticked_s = now.as_secs();
        for file in self.files.values_mut() {
            file.tick(now, self.setup.min_free, &mut self.compressor);
        }
    }
}

impl Open {
    fn write(&mut self, lines: &[u8], now: Duration, compressor: &mut Option<Sender<PathBuf>>) {
        self.rotate_if_due(now.as_secs(), lines.len() as u64, compressor);
        if self.output.is_none() && now >= self.retry_at {
            self.reopen(now);
        }
        let starved = self.low_space && (self.sink.class != Class::Error || self.allowance == 0);
        let Some(output) = self.output.as_mut().filter(|_| !starved) else {
            return self.sink.dropped(lines);
        };
        self.allowance = self.allowance.saturating_sub(lines.len());
        match output.write(lines) {
            Ok(()) => {
                self.sink.written_bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
                if self.sink.failing.swap(false, Ordering::Relaxed) {
                    let dropped = self.sink.dropped_lines.load(Ordering::Relaxed);
                    let lost = dropped - self.dropped_before;
                    self.say(Level::Notice, format_args!("works again, {lost} lines were dropped"));
                }
            }
            Err(Short { kept, error }) => {
                self.sink.written_bytes.fetch_add(kept as u64, Ordering::Relaxed);
                self.fail(now, format_args!("cannot be written: {error}"));
                self.sink.dropped(&lines[kept..]);
            }
        }
    }

    /// Notes an outage. The target is opened anew before the next try.
    fn fail(&mut self, now: Duration, why: std::fmt::Arguments<'_>) {
        self.sink.write_errors.fetch_add(1, Ordering::Relaxed);
        self.retry_at = now + RETRY_AFTER;
        self.torn |= self.output.take().is_some_and(|output| output.torn());
        if !self.sink.failing.swap(true, Ordering::Relaxed) {
            self.dropped_before = self.sink.dropped_lines.load(Ordering::Relaxed);
            self.say(Level::Alert, format_args!("{why}; lines are dropped until it works again"));
        }
    }

    fn reopen(&mut self, now: Duration) {
        match Output::open(&self.sink.target) {
            Ok(mut output) => {
                output.set_torn(std::mem::take(&mut self.torn));
                self.output = Some(output);
            }
            Err(error) => self.fail(now, format_args!("cannot be opened: {error}")),
        }
    }

    fn tick(&mut self, now: Duration, min_free: u64, compressor: &mut Option<Sender<PathBuf>>) {
        if self.output.as_mut().is_some_and(|output| !output.refresh()) {
            self.reopen(now);
        }
        let free = match self.output.as_ref().and_then(Output::regular) {
            Some(path) if min_free > 0 => super::free_bytes(path),
            _ => None,
        };
        let low = free.is_some_and(|free| free < min_free);
        if low != std::mem::replace(&mut self.low_space, low) {
            let free = free.unwrap_or_default();
            match low {
                true => self.say(Level::Alert, format_args!("stops: {free} bytes are free")),
                false => self.say(Level::Notice, format_args!("goes on: space is free again")),
            }
        }
        self.allowance = LOW_SPACE_BYTES;
        self.rotate_if_due(now.as_secs(), 0, compressor);
    }

    fn rotate_if_due(&mut self, now_s: u64, more: u64, compressor: &mut Option<Sender<PathBuf>>) {
        let Some(output) = self.output.as_ref().filter(|_| now_s >= self.rotate_hold_s) else {
            return;
        };
        let (size, max) = (output.size(), self.options.file_size_max());
        let full = max > 0 && size > 0 && size + more > max;
        if !full && now_s < self.next_rotation_s {
            return;
        }
        if let Err(why) = self.rotate(now_s, None, compressor) {
            self.rotate_hold_s = now_s + ROTATE_RETRY_S;
            self.say(Level::Error, format_args!("cannot be rotated: {why}"));
        }
    }

    fn rotate(
        &mut self,
        now_s: u64,
        options: Option<RotateOptions>,
        compressor: &mut Option<Sender<PathBuf>>,
    ) -> Rotated {
        self.next_rotation_s = self.options.next_s(now_s);
        let options = options.unwrap_or_else(|| self.options.clone());
        let regular = self.output.as_ref().filter(|output| output.size() > 0);
        let Some(path) = regular.and_then(Output::regular).map(Path::to_path_buf) else {
            return Ok(None);
        };
        let offset_s = super::local_offset_s(now_s);
        let to = rotate::rename(&path, now_s, offset_s).map_err(|error| error.to_string())?;
        self.sink.rotations.fetch_add(1, Ordering::Relaxed);
        self.reopen(Duration::from_secs(now_s));
        // As if the new file were full already, so that the sum stays below its bound.
        let room = options.file_size_max();
        let pruned = rotate::prune(&path, room, &options).map_err(|error| error.to_string());
        if options.compress && to.exists() {
            compress_later(compressor, to.clone());
        }
        pruned.map(|_| Some(to))
    }

    /// Tells the error log about this file, unless this file is the error log.
    fn say(&self, level: Level, what: std::fmt::Arguments<'_>) {
        if self.sink.class != Class::Error {
            let path = self.sink.target.path().display();
            error_log::log_args(level, &Context::default(), format_args!("log {path} {what}"));
        }
    }
}

/// Compresses on a thread of its own, one file after the other: it takes seconds per gigabyte.
fn compress_later(compressor: &mut Option<Sender<PathBuf>>, path: PathBuf) {
    let sent = match compressor {
        Some(compressor) => compressor.send(path.clone()).is_ok(),
        None => false,
    };
    if sent {
        return;
    }
    let (sender, paths) = mpsc::channel::<PathBuf>();
    let work = move || {
        for path in paths {
            if let Err(error) = rotate::compress(&path) {
                let path = path.display();
                let what = format_args!("log {path} cannot be compressed: {error}");
                error_log::log_args(Level::Error, &Context::default(), what);
            }
        }
    };
    // Without a thread the file just stays as it is.
    if thread::Builder::new().name("log-gzip".into()).spawn(work).is_ok() {
        let _ = sender.send(path);
        *compressor = Some(sender);
    }
}
