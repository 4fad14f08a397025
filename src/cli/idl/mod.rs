//! `moongate idl`: interface descriptions at the shell, for those who write or debug them.

mod call;
mod files;

use std::path::PathBuf;

use clap::Subcommand;

use super::process::say;
use crate::codec::{
    registry::{PROTOCOLS, Source},
    tars, trpc,
};

/// What can be done with interface descriptions.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Says what is wrong with files, each with file, line and column.
    Check {
        /// .tars or .proto files; what they include is read, too.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// A folder with included files; those beside a file are found without.
        #[arg(short = 'I', long = "include")]
        folders: Vec<PathBuf>,
    },
    /// Calls a function of a server with JSON and prints its answer as JSON.
    Call(call::Call),
}

/// Does it.
///
/// # Errors
///
/// What was wrong; what was wrong with a file is printed already.
pub(super) fn run(verb: &Verb) -> Result<(), String> {
    match verb {
        Verb::Check { files, folders } => check(files, folders),
        Verb::Call(call) => call::run(call),
    }
}

fn check(files: &[PathBuf], folders: &[PathBuf]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for file in files {
        let read = files::read(std::slice::from_ref(file), folders)?;
        let sources = files::sources(&read);
        for line in problems(&sources) {
            // Two files may include the same broken one.
            if !wrong.contains(&line) {
                say(&line);
                wrong.push(line);
            }
        }
    }
    match wrong.len() {
        0 => Ok(()),
        1 => Err("1 problem".to_owned()),
        count => Err(format!("{count} problems")),
    }
}

/// What is wrong with the first of `sources`, which includes the others.
fn problems(sources: &[Source<'_>]) -> Vec<String> {
    let Some(first) = sources.first() else { return Vec::new() };
    if first.name.ends_with(tars::PROTOCOL.suffix) {
        let errors = tars::idl::Schema::compile(sources).err().unwrap_or_default();
        return errors.iter().map(ToString::to_string).collect();
    }
    if first.name.ends_with(trpc::PROTOCOL.suffix) {
        let error = trpc::schema::Schema::compile(sources).err();
        return error.into_iter().collect();
    }
    let known: Vec<&str> = PROTOCOLS.iter().map(|protocol| protocol.suffix).collect();
    vec![format!("{}: expected a file of type {}", first.name, known.join(", "))]
}

#[cfg(test)]
mod tests;
