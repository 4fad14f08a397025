//! Reading files, and those they include.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use crate::codec::{registry::Source, tars};

/// A file that was read, and the name that others include it by.
pub(super) type Read = (String, Vec<u8>);

/// Reads `files`, and what they include, beside them or in `folders`.
///
/// # Errors
///
/// A file cannot be read. An included one that is not there is left for the compiler to report,
/// which knows the line.
pub(super) fn read(files: &[PathBuf], folders: &[PathBuf]) -> Result<Vec<Read>, String> {
    let mut found: Vec<Read> = Vec::new();
    let mut known = HashSet::new();
    for file in files {
        let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.to_string_lossy().into_owned();
        if known.insert(identity(file)) {
            found.push((name, text));
        }
    }
    let mut at = 0;
    while let Some((name, text)) = found.get(at) {
        at += 1;
        if !name.ends_with(tars::PROTOCOL.suffix) || found.len() > tars::idl::SOURCES_MAX {
            continue;
        }
        let beside = Path::new(name).parent().unwrap_or(Path::new("")).to_path_buf();
        for include in tars::idl::includes(text) {
            let own = beside.join(&include);
            let there = folders.iter().map(|folder| (folder.join(&include), include.clone()));
            let mut places =
                std::iter::once((own.clone(), own.to_string_lossy().into_owned())).chain(there);
            let Some((path, name)) = places.find(|(path, _)| path.is_file()) else { continue };
            if known.insert(identity(&path)) {
                let text =
                    fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                found.push((name, text));
            }
        }
    }
    Ok(found)
}

/// The same for two paths to one file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// What was read, as compilers take it.
pub(super) fn sources(read: &[Read]) -> Vec<Source<'_>> {
    read.iter().map(|(name, text)| Source { name, text }).collect()
}
