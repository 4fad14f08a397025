//! Reading files, and those they include.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use crate::codec::{registry::Source, tars, trpc};

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
    let here = std::iter::once(PathBuf::new());
    let roots: Vec<PathBuf> = files.iter().map(|file| parent(file)).chain(here).collect();
    let mut at = 0;
    while let Some((name, text)) = found.get(at) {
        at += 1;
        if found.len() > tars::idl::SOURCES_MAX {
            break;
        }
        for places in included(name, text, folders, &roots) {
            let Some((path, name)) = places.into_iter().find(|(path, _)| path.is_file()) else {
                continue;
            };
            if known.insert(identity(&path)) {
                let text =
                    fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                found.push((name, text));
            }
        }
    }
    Ok(found)
}

fn parent(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// For each file that `name` includes, where it may be, and what it is called if it is there.
fn included(
    name: &str,
    text: &[u8],
    folders: &[PathBuf],
    roots: &[PathBuf],
) -> Vec<Vec<(PathBuf, String)>> {
    if name.ends_with(tars::PROTOCOL.suffix) {
        let beside = parent(Path::new(name));
        let places = |include: String| {
            let own = beside.join(&include);
            let name = own.to_string_lossy().into_owned();
            let there = folders.iter().map(|folder| (folder.join(&include), include.clone()));
            std::iter::once((own, name)).chain(there).collect()
        };
        return tars::idl::includes(text).into_iter().map(places).collect();
    }
    if name.ends_with(trpc::PROTOCOL.suffix) {
        // Imports begin at a root, wherever the file that has them is.
        let places = |import: String| {
            let all = folders.iter().chain(roots);
            all.map(|root| (root.join(&import), import.clone())).collect()
        };
        return trpc::schema::imports(&Source { name, text }).into_iter().map(places).collect();
    }
    Vec::new()
}

/// The same for two paths to one file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// What was read, as compilers take it.
pub(super) fn sources(read: &[Read]) -> Vec<Source<'_>> {
    read.iter().map(|(name, text)| Source { name, text }).collect()
}
