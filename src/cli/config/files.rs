//! Objects from files and into files.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Export, From, Kind, door, good};
use crate::{
    cli::process::complain,
    config::{
        bundle::{self, Misfit, Object},
        emit, env,
        local::Format,
        provider::Provider,
    },
    control::{Options, Place},
    limits,
    store::{Entry, Listing, UNREADABLE, etcd::dump},
};

/// What a file holds.
pub(super) struct Loaded {
    /// Keys and texts.
    pub(super) objects: Vec<(String, String)>,
    /// What cannot be stored.
    pub(super) misfits: Vec<Misfit>,
    /// Whether secrets are plain there.
    pub(super) plain: bool,
}

/// Reads a file; `prefix` is what keys of dumps begin with.
///
/// # Errors
///
/// It cannot be read, or is not what it should be.
pub(super) fn load(path: &Path, from: From, prefix: &str) -> Result<Loaded, String> {
    let name =
        if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
    let text = text(path).map_err(|error| format!("{name}: {error}"))?;
    let failed = |why: String| {
        let elsewhere = if why.contains("give its prefix") { " (--etcd-prefix)" } else { "" };
        format!("{name}: {why}{elsewhere}")
    };
    let kind = match from {
        From::Auto => guess(path, &text),
        From::Yaml => Guess::Sections(Format::Yaml),
        From::Json => Guess::Sections(Format::Json),
        From::EtcdDump if text.trim_start().starts_with('{') => Guess::Dump,
        From::EtcdDump => Guess::PlainDump,
    };
    let dump = match kind {
        Guess::Dump => dump::read(&text, prefix).map_err(failed)?,
        Guess::PlainDump => dump::read_text(&text, prefix).map_err(failed)?,
        Guess::Sections(format) => {
            let root = bundle::read(&text, format, &env::process);
            let root = root.map_err(|error| match error.line {
                Some(line) => format!("{name}:{line}: {}", error.message),
                None => format!("{name}: {}", error.message),
            })?;
            let (objects, misfits) = bundle::objects(root).map_err(failed)?;
            let text = |object: Object| (object.key, object.value.to_string());
            let objects = objects.into_iter().map(text).collect();
            return Ok(Loaded { objects, misfits, plain: true });
        }
    };
    let pair = |entry: &Entry| (entry.key.to_string(), entry.value.to_string());
    let objects = dump.entries.iter().map(pair).collect();
    Ok(Loaded { objects, misfits: Vec::new(), plain: false })
}

enum Guess {
    Dump,
    PlainDump,
    Sections(Format),
}

fn guess(path: &Path, text: &str) -> Guess {
    let begins = text.trim_start();
    if begins.starts_with('{') {
        return match serde_json::from_str::<Value>(text) {
            Ok(root) if dump::is_dump(&root) => Guess::Dump,
            // Flow style is YAML, too.
            Err(_) if path.extension().is_some_and(|is| is != "json") => {
                Guess::Sections(Format::Yaml)
            }
            _ => Guess::Sections(Format::Json),
        };
    }
    if begins.starts_with('/') { Guess::PlainDump } else { Guess::Sections(Format::Yaml) }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let most = limits::DOCUMENT_BYTES_MAX as u64 * 4;
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(most + 1).read_to_string(&mut text),
        false => fs::File::open(path)?.take(most + 1).read_to_string(&mut text),
    };
    if read? as u64 > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(text)
}

/// Tells of what does not fit, and goes on only if somebody asked to.
///
/// # Errors
///
/// There is such a thing, and nobody asked to leave it out.
pub(super) fn refuse(misfits: &[Misfit], skip: bool) -> Result<(), String> {
    for Misfit { at, why } in misfits {
        complain(&format!("{at}: {why}"));
    }
    if misfits.is_empty() || skip {
        return Ok(());
    }
    Err(format!("{} objects do not fit; --skip-invalid leaves them out", misfits.len()))
}

/// Writes all objects into a file.
///
/// # Errors
///
/// They cannot be read, do not fit, or cannot be written.
pub(super) fn export(export: &Export, options: &Options, place: &Place) -> Result<(), String> {
    let file = export.file.as_deref().filter(|path| path.as_os_str() != "-");
    let extension = file.and_then(Path::extension).and_then(|name| name.to_str());
    let kind = export.format.unwrap_or(match extension {
        Some("json") => Kind::Json,
        _ => Kind::Yaml,
    });
    let listing = match (&export.from, place.provider) {
        (Some(path), _) => from_file(path, From::Auto, place, export.skip_invalid)?,
        (None, Provider::File(format)) => {
            let from = if format == Format::Yaml { From::Yaml } else { From::Json };
            from_file(&place.file, from, place, export.skip_invalid)?
        }
        _ => {
            let decrypt = kind != Kind::Etcd && !export.sealed;
            stored(options, place, decrypt)?
        }
    };
    let text = match kind {
        Kind::Etcd => {
            let listing = readable(listing, export.skip_invalid)?;
            dump::write(&listing, &place.etcd_prefix) + "\n"
        }
        kind => {
            let root = document(listing, export.skip_invalid)?;
            match kind {
                Kind::Yaml => emit::yaml(&root) + "#END\n",
                _ => format!("{:#}\n", Value::Object(root)),
            }
        }
    };
    let written = match file {
        Some(path) => save(path, text.as_bytes()),
        None => io::stdout().write_all(text.as_bytes()),
    };
    let name = file.map_or("standard output".to_owned(), |path| path.display().to_string());
    written.map_err(|error| format!("{name}: {error}"))
}

fn from_file(path: &Path, from: From, place: &Place, skip: bool) -> Result<Listing, String> {
    let loaded = load(path, from, &place.etcd_prefix)?;
    refuse(&loaded.misfits, skip)?;
    let entry = |(key, value): (String, String)| Entry {
        key: key.into(),
        value: value.into(),
        created: 1,
        modified: 1,
    };
    let mut entries: Vec<Entry> = loaded.objects.into_iter().map(entry).collect();
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Listing { entries, revision: 1 })
}

fn stored(options: &Options, place: &Place, decrypt: bool) -> Result<Listing, String> {
    let path = format!("export?decrypt={decrypt}");
    let answer = good(door::ask(options, place, "POST", &path, Vec::new())?)?;
    for key in answer.get("not_decrypted").and_then(Value::as_array).into_iter().flatten() {
        let key = key.as_str().unwrap_or_default();
        complain(&format!(
            "warning: {key}: secrets that this keyring does not decrypt are written as they are stored"
        ));
    }
    let entry = |kv: &Value| {
        let text = |name: &str| kv.get(name)?.as_str();
        let number = |name: &str| kv.get(name)?.as_u64();
        Some(Entry {
            key: text("key")?.into(),
            value: text("value")?.into(),
            created: number("created")?,
            modified: number("modified")?,
        })
    };
    let kvs = answer.get("kvs").and_then(Value::as_array);
    let entries = kvs.and_then(|kvs| kvs.iter().map(entry).collect::<Option<Vec<_>>>());
    let entries = entries.ok_or("the Admin API's answer is no export")?;
    let revision = answer.get("revision").and_then(Value::as_u64).unwrap_or_default();
    Ok(Listing { entries, revision })
}

/// What is text: of other values the store knows only that they are there.
fn readable(mut listing: Listing, skip: bool) -> Result<Listing, String> {
    let misfit = |entry: &Entry| {
        let why = entry.value.strip_prefix(UNREADABLE)?.to_owned();
        Some(Misfit { at: entry.key.to_string(), why })
    };
    let misfits: Vec<Misfit> = listing.entries.iter().filter_map(misfit).collect();
    refuse(&misfits, skip)?;
    listing.entries.retain(|entry| !entry.value.starts_with(UNREADABLE));
    Ok(listing)
}

/// The document of all entries.
fn document(listing: Listing, skip: bool) -> Result<serde_json::Map<String, Value>, String> {
    let (mut objects, mut misfits) = (Vec::new(), Vec::new());
    for entry in listing.entries {
        match serde_json::from_str(&entry.value) {
            Ok(value) => objects.push(Object { key: entry.key.to_string(), value }),
            Err(error) => misfits.push(Misfit {
                at: entry.key.to_string(),
                why: format!("its value is no JSON: {error}"),
            }),
        }
    }
    let (root, more) = bundle::document(objects);
    misfits.extend(more);
    refuse(&misfits, skip)?;
    Ok(root)
}

/// Writes a file whole or not at all, for nobody else: there are secrets in it.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = path.with_file_name(name);
    // What an earlier one left may be readable for others.
    let _ = fs::remove_file(&new);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    let written = written.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        // Half a file is of no use.
        let _ = fs::remove_file(&new);
    }
    done
}
