//! A disk in memory that does what disks do: it forgets what was not synced, fails, and is full.

use super::{Dice, Disk, Parts};
use redb::StorageBackend;
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// Bytes that a disk writes as one.
const SECTOR: usize = 512;

/// A change that is not synced.
#[derive(Debug, Clone)]
enum Pending {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

/// One file.
#[derive(Debug, Clone, Default)]
struct Image {
    /// What a cut leaves for sure.
    platter: Vec<u8>,
    /// What reads see.
    seen: Vec<u8>,
    pending: Vec<Pending>,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// `ENOSPC`: nothing happens, or only the beginning of a write.
    Full,
    /// `EIO`: a sync that fails so loses what it was to keep, as Linux does; reads still see it.
    Broken,
    /// The process is as good as dead: nothing works, nothing changes.
    Dead,
    /// A sync that says it went well and did nothing.
    Lie,
}

/// What is asked of the disk, for whoever decides what fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Read,
    Write,
    Length,
    Sync,
    Publish,
}

type Rule = Box<dyn FnMut(Ask, u64) -> Option<Failure> + Send>;

struct Inner {
    current: Option<Image>,
    fresh: Option<Image>,
    /// Writes, changes of length, syncs and publications so far.
    asked: u64,
    syncs: u64,
    rule: Option<Rule>,
    sync_takes: Duration,
    now: Duration,
    dice: Dice,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// The disk, and a clock.
#[derive(Debug, Clone)]
pub(super) struct Sim(Arc<Mutex<Inner>>);

impl Sim {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            current: None,
            fresh: None,
            asked: 0,
            syncs: 0,
            rule: None,
            sync_takes: Duration::ZERO,
            now: Duration::from_secs(1_000_000),
            dice: Dice(1),
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What a store needs to live on it.
    pub(super) fn parts(&self) -> Parts {
        let own = self.clone();
        Parts { disk: Box::new(self.clone()), lock: None, wall: Box::new(move || own.now()) }
    }

    pub(super) fn now(&self) -> Duration {
        self.inner().now
    }

    pub(super) fn advance(&self, by: Duration) {
        self.inner().now += by;
    }

    /// What fails from now on; it is told how much was asked before, without reads.
    pub(super) fn fail(&self, rule: impl FnMut(Ask, u64) -> Option<Failure> + Send + 'static) {
        self.inner().rule = Some(Box::new(rule));
    }

    /// Nothing fails any more.
    pub(super) fn heal(&self) {
        self.inner().rule = None;
    }

    pub(super) fn asked(&self) -> u64 {
        self.inner().asked
    }

    pub(super) fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    pub(super) fn sync_takes(&self, time: Duration) {
        self.inner().sync_takes = time;
    }

    /// The power goes, and comes again: of what was not synced, chance decides what is there.
    pub(super) fn cut(&self, seed: u64) {
        let mut dice = Dice(seed);
        let mut inner = self.inner();
        inner.rule = None;
        // A new file that nobody published is no use to anybody.
        inner.fresh = None;
        if let Some(image) = &mut inner.current {
            image.cut(&mut dice);
        }
    }

    /// The bytes of the file, to be spoiled.
    pub(super) fn spoil(&self, spoil: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner();
        let image = inner.current.as_mut().unwrap();
        spoil(&mut image.seen);
        image.platter = image.seen.clone();
        image.pending.clear();
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.inner().current.as_ref().unwrap().seen.clone()
    }
}

impl Image {
    fn apply(target: &mut Vec<u8>, change: &Pending) {
        match change {
            Pending::Length(length) => target.resize(*length, 0),
            Pending::Bytes(at, bytes) => {
                if target.len() < at + bytes.len() {
                    target.resize(at + bytes.len(), 0);
                }
                target[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    fn cut(&mut self, dice: &mut Dice) {
        // Nothing of it, all of it, all up to some point, or what chance picks.
        let kind = dice.below(8);
        let last = dice.size(self.pending.len() + 1);
        let length = self.pending.iter().rev().find_map(|change| match change {
            Pending::Length(length) => Some(*length),
            Pending::Bytes(..) => None,
        });
        for (at, change) in self.pending.iter().enumerate() {
            match (kind, change) {
                (0, _) => {}
                (1, _) => Self::apply(&mut self.platter, change),
                (2 | 3, _) if at < last => Self::apply(&mut self.platter, change),
                (2 | 3, _) => {
                    if at == last
                        && let Pending::Bytes(start, bytes) = change
                    {
                        let count = dice.size(bytes.len() + 1);
                        Self::apply(
                            &mut self.platter,
                            &Pending::Bytes(*start, bytes[..count].into()),
                        );
                    }
                }
                (_, Pending::Length(_)) => {
                    if dice.below(2) == 0 {
                        Self::apply(&mut self.platter, change);
                    }
                }
                (_, Pending::Bytes(start, bytes)) => {
                    for (sector, bytes) in bytes.chunks(SECTOR).enumerate() {
                        if dice.below(2) == 0 {
                            let start = start + sector * SECTOR;
                            Self::apply(&mut self.platter, &Pending::Bytes(start, bytes.into()));
                        }
                    }
                }
            }
        }
        // A file system may keep a length that was set, with nothing in it.
        if let Some(length) = length.filter(|length| *length > self.platter.len())
            && dice.below(2) == 0
        {
            self.platter.resize(length, 0);
        }
        self.seen = self.platter.clone();
        self.pending.clear();
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            Self::apply(&mut self.platter, &change);
        }
    }
}

impl Inner {
    fn ask(&mut self, ask: Ask) -> Result<(), Failure> {
        let before = self.asked;
        if ask != Ask::Read {
            self.asked += 1;
        }
        match self.rule.as_mut().and_then(|rule| rule(ask, before)) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl Failure {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(if self == Self::Full { libc::ENOSPC } else { libc::EIO })
    }
}

impl Disk for Sim {
    fn open(&mut self) -> io::Result<Option<Box<dyn StorageBackend>>> {
        let there = self.inner().current.is_some();
        Ok(there.then(|| Box::new(File { sim: self.clone(), fresh: false }) as _))
    }

    fn create(&mut self) -> io::Result<Box<dyn StorageBackend>> {
        self.inner().fresh = Some(Image::default());
        Ok(Box::new(File { sim: self.clone(), fresh: true }))
    }

    fn publish(&mut self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.ask(Ask::Publish).map_err(Failure::error)?;
        inner.current = inner.fresh.take();
        if let Some(image) = &mut inner.current {
            image.sync();
        }
        Ok(())
    }

    fn close(&mut self) {}

    fn name(&self) -> String {
        "sim".to_owned()
    }
}

/// One of its two files, open.
#[derive(Debug)]
struct File {
    sim: Sim,
    fresh: bool,
}

impl File {
    fn with<T>(
        &self,
        ask: Ask,
        work: impl FnOnce(&mut Image, &mut Dice, Result<(), Failure>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.sim.inner();
        let inner = &mut *inner;
        let allowed = inner.ask(ask);
        let image = if self.fresh { &mut inner.fresh } else { &mut inner.current };
        let image = image.as_mut().ok_or(io::ErrorKind::NotFound)?;
        work(image, &mut inner.dice, allowed)
    }
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        let inner = self.sim.inner();
        let image = if self.fresh { &inner.fresh } else { &inner.current };
        Ok(image.as_ref().ok_or(io::ErrorKind::NotFound)?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(Ask::Read, |image, _, allowed| {
            allowed.map_err(Failure::error)?;
            let at = usize::try_from(offset).unwrap();
            let bytes = image.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(Ask::Length, |image, _, allowed| {
            allowed.map_err(Failure::error)?;
            let change = Pending::Length(usize::try_from(len).unwrap());
            Image::apply(&mut image.seen, &change);
            image.pending.push(change);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let takes = {
            let mut inner = self.sim.inner();
            inner.syncs += 1;
            inner.sync_takes
        };
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        self.with(Ask::Sync, |image, _, allowed| {
            if let Err(failure) = allowed {
                if failure == Failure::Lie {
                    return Ok(());
                }
                if failure == Failure::Broken {
                    image.pending.clear();
                }
                return Err(failure.error());
            }
            image.sync();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(Ask::Write, |image, dice, allowed| {
            let count = match allowed {
                Ok(()) => data.len(),
                Err(Failure::Dead) => 0,
                Err(_) => dice.size(data.len()),
            };
            if count != 0 {
                let change = Pending::Bytes(usize::try_from(offset).unwrap(), data[..count].into());
                Image::apply(&mut image.seen, &change);
                image.pending.push(change);
            }
            allowed.map_err(Failure::error)
        })
    }
}
