//! `moongate plugin`: a new plugin from a template, and what a plugin lacks here.

mod report;
mod tokens;
mod uses;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::process::say;
use crate::control::{self, Options};

/// A plugin that works as it is.
const TEMPLATE: &str = include_str!("template.lua");

/// Writes `<prefix>/plugins/<name>.lua`.
///
/// # Errors
///
/// The name is no plugin name, the file is there already, or cannot be written.
pub(super) fn new(prefix: &Path, name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(good) {
        return Err(format!(
            "\"{name}\" is no plugin name: small letters, digits, - and _, a letter first"
        ));
    }
    let directory = prefix.join("plugins");
    let path = directory.join(format!("{name}.lua"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(&directory)?;
        let mut file = fs::File::create_new(&path)?;
        io::Write::write_all(&mut file, TEMPLATE.replace("NAME", name).as_bytes())
    };
    write().map_err(|error| format!("{}: {error}", path.display()))?;
    say(&format!("{} is written. To use it:", path.display()));
    say(&format!("  conf/config.yaml   moongate: {{add_plugins: [{name}]}}"));
    say(&format!("  conf/apisix.yaml   plugins: {{{name}: {{}}}} in a route"));
    say("then `moongate reload`. From then on every save of the file is taken at once.");
    Ok(())
}

/// Says of each file whether it is a plugin that runs here, and what it lacks.
///
/// # Errors
///
/// How many problems there are, or why nothing could be checked.
pub(super) fn check(options: &Options, files: &[PathBuf]) -> Result<(), String> {
    let named = files.iter().map(|file| identify(file)).collect::<Result<Vec<_>, _>>()?;
    let (vm, _) = control::checking_plugins(options, &named)?;
    let mut errors = 0;
    for ((name, _), file) in named.iter().zip(files) {
        for finding in report::findings(&vm, name, file)? {
            say(&finding.to_string());
            errors += usize::from(finding.is_error);
        }
    }
    match errors {
        0 => Ok(()),
        1 => Err("1 problem".to_owned()),
        errors => Err(format!("{errors} problems")),
    }
}

/// The plugin's name and the directory it is in, as the gateway would see them.
fn identify(file: &Path) -> Result<(String, PathBuf), String> {
    let file = file.canonicalize().map_err(|error| format!("{}: {error}", file.display()))?;
    let plugin = if file.file_name().is_some_and(|name| name == "init.lua") {
        file.parent().unwrap_or(&file).to_path_buf()
    } else if file.extension().is_some_and(|extension| extension == "lua") {
        file.with_extension("")
    } else {
        return Err(format!("{}: a plugin is a .lua file", file.display()));
    };
    let name = plugin.file_name().and_then(|name| name.to_str());
    match (name, plugin.parent()) {
        (Some(name), Some(directory)) => Ok((name.to_owned(), directory.to_path_buf())),
        _ => Err(format!("{}: the name of a plugin is its file's", file.display())),
    }
}

#[cfg(test)]
mod tests;
