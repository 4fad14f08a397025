//! The last good content of etcd on disk, for a start without etcd.
//!
//! Lines of JSON: one that says what the file is, one for each entry, and one with the checksum
//! of all before it. Values stay as they are in etcd, encrypted where they are encrypted there.

use std::{
    fs,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::held::Held;
use crate::{limits::ETCD_LISTING_BYTES_MAX, store::Entry};

const FORMAT: &str = "moongate snapshot of etcd";
const VERSION: u32 = 1;

/// What JSON may add to the bytes of a listing: quotes, backslashes, names of fields.
const FILE_BYTES_MAX: u64 = 2 * ETCD_LISTING_BYTES_MAX as u64;

/// Where it is, and of which etcd.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFile {
    pub(super) path: PathBuf,
    pub(super) prefix: String,
    pub(super) endpoints: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    prefix: String,
    endpoints: Vec<String>,
    /// 64 bits do not fit into numbers of JSON everywhere.
    cluster: String,
    revision: u64,
    entries: usize,
}

#[derive(Serialize, Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    key: std::borrow::Cow<'l, str>,
    #[serde(borrow)]
    value: std::borrow::Cow<'l, str>,
    created: u64,
    modified: u64,
}

#[derive(Serialize, Deserialize)]
struct Tail {
    crc32: String,
}

/// Counts what goes through it into a checksum.
struct Summed<W> {
    to: W,
    sum: crc32fast::Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl SnapshotFile {
    /// Writes it: a reader, and whoever comes after a crash, finds the old one or this.
    ///
    /// # Errors
    ///
    /// What the system says. The old file is untouched then.
    pub(super) fn save(&self, held: &Held) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = self.path.with_file_name(format!(".{name}.new"));
        let done = self.write(&new, held).and_then(|()| fs::rename(&new, &self.path));
        if done.is_err() {
            let _ = fs::remove_file(&new);
        }
        done?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn write(&self, new: &Path, held: &Held) -> io::Result<()> {
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        let to = BufWriter::with_capacity(1 << 17, file);
        let mut out = Summed { to, sum: crc32fast::Hasher::new() };
        let head = Head {
            format: FORMAT.to_owned(),
            version: VERSION,
            prefix: self.prefix.clone(),
            endpoints: self.endpoints.clone(),
            cluster: format!("{:016x}", held.cluster),
            revision: held.revision,
            entries: held.entries.len(),
        };
        line(&mut out, &head)?;
        for Entry { key, value, created, modified } in held.entries.values() {
            let (key, value) = ((&**key).into(), (&**value).into());
            line(&mut out, &Line { key, value, created: *created, modified: *modified })?;
        }
        let crc32 = format!("{:08x}", out.sum.clone().finalize());
        line(&mut out, &Tail { crc32 })?;
        out.to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// Why there is none that may be used.
    pub(super) fn load(&self) -> Result<Held, String> {
        let mut held = Held::default();
        let head = self.read(&mut |entry| held.insert(entry).map_err(|fail| fail.to_string()))?;
        (held.cluster, held.revision) = (head.0, head.1);
        Ok(held)
    }

    /// Whether it holds exactly these entries. Where etcd's revision went on elsewhere, it does.
    pub(super) fn holds(&self, held: &Held) -> bool {
        let mut entries = held.entries.values();
        let head = self.read(&mut |entry| match entries.next() {
            Some(expected) if *expected == entry => Ok(()),
            _ => Err("it is another entry".to_owned()),
        });
        head.is_ok_and(|(cluster, _)| cluster == held.cluster) && entries.next().is_none()
    }

    /// Reads all entries; returns cluster and revision.
    fn read(&self, take: Take<'_>) -> Result<(u64, u64), String> {
        let why = |why: String| format!("the snapshot {} is not used: {why}", self.path.display());
        let file = match fs::File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("there is no snapshot {}", self.path.display()));
            }
            file => file.map_err(|error| why(error.to_string()))?,
        };
        let length = file.metadata().map_err(|error| why(error.to_string()))?.len();
        if length > FILE_BYTES_MAX {
            return Err(why(format!("it has {length} bytes, and {FILE_BYTES_MAX} are possible")));
        }
        let lines = BufReader::with_capacity(1 << 17, file.take(FILE_BYTES_MAX));
        self.read_lines(lines, take).map_err(why)
    }

    fn read_lines(&self, from: impl BufRead, take: Take<'_>) -> Result<(u64, u64), String> {
        let mut lines = Lines { from, sum: crc32fast::Hasher::new(), number: 0, text: Vec::new() };
        let head: Head = lines.next("a snapshot of etcd")?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(format!("it is {:?} {}", head.format, head.version));
        }
        if head.prefix != self.prefix {
            return Err(format!("it is of prefix {:?}, not {:?}", head.prefix, self.prefix));
        }
        if !head.endpoints.iter().any(|url| self.endpoints.contains(url)) {
            return Err(format!("it is of other endpoints: {}", head.endpoints.join(", ")));
        }
        let cluster = u64::from_str_radix(&head.cluster, 16).map_err(|error| error.to_string())?;
        let mut last: Option<Arc<str>> = None;
        for _ in 0..head.entries {
            let line: Line<'_> = lines.next("an entry")?;
            let Line { key, value, created, modified } = line;
            let (key, value) = (Arc::from(key), Arc::from(value));
            if last.is_some_and(|last| last >= key) {
                return Err("its entries are not in order".to_owned());
            }
            last = Some(Arc::clone(&key));
            take(Entry { key, value, created, modified })?;
        }
        let sum = format!("{:08x}", lines.sum.clone().finalize());
        let tail: Tail = lines.next("the checksum")?;
        if tail.crc32 != sum || !lines.at_end()? {
            return Err("its checksum does not fit, so it was damaged".to_owned());
        }
        Ok((cluster, head.revision))
    }
}

/// Takes one entry after the other, or says why not.
type Take<'t> = &'t mut dyn FnMut(Entry) -> Result<(), String>;

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

struct Lines<R> {
    from: R,
    sum: crc32fast::Hasher,
    number: usize,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next<'l, T: Deserialize<'l>>(&'l mut self, what: &str) -> Result<T, String> {
        self.number += 1;
        self.text.clear();
        self.from.read_until(b'\n', &mut self.text).map_err(|error| error.to_string())?;
        self.sum.update(&self.text);
        let number = self.number;
        let Some(text) = self.text.strip_suffix(b"\n") else {
            return Err(format!("it ends in line {number}, before {what}"));
        };
        serde_json::from_slice(text).map_err(|_| format!("line {number} is not {what}"))
    }

    fn at_end(&mut self) -> Result<bool, String> {
        self.from.fill_buf().map(<[u8]>::is_empty).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(name: &str) -> SnapshotFile {
        let folder = std::env::temp_dir().join(format!("moongate-snapshot-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let endpoints = vec!["http://a:1".to_owned(), "http://b:1".to_owned()];
        SnapshotFile { path: folder.join(name), prefix: "/apisix".to_owned(), endpoints }
    }

    fn held() -> Held {
        let mut held = Held::of(u64::MAX, 12);
        for (key, value) in [("routes/1", "{\"uri\":\"/\\u00e9\\n\"}"), ("routes/é", "{}")] {
            let (key, value) = (Arc::from(key), Arc::from(value));
            held.insert(Entry { key, value, created: 3, modified: 12 }).unwrap();
        }
        held
    }

    #[test]
    fn what_was_saved_is_loaded_and_only_the_owner_may_read_it() {
        let file = file("good");
        file.save(&held()).unwrap();
        let loaded = file.load().unwrap();
        assert_eq!(loaded.entries, held().entries);
        assert_eq!(loaded.cluster, u64::MAX);
        assert!(file.holds(&held()));
        let mut other = held();
        other.entries.remove("routes/1");
        assert!(!file.holds(&other) && !file.holds(&Held::of(u64::MAX, 12)));
        let mut other = held();
        other.cluster = 1;
        assert!(!file.holds(&other));
        assert_eq!(loaded.revision, 12);
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
        file.save(&Held::default()).unwrap();
        assert_eq!(file.load().unwrap().entries.len(), 0);
        fs::remove_file(&file.path).unwrap();
        assert!(file.load().unwrap_err().starts_with("there is no snapshot"));
    }

    #[test]
    fn every_torn_or_changed_file_is_refused() {
        let file = file("torn");
        file.save(&held()).unwrap();
        let whole = fs::read(&file.path).unwrap();
        for length in 0..whole.len() {
            fs::write(&file.path, &whole[..length]).unwrap();
            let why = file.load().unwrap_err();
            assert!(why.contains("is not used: it ends in line"), "{length}: {why}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&file.path, &changed).unwrap();
            assert!(file.load().is_err(), "byte {at}");
        }
        fs::write(&file.path, [&whole[..], b"x"].concat()).unwrap();
        assert!(file.load().unwrap_err().contains("checksum"));
        fs::remove_file(&file.path).unwrap();
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_with_the_reason() {
        let file = file("foreign");
        file.save(&held()).unwrap();
        let other = SnapshotFile { prefix: "/other".to_owned(), ..file.clone() };
        assert!(other.load().unwrap_err().ends_with("it is of prefix \"/apisix\", not \"/other\""));
        let other = SnapshotFile { endpoints: vec!["http://c:1".to_owned()], ..file.clone() };
        assert!(other.load().unwrap_err().ends_with("of other endpoints: http://a:1, http://b:1"));
        let other = SnapshotFile { endpoints: vec!["http://b:1".to_owned()], ..file.clone() };
        assert!(other.load().is_ok());
        fs::write(&file.path, "{\"a\": 1}\n").unwrap();
        assert!(file.load().unwrap_err().ends_with("line 1 is not a snapshot of etcd"));
        fs::write(&file.path, [0xff; 100]).unwrap();
        assert!(file.load().is_err());
        fs::remove_file(&file.path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_nothing_is_left() {
        let mut file = file("none");
        file.path = file.path.join("no/such");
        assert!(file.save(&held()).is_err());
        assert!(!file.path.exists());
    }
}
