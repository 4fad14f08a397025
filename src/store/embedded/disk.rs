//! Where the bytes of the store are: a file, or what a test puts in its place.

use redb::{BackendError, StorageBackend, backends::FileBackend};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    ops::Bound,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The name of the store's file.
pub(super) const FILE: &str = "moongate.redb";

/// Bytes that [`Watched::mend`] reads and writes at once.
const MEND_BYTES: u64 = 1 << 20;

/// A place for one database.
pub(super) trait Disk: Send {
    /// The database that is there, if any; called again after errors.
    fn open(&mut self) -> io::Result<Option<Box<dyn StorageBackend>>>;

    /// An empty place for a new database, which nobody finds before [`Self::publish`].
    fn create(&mut self) -> io::Result<Box<dyn StorageBackend>>;

    /// Puts the new database, which was closed, where `open` finds it, for good.
    fn publish(&mut self) -> io::Result<()>;

    /// Lets go of what it keeps between two openings.
    fn close(&mut self);

    /// Its name in messages.
    fn name(&self) -> String;
}

/// A directory with the file in it.
pub(super) struct Folder {
    dir: PathBuf,
    /// Kept over reopenings, as the kernel tells each open file once of an error that it met
    /// while it wrote behind our back.
    file: Option<File>,
}

impl Folder {
    /// Makes the directory if it is not there.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Self { dir: dir.to_owned(), file: None })
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn new_path(&self) -> PathBuf {
        self.dir.join(format!("{FILE}.new"))
    }
}

impl Disk for Folder {
    fn open(&mut self) -> io::Result<Option<Box<dyn StorageBackend>>> {
        if self.file.is_none() {
            match OpenOptions::new().read(true).write(true).open(self.path()) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(None) };
        if file.metadata()?.len() == 0 {
            // Ours are never empty, as they are renamed when they are whole.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
        }
        Ok(Some(Box::new(file_backend(file.try_clone()?)?)))
    }

    fn create(&mut self) -> io::Result<Box<dyn StorageBackend>> {
        let path = self.new_path();
        // One that was left behind may have another mode.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Box::new(file_backend(file)?))
    }

    fn publish(&mut self) -> io::Result<()> {
        File::open(self.new_path())?.sync_all()?;
        fs::rename(self.new_path(), self.path())?;
        File::open(&self.dir)?.sync_all()?;
        // The directory may be as new as the file, and those above it, too; others may be none of
        // our business.
        for above in self.dir.canonicalize()?.ancestors().skip(1) {
            let _ = File::open(above).and_then(|above| above.sync_all());
        }
        Ok(())
    }

    fn close(&mut self) {
        self.file = None;
    }

    fn name(&self) -> String {
        self.path().display().to_string()
    }
}

fn file_backend(file: File) -> io::Result<FileBackend> {
    FileBackend::new(file).map_err(io::Error::other)
}

/// What a [`Watched`] saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// A sync failed, and [`Watched::mend`] was not done since.
    pub(super) sync_failed: AtomicBool,
}

/// Passes everything on, and remembers that a sync failed.
pub(super) struct Watched {
    inner: Box<dyn StorageBackend>,
    seen: Arc<Seen>,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn StorageBackend>, seen: Arc<Seen>) -> Self {
        Self { inner, seen }
    }

    /// Writes everything that can be read anew and syncs it, if a sync failed before. After such
    /// a failure the kernel holds what was written for clean although the disk may have none of
    /// it: reads would go well, and what is built on them would be gone with the next power cut.
    pub(super) fn mend(&self) -> io::Result<()> {
        if !self.seen.sync_failed.load(Ordering::Acquire) {
            return Ok(());
        }
        let length = self.inner.len()?;
        let mut at = 0;
        let mut bytes = Vec::new();
        while at < length {
            let count = MEND_BYTES.min(length - at);
            bytes.resize(usize::try_from(count).map_err(io::Error::other)?, 0);
            self.inner.read(at, &mut bytes)?;
            self.inner.write(at, &bytes)?;
            at += count;
        }
        self.inner.sync_data()?;
        self.seen.sync_failed.store(false, Ordering::Release);
        Ok(())
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.inner.sync_data();
        if result.is_err() {
            self.seen.sync_failed.store(true, Ordering::Release);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
