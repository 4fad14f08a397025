//! What the Admin API asks of plugins' code, answered by the control thread's VM.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Checker, Control, Event};
use crate::{
    admin::judge::{Facts, Judge, Later, PluginFacts, Question},
    config::check::Verdict,
    log::error_log::Level,
    log_at,
    lua::Vm,
};

/// How long an answer may take: a reload of all code may be on its way.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a reload may take.
const RELOAD: Duration = Duration::from_secs(120);

/// Asks the control thread.
pub(super) struct Asker {
    events: Mutex<mpsc::Sender<Event>>,
    facts: Arc<ArcSwap<Facts>>,
}

impl Asker {
    pub(super) fn new(events: &mpsc::Sender<Event>, facts: &Arc<ArcSwap<Facts>>) -> Self {
        Self { events: Mutex::new(events.clone()), facts: Arc::clone(facts) }
    }

    fn send(&self, event: Event) -> Result<(), String> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.send(event).map_err(|_| "shutting down".to_owned())
    }
}

async fn wait<T>(time: Duration, answer: oneshot::Receiver<T>) -> Result<T, String> {
    match tokio::time::timeout(time, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("shutting down".to_owned()),
        Err(_) => Err("the control thread takes too long".to_owned()),
    }
}

impl Judge for Asker {
    fn check(&self, questions: Vec<Question>) -> Later<'_, Result<Vec<Verdict>, String>> {
        Box::pin(async move {
            if questions.is_empty() {
                return Ok(Vec::new());
            }
            let (answer, verdicts) = oneshot::channel();
            self.send(Event::Judge(questions, answer))?;
            wait(ANSWER, verdicts).await
        })
    }

    fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    fn reload_plugins(&self) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let (answer, outcome) = oneshot::channel();
            self.send(Event::AdminReload(answer))?;
            wait(RELOAD, outcome).await?
        })
    }
}

impl Control {
    pub(super) fn judge(&self, questions: Vec<Question>) -> Vec<Verdict> {
        let mut checker = Checker { vm: &self.vm, local: &self.local };
        questions.into_iter().map(|question| question.answer(&mut checker)).collect()
    }

    /// Tells the Admin API what is loaded now.
    pub(super) fn tell_facts(&self) {
        self.facts.store(Arc::new(facts(&self.vm)));
    }
}

/// What is known of the plugins of a VM.
pub(super) fn facts(vm: &Vm) -> Facts {
    let describe = |name: &str| match vm.describe(name) {
        Ok(described) => Some(plugin(name, &described)),
        Err(why) => {
            log_at!(Level::Warn, "plugin {name} cannot be described: {why}");
            None
        }
    };
    let http = vm.loaded.iter().filter_map(|loaded| describe(&loaded.name)).collect();
    Facts { http, ..Facts::default() }
}

fn plugin(name: &str, described: &Value) -> PluginFacts {
    let of = |key: &str| described.get(key).filter(|value| !value.is_null()).cloned();
    let text = |key: &str| of(key).and_then(|value| value.as_str().map(str::to_owned));
    PluginFacts {
        name: name.to_owned(),
        priority: of("priority").unwrap_or_default(),
        version: of("version").unwrap_or_default(),
        kind: text("type"),
        scope: text("scope"),
        schema: of("schema").unwrap_or_default(),
        consumer_schema: of("consumer_schema"),
        metadata_schema: of("metadata_schema"),
    }
}
