//! Plugin code that was tried, and what became of it: for `/v1/plugins/generations`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    clock,
    lua::loader::{Generation, OnDisk},
};

/// Code that was loaded in order to serve.
#[derive(Debug)]
pub(super) struct Try {
    /// The number of the generation.
    pub(super) id: u64,
    /// When, in seconds since 1970.
    pub(super) at: u64,
    /// Milliseconds that it took.
    pub(super) took_ms: u64,
    /// Its files on disk; all others are in the binary.
    files: Vec<OnDisk>,
    /// Those that are not as in the generation before.
    changed: Vec<String>,
    /// What became of it.
    pub(super) outcome: Outcome,
}

/// What became of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It serves, or did so until newer code came.
    Served,
    /// It did not get through the checks.
    Refused(String),
    /// It served, and was taken back.
    RolledBack(String),
}

impl Try {
    /// `generation`, tried just now; `before` served until then.
    pub(super) fn new(
        generation: &Generation,
        before: Option<&Generation>,
        took_ms: u64,
        outcome: Outcome,
    ) -> Self {
        let changed = before.map(|before| generation.changed_since(before)).unwrap_or_default();
        Self {
            id: generation.id,
            at: clock::wall().as_secs(),
            took_ms,
            files: generation.on_disk(),
            changed: changed.keys().map(|path| path.display().to_string()).collect(),
            outcome,
        }
    }

    /// As the Control API shows it; VMs of the generations `held` are alive.
    pub(super) fn shown(&self, serving: u64, held: &BTreeSet<u64>) -> Value {
        let (state, error) = match &self.outcome {
            Outcome::Served if self.id == serving => ("serving", None),
            Outcome::Served if held.contains(&self.id) => ("draining", None),
            Outcome::Served => ("ended", None),
            Outcome::Refused(why) => ("refused", Some(why)),
            Outcome::RolledBack(why) => ("rolled_back", Some(why)),
        };
        json!({
            "generation": self.id,
            "state": state,
            "time": self.at,
            "took_ms": self.took_ms,
            "error": error,
            "place": error.and_then(|why| place(why)),
            "changed": self.changed,
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
        })
    }
}

fn file(file: &OnDisk) -> Value {
    json!({
        "path": file.path.display().to_string(),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "mtime": file.mtime,
    })
}

/// The last `file.lua:line` in the first line of a message: those before it are who loaded it.
fn place(message: &str) -> Option<&str> {
    let line = message.lines().next()?;
    let dot = line.rfind(".lua:")?;
    let digits = dot + ".lua:".len();
    let count = line[digits..].bytes().take_while(u8::is_ascii_digit).count();
    let blank = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | '[');
    let start = line[..dot].rfind(blank).map_or(0, |at| at + 1);
    (count > 0).then(|| line.get(start..digits + count)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_its_file_and_line() {
        let long = "plugin a does not load: error loading '/p/plugins/a.lua:7: x near end";
        assert_eq!(place(long), Some("/p/plugins/a.lua:7"));
        assert_eq!(place("plugins/a.lua:12: attempt to"), Some("plugins/a.lua:12"));
        let through = "lua/moongate/plugins.lua:72: syntax error: /p/b.lua:16: unexpected";
        assert_eq!(place(through), Some("/p/b.lua:16"));
        assert_eq!(place("plugins/a.lua: gone"), None);
        assert_eq!(place("nothing of that kind"), None);
    }

    #[test]
    fn the_state_is_that_of_its_vms() {
        let try_of = |outcome| {
            let generation = Generation::new(3, crate::lua::loader::Places::default());
            Try::new(&generation, None, 1, outcome)
        };
        let state = |outcome, serving, held: &[u64]| {
            let shown = try_of(outcome).shown(serving, &held.iter().copied().collect());
            shown["state"].as_str().map(str::to_owned).unwrap()
        };
        assert_eq!(state(Outcome::Served, 3, &[3]), "serving");
        assert_eq!(state(Outcome::Served, 4, &[3, 4]), "draining");
        assert_eq!(state(Outcome::Served, 4, &[4]), "ended");
        assert_eq!(state(Outcome::Refused("x".into()), 4, &[4]), "refused");
        assert_eq!(state(Outcome::RolledBack("x".into()), 2, &[2, 3]), "rolled_back");
    }
}
