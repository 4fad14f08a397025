//! What is to be said about one plugin.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use super::uses::{Name, Needed, uses};
use crate::lua::{Vm, loader::PLUGIN_PREFIX};

/// A sentence about a plugin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    file: String,
    lines: Vec<usize>,
    text: String,
    /// Whether the plugin will not work because of it.
    pub(super) is_error: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(first) = self.lines.first() {
            write!(f, "{first}:")?;
        }
        let kind = if self.is_error { "error: " } else { "" };
        write!(f, " {kind}{}", self.text)?;
        if let Some((_, more @ [_, ..])) = self.lines.split_first() {
            let more: Vec<String> = more.iter().map(ToString::to_string).collect();
            write!(f, " (also in {})", more.join(", "))?;
        }
        Ok(())
    }
}

struct Report<'v> {
    vm: &'v Vm,
    findings: Vec<Finding>,
}

/// Everything about plugin `name`, which is in `file` and which `vm` tried to load.
///
/// # Errors
///
/// When the VM cannot be asked.
pub(super) fn findings(vm: &Vm, name: &str, file: &Path) -> Result<Vec<Finding>, String> {
    let mut report = Report { vm, findings: Vec::new() };
    let shown = file.display().to_string();
    match vm.broken.iter().find(|(broken, _)| broken == name) {
        Some((_, reason)) => {
            // The first position is that of the loader, the rest where else it was looked for.
            let text = reason.rsplit("syntax error: ").next().unwrap_or_default();
            let text = text.lines().next().unwrap_or_default().trim_end_matches(':');
            report.add(&shown, [], true, format!("does not load: {text}"));
        }
        None => report.loaded(name, &shown)?,
    }
    report.needs(name, &shown)?;
    if !report.findings.iter().any(|finding| finding.is_error) {
        report.add(&shown, [], false, "ok".to_owned());
    }
    Ok(report.findings)
}

impl Report<'_> {
    fn add(
        &mut self,
        file: &str,
        lines: impl IntoIterator<Item = usize>,
        is_error: bool,
        text: String,
    ) {
        let lines = lines.into_iter().collect();
        self.findings.push(Finding { file: file.to_owned(), lines, text, is_error });
    }

    /// Shape, order and schemas of a plugin that loaded.
    fn loaded(&mut self, name: &str, file: &str) -> Result<(), String> {
        let shape = self.vm.probe("shape", &[name])?;
        let Some((version, phases)) = shape.split_first() else { return Ok(()) };
        let own = self.vm.loaded.iter().find(|plugin| &*plugin.name == name);
        let priority = own.map_or(0.0, |plugin| plugin.priority);
        let phases = if phases.is_empty() { "no phase".to_owned() } else { phases.join(", ") };
        let text = format!("plugin {name}, version {version}, priority {priority}: {phases}");
        self.add(file, [], false, text);
        for other in &self.vm.loaded {
            if &*other.name != name && (other.priority - priority).abs() < f64::EPSILON {
                let text = format!(
                    "priority {priority} is that of {} too: they run in the order of their names",
                    other.name
                );
                self.add(file, [], false, text);
            }
        }
        for problem in self.vm.probe("schemas", &[name])? {
            self.add(file, [], true, problem);
        }
        Ok(())
    }

    /// What the plugin's file, and every file outside of moongate that it requires, needs.
    fn needs(&mut self, plugin: &str, file: &str) -> Result<(), String> {
        let mut waiting = vec![format!("{PLUGIN_PREFIX}{plugin}")];
        let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
        while let Some(module) = waiting.pop() {
            let Some(source) = self.vm.generation.find_on_disk(&module)? else { continue };
            let shown = if waiting.is_empty() && seen.len() == 1 { file } else { &source.name };
            let found = uses(&String::from_utf8_lossy(&source.text));
            for (required, needed) in &found.modules {
                self.module(shown, required, needed)?;
                if seen.insert(required.clone()) {
                    waiting.push(required.clone());
                }
            }
            self.names(shown, &found.names)?;
        }
        Ok(())
    }

    fn lacks(&mut self, file: &str, what: &str, needed: &Needed) {
        let rest = if needed.optional { "; the plugin may do without" } else { "" };
        let text = format!("moongate has no {what}{rest}");
        self.add(file, needed.lines.iter().copied(), !needed.optional, text);
    }

    fn module(&mut self, file: &str, module: &str, needed: &Needed) -> Result<(), String> {
        let answer = self.vm.probe("module", &[module])?;
        match (answer.first().map(String::as_str), answer.get(1)) {
            (Some("broken"), Some(why)) => {
                let text = format!("module {module} does not load: {why}");
                self.add(file, needed.lines.iter().copied(), true, text);
            }
            (Some("no"), _) => self.lacks(file, &format!("module {module}"), needed),
            _ => {}
        }
        Ok(())
    }

    fn names(&mut self, file: &str, names: &BTreeMap<Name, Needed>) -> Result<(), String> {
        for (name, needed) in names {
            let module = name.module.as_deref().unwrap_or_default();
            // What a file outside of moongate lacks is not moongate's to tell.
            if !module.is_empty() && self.vm.generation.find_on_disk(module)?.is_some() {
                continue;
            }
            let fields = name.fields.iter().map(String::as_str);
            let args: Vec<&str> = std::iter::once(module).chain(fields).collect();
            let answer = self.vm.probe("name", &args)?;
            let shown = args[usize::from(module.is_empty())..].join(".");
            let shown = shown.strip_prefix("apisix.").unwrap_or(&shown);
            match (answer.first().map(String::as_str), answer.get(1)) {
                (Some("no"), _) if shown.starts_with("ngx.shared.") => {
                    let what = format!("{shown} (nginx_config.http.custom_lua_shared_dict)");
                    self.lacks(file, &what, needed);
                }
                (Some("no"), _) => self.lacks(file, shown, needed),
                (Some("nowhere"), _) => {
                    let text = format!("{shown} is nil, as it is in APISIX");
                    self.add(file, needed.lines.iter().copied(), false, text);
                }
                (Some("raises"), Some(why)) => {
                    self.add(file, needed.lines.iter().copied(), !needed.optional, why.clone());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
