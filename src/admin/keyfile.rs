//! The key that is made at the first start if the configuration has none.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;

/// Name of the file below the data directory.
const NAME: &str = "admin.key";

/// Bytes of randomness in a key; it is written in twice as many hexadecimal digits.
const BYTES: usize = 32;

/// The key of this installation.
pub struct Obtained {
    /// The key.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was made just now, and nobody has seen it yet.
    pub fresh: bool,
}

/// Reads the key below `data`, or makes one there: whole or not at all, and for this user alone.
///
/// # Errors
///
/// The file cannot be read or written, or holds no key; the message names it. Nothing was made.
pub fn obtain(data: &Path) -> Result<Obtained, String> {
    let path = data.join(NAME);
    if let Some(key) = read(&path)? {
        return Ok(Obtained { key, path, fresh: false });
    }
    let key = generate()?;
    match write(data, &path, &key) {
        Ok(()) => Ok(Obtained { key, path, fresh: true }),
        // Another start was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read(&path)? {
            Some(key) => Ok(Obtained { key, path, fresh: false }),
            None => Err(format!("{} comes and goes", path.display())),
        },
        Err(error) => Err(format!("cannot write {}: {error}", path.display())),
    }
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let key = text.trim().to_owned();
    let fits = (16..=1024).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(Some(key));
    }
    Err(format!("{} holds no key; remove it to get one", path.display()))
}

fn generate() -> Result<String, String> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write(data: &Path, path: &Path, key: &str) -> io::Result<()> {
    fs::create_dir_all(data)?;
    let draft = data.join(format!("{NAME}.{}", std::process::id()));
    let result = write_draft(&draft, key).and_then(|()| {
        // Not `rename`: a key that another start made meanwhile must stay.
        fs::hard_link(&draft, path)?;
        fs::File::open(data)?.sync_all()
    });
    let _ = fs::remove_file(&draft);
    result
}

fn write_draft(draft: &Path, key: &str) -> io::Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("moongate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_key_is_made_once_and_kept_for_its_owner() {
        let data = scratch("keyfile").join("data");
        let first = obtain(&data).unwrap();
        assert!(first.fresh);
        assert_eq!(first.key.len(), 2 * BYTES);
        assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = obtain(&data).unwrap();
        assert_eq!((second.fresh, &second.key), (false, &first.key));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left");
        fs::remove_file(&first.path).unwrap();
        assert_ne!(obtain(&data).unwrap().key, first.key);
        fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }

    #[test]
    fn what_is_no_key_is_told_by_its_path() {
        let data = scratch("keyfile-bad");
        fs::create_dir_all(&data).unwrap();
        for text in [
            "",
            "short",
            "with a blank in it, long enough",
            "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
        ] {
            fs::write(data.join(NAME), text).unwrap();
            let error = obtain(&data).err().unwrap();
            assert!(error.contains("admin.key holds no key"), "{error}");
        }
        fs::remove_dir_all(&data).unwrap();
    }

    #[test]
    fn without_a_place_no_key_is_made() {
        let file = scratch("keyfile-none");
        fs::write(&file, "").unwrap();
        let error = obtain(&file.join("data")).err().unwrap();
        assert!(error.starts_with("cannot "), "{error}");
        fs::remove_file(&file).unwrap();
    }
}
