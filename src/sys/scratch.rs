//! Files without a name, for what is too large for memory.
//!
//! A scratch file is taken out of its directory as soon as it is open: whatever happens to the
//! process, nothing is left behind. Reads and writes are done by threads that may wait for a
//! disk; a worker may not.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes of one read, and what is worth a write.
pub const PIECE_BYTES: usize = 256 << 10;

/// An open file that nobody else can find.
#[derive(Debug)]
pub struct Scratch {
    file: Arc<File>,
    len: u64,
}

impl Scratch {
    /// Makes an empty file in `dir`, and `dir` if it is not there.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub async fn create(dir: &Path) -> io::Result<Self> {
        let dir = dir.to_path_buf();
        let file = elsewhere(move || create_in(&dir)).await?;
        Ok(Self { file: Arc::new(file), len: 0 })
    }

    /// Takes a file that is there already, as it is now.
    ///
    /// # Errors
    ///
    /// Those of the file system; and it may be nothing but a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self { file: Arc::new(file), len: facts.len() })
    }

    /// Writes `data` behind what is there.
    ///
    /// # Errors
    ///
    /// Those of the file system, such as a full disk. What the file holds then is not known.
    pub async fn append(&mut self, data: Bytes) -> io::Result<()> {
        let (file, at) = (Arc::clone(&self.file), self.len);
        self.len += data.len() as u64;
        elsewhere(move || file.write_all_at(&data, at)).await
    }

    /// Bytes written, or found when it was opened.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A path by which this process can open it while it exists, each time from its start.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Reads it from the start; any number of readers may.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { file: Arc::clone(&self.file), at: 0, end: self.len, reading: None }
    }
}

/// Reads a scratch file, piece by piece.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reader {
    /// The next piece, never an empty one; `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of the file system; `UnexpectedEof` if somebody made the file shorter.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let left = self.end - self.at;
        if left == 0 {
            return Poll::Ready(Ok(None));
        }
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let reading = self.reading.get_or_insert_with(|| {
            let (file, at) = (Arc::clone(&self.file), self.at);
            spawn_blocking(move || {
                let mut piece = vec![0; bytes];
                file.read_exact_at(&mut piece, at)?;
                Ok(piece.into())
            })
        });
        let piece = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let piece = piece.map_err(io::Error::other)??;
        self.at += piece.len() as u64;
        Poll::Ready(Ok(Some(piece)))
    }
}

/// Runs `work` on a thread that may wait.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn create_in(dir: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("scratch-{}-{number}", std::process::id()));
    let open =
        || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            open()
        }
        // Somebody with our number died between the two steps below.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&path)?;
            open()
        }
        opened => opened,
    }?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn dir(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("moongate-scratch-{name}-{}", std::process::id()))
    }

    async fn all(reader: &mut Reader) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(piece) = poll_fn(|cx| reader.poll_piece(cx)).await.unwrap() {
            assert!(!piece.is_empty());
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    #[tokio::test]
    async fn what_is_written_is_read_again_and_the_directory_stays_empty() {
        let dir = dir("all");
        let mut scratch = Scratch::create(&dir.join("deep")).await.unwrap();
        assert!(scratch.is_empty());
        assert_eq!(all(&mut scratch.reader()).await, b"");
        let data: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        for piece in data.chunks(300_001) {
            scratch.append(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(scratch.len(), 700_000);
        assert_eq!(fs::read_dir(dir.join("deep")).unwrap().count(), 0);
        let (mut one, mut two) = (scratch.reader(), scratch.reader());
        assert!(all(&mut one).await == data && all(&mut two).await == data);
        assert!(fs::read(scratch.path()).unwrap() == data);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error() {
        let dir = dir("short");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("body"), "0123456789").unwrap();
        let scratch = Scratch::open(&dir.join("body")).unwrap();
        assert_eq!(all(&mut scratch.reader()).await, b"0123456789");
        fs::write(dir.join("body"), "0123").unwrap();
        let mut reader = scratch.reader();
        let error = poll_fn(|cx| reader.poll_piece(cx)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(Scratch::open(&dir).is_err(), "a directory");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_made_or_written_is_an_error() {
        let dir = dir("none");
        fs::write(&dir, "in the way").unwrap();
        assert!(Scratch::create(&dir).await.is_err());
        fs::remove_file(&dir).unwrap();
        let mut full = Scratch {
            file: Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap()),
            len: 0,
        };
        let error = full.append(Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
