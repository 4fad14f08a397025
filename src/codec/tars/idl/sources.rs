//! Which file includes which: each is read once, those it includes first.

use std::collections::HashMap;

use super::{
    super::super::registry::Source,
    SOURCE_BYTES_MAX, SOURCES_MAX,
    ast::Definition,
    errors::{At, Errors},
    parser::{self, Parsed},
};

/// The definitions of all files, included ones first, and whether a file includes anything.
pub(super) fn read<'a>(sources: &[Source<'a>], errors: &mut Errors) -> Vec<Definition<'a>> {
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    let place = At { file: 0, line: 1, column: 1 };
    if bytes > SOURCE_BYTES_MAX {
        errors.add(place, format!("the files have {bytes} bytes, {SOURCE_BYTES_MAX} are allowed"));
        return Vec::new();
    }
    if sources.len() > SOURCES_MAX {
        errors.add(place, format!("there are more than {SOURCES_MAX} files"));
        return Vec::new();
    }
    let files = sources.iter().enumerate();
    let mut parsed: Vec<Parsed<'a>> =
        files.map(|(file, source)| parser::parse(file, source.text, errors)).collect();
    let order = order(sources, &parsed, errors);
    let mut definitions = Vec::new();
    for file in order {
        if let Some(parsed) = parsed.get_mut(file) {
            definitions.append(&mut parsed.definitions);
        }
    }
    definitions
}

/// The indices of the files, each behind those it includes; a circle is cut anywhere.
fn order(sources: &[Source<'_>], parsed: &[Parsed<'_>], errors: &mut Errors) -> Vec<usize> {
    let mut by_name = HashMap::new();
    for (file, source) in sources.iter().enumerate() {
        if let Some(other) = by_name.insert(normal(source.name), file) {
            let at = At { file, line: 1, column: 1 };
            errors.add(at, format!("this file is given twice, as number {} too", other + 1));
        }
    }
    let mut includes: Vec<Vec<usize>> = Vec::with_capacity(parsed.len());
    for (source, parsed) in sources.iter().zip(parsed) {
        let mut found = Vec::new();
        for (at, name) in &parsed.includes {
            match included(source.name, name, &by_name) {
                Some(file) => found.push(file),
                None if errors.open => {}
                None => errors.add(*at, format!("the included file \"{name}\" is not given")),
            }
        }
        includes.push(found);
    }
    // A walk without recursion: each entry is a file and how many of its includes are done.
    let (mut order, mut seen) = (Vec::new(), vec![false; sources.len()]);
    for root in 0..sources.len() {
        let mut open = vec![(root, 0_usize)];
        while let Some((file, done)) = open.pop() {
            if done == 0 && std::mem::replace(seen.get_mut(file).unwrap_or(&mut true), true) {
                continue;
            }
            match includes.get(file).and_then(|includes| includes.get(done)) {
                Some(next) => {
                    // `done` counts up, so the file is not taken for a new one again.
                    open.push((file, done + 1));
                    open.push((*next, 0));
                }
                None => order.push(file),
            }
        }
    }
    order
}

/// The file that `include` in `from` means: beside it, from the root, or by its last part.
fn included(from: &str, include: &str, by_name: &HashMap<String, usize>) -> Option<usize> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = normal(&format!("{folder}/{include}"));
    let plain = normal(include);
    let last = plain.rsplit('/').next().unwrap_or_default();
    let found = by_name.get(&beside).or_else(|| by_name.get(&plain));
    found.or_else(|| by_name.get(last)).copied()
}

/// The path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
