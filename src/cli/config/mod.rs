//! `moongate config`: earlier revisions of the stored objects, and moving them in and out.

mod door;
mod files;
mod show;

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use self::door::Asked;
use super::process::{complain, say};
use crate::{
    config::{local::Format, provider::Provider},
    control::{self, Options},
};

/// The running gateway is asked by its Admin API, with the key that config.yaml or data/admin.key
/// has; where none runs, the store is opened by this command.
#[derive(Debug, Args)]
pub(super) struct Config {
    /// Has the running gateway hand its store over while this command works. Its Admin API answers
    /// 503 meanwhile; then it opens the store again.
    #[arg(long, global = true)]
    takeover: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows who changed what, the newest revision first.
    History {
        /// Revisions to show.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows what differs between two revisions, or between one and now.
    Diff {
        /// The revision to begin with.
        from: u64,
        /// The other one; now if there is none.
        to: Option<u64>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Brings all objects back to how they were at a revision, as a new revision.
    Rollback {
        /// The revision.
        to: u64,
    },
    /// Writes all objects into a file, secrets included.
    Export(Export),
    /// Reads objects from a file, checks all of them, and stores them.
    Import(Import),
}

/// A kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// conf/apisix.yaml, which ends with #END.
    Yaml,
    /// conf/apisix.json.
    Json,
    /// What `etcdctl get --prefix /apisix -w json` prints.
    Etcd,
}

/// What an import reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// By the text.
    Auto,
    /// conf/apisix.yaml.
    Yaml,
    /// conf/apisix.json.
    Json,
    /// What `etcdctl get --prefix /apisix` prints, with or without `-w json`.
    EtcdDump,
}

#[derive(Debug, Args)]
struct Export {
    /// By the name of FILE where nothing is said, else yaml.
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Takes the objects from this file instead of the store.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Leaves secrets in yaml and json encrypted. A gateway that serves the file takes them as they
    /// are, so this is for an import with --sealed.
    #[arg(long)]
    sealed: bool,
    /// Leaves out what the format cannot hold, instead of refusing.
    #[arg(long)]
    skip_invalid: bool,
    /// Where to; standard output if it is not there or is `-`.
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Import {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// What it is.
    #[arg(long, value_enum, default_value = "auto")]
    from: From,
    /// What the keys of a dump begin with, if it is not deployment.etcd.prefix.
    #[arg(long, value_name = "PREFIX")]
    etcd_prefix: Option<String>,
    /// Checks everything and stores nothing.
    #[arg(long)]
    dry_run: bool,
    /// Objects that are not in the file go.
    #[arg(long, conflicts_with = "merge")]
    replace: bool,
    /// Objects that are not in the file stay.
    #[arg(long)]
    merge: bool,
    /// Leaves out what is wrong, instead of refusing all.
    #[arg(long)]
    skip_invalid: bool,
    /// Secrets in yaml and json are encrypted already, as `export --sealed` leaves them.
    #[arg(long)]
    sealed: bool,
}

/// Does what the command line asks for.
///
/// # Errors
///
/// What was refused, or cannot be read.
pub(super) fn run(config: &Config, options: &Options) -> Result<(), String> {
    let options = Options { takeover: config.takeover, ..options.clone() };
    let place = control::place(&options)?;
    match &config.verb {
        Verb::Export(export) => return files::export(export, &options, &place),
        Verb::Import(import) => return run_import(import, &options, &place),
        _ if place.provider != Provider::Embedded => return Err(no_history(&place)),
        _ => {}
    }
    let ask = |method: &str, path: &str| door::ask(&options, &place, method, path, Vec::new());
    match &config.verb {
        Verb::History { limit, json } => {
            let answer = good(ask("GET", &format!("history?limit={limit}"))?)?;
            print(*json, &answer, show::history);
        }
        Verb::Diff { from, to, json } => {
            let to = to.map(|to| format!("&to={to}")).unwrap_or_default();
            let answer = good(ask("GET", &format!("diff?from={from}{to}"))?)?;
            print(*json, &answer, show::diff);
        }
        Verb::Rollback { to } => {
            let answer = good(ask("POST", &format!("rollback?to={to}"))?)?;
            let of = |name: &str| answer.get(name).cloned().unwrap_or_default();
            let (changed, revision) = (of("changed"), of("revision"));
            say(&format!("{changed} keys are as at revision {to}, in revision {revision}"));
        }
        Verb::Export(_) | Verb::Import(_) => {}
    }
    Ok(())
}

fn print(json: bool, answer: &Value, text: fn(&Value) -> String) {
    let text = if json { format!("{answer:#}\n") } else { text(answer) };
    // A closed pipe is no reason to fail.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The answer, if it is a good one; else what is wrong, object by object.
fn good((status, answer): Asked) -> Result<Value, String> {
    if status == 200 {
        return Ok(answer);
    }
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    for wrong in answer.get("errors").and_then(Value::as_array).into_iter().flatten() {
        complain(&format!("{}: {}", text(wrong, "key"), text(wrong, "error")));
    }
    let mut message = text(&answer, "error_msg");
    let description = text(&answer, "description");
    if !description.is_empty() {
        message = format!("{message}: {description}");
    }
    if message.is_empty() {
        message = format!("the Admin API answered {status}");
    }
    Err(message)
}

fn no_history(place: &control::Place) -> String {
    let (provider, why) = (place.provider, &place.why);
    let instead = match provider {
        Provider::Etcd => {
            "etcd keeps earlier values itself until it is compacted: \
             `etcdctl get --prefix /apisix --rev REV -w json`, and `moongate config import --replace`"
        }
        _ => "a file has the history that you keep of it, such as git's",
    };
    format!(
        "the objects are with config_provider {provider} ({why}), which has no history of moongate: \
         {instead}"
    )
}

fn run_import(import: &Import, options: &Options, place: &control::Place) -> Result<(), String> {
    if let Provider::File(format) = place.provider {
        let (provider, path) = (place.provider, place.file.display());
        let name = if format == Format::Yaml { "yaml" } else { "json" };
        return Err(format!(
            "the objects are with config_provider {provider} ({}): write the file instead, \
             `moongate config export --from FILE --format {name} {path}`",
            place.why
        ));
    }
    let prefix = import.etcd_prefix.as_deref().unwrap_or(&place.etcd_prefix);
    let loaded = files::load(&import.file, import.from, prefix)?;
    files::refuse(&loaded.misfits, import.skip_invalid)?;
    if loaded.objects.is_empty() {
        return Err(format!("{} holds no objects", import.file.display()));
    }
    let mut query = String::from("import?");
    let plain = loaded.plain && !import.sealed;
    for (name, set) in [
        ("mode=merge", import.merge),
        ("mode=replace", import.replace),
        ("dry_run=true", import.dry_run),
        ("skip_invalid=true", import.skip_invalid),
        ("plain=true", plain),
    ] {
        if set {
            query.push_str(name);
            query.push('&');
        }
    }
    let body = json!({"objects": loaded.objects}).to_string().into_bytes();
    let asked = door::ask(options, place, "POST", query.trim_end_matches(['&', '?']), body)?;
    let mut answer = good(asked);
    if let Err(error) = &mut answer
        && error.contains("whether to merge or to replace")
    {
        error.push_str(" (--merge, --replace)");
    }
    show::imported(&answer?, import.dry_run);
    Ok(())
}
