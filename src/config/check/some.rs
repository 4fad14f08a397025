//! Single changes laid over a snapshot, as a store tells them one by one. What they cost does
//! not depend on how many objects there are besides.

use std::{collections::HashMap, sync::Arc};

use super::{Applied, Object, PluginChecker, Recheck, Run};
use crate::config::{
    item::Collection,
    raw::{Kind, RawItem},
    snapshot::{Refusal, Snapshot},
};

/// What became of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectChange {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What it is now; `None`: it is gone.
    pub now: Option<RawItem>,
}

/// Whether checks of other kinds depend on objects of this one, so that it comes before them.
#[must_use]
pub fn first(kind: Kind) -> bool {
    matches!(kind, Kind::PluginMetadata | Kind::Protos)
}

/// Lays `changes` over `prev`, in their order. All else stays as it is.
pub fn apply_changes(
    prev: &Snapshot,
    mut changes: Vec<ObjectChange>,
    checker: &mut dyn PluginChecker,
) -> Applied {
    let mut run = Run::new(prev, checker, Recheck::Changed);
    let mut next = prev.clone();
    let touched = changes.iter().map(|change| (change.kind, change.id.clone())).collect();
    // As with a whole document.
    changes.sort_by_key(|change| !first(change.kind));
    let mut refused: Vec<Refusal> = prev.refusals.to_vec();
    let mut changes = changes.into_iter().peekable();
    while let Some(change) = changes.next() {
        let kind = change.kind;
        refused.retain(|refusal| (refusal.kind, &refusal.id) != (kind, &change.id));
        run.lay(&mut next, change);
        if first(kind) && changes.peek().is_none_or(|change| change.kind != kind) {
            match kind {
                Kind::PluginMetadata => run.checker.metadata(&next.plugin_metadata),
                _ => run.checker.protos(&next.protos),
            }
        }
        refused.append(&mut run.refusals);
    }
    if refused != *prev.refusals {
        next.refusals = Arc::new(refused);
        next.version = run.revision;
    }
    if Kind::ALL.into_iter().any(|kind| next.kind_version(kind) != prev.kind_version(kind)) {
        next.version = run.revision;
    }
    Applied { snapshot: next, notices: run.notices, warnings: Vec::new(), touched: Some(touched) }
}

impl<'c> Run<'c> {
    pub(super) fn new(
        prev: &Snapshot,
        checker: &'c mut dyn PluginChecker,
        recheck: Recheck,
    ) -> Self {
        Self {
            checker,
            recheck,
            revision: prev.version + 1,
            memo: HashMap::new(),
            refusals: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn lay(&mut self, next: &mut Snapshot, change: ObjectChange) {
        match change.kind {
            Kind::Routes => self.lay_in(&mut next.routes, change),
            Kind::Services => self.lay_in(&mut next.services, change),
            Kind::Upstreams => self.lay_in(&mut next.upstreams, change),
            Kind::Consumers => self.lay_in(&mut next.consumers, change),
            Kind::PluginConfigs => self.lay_in(&mut next.plugin_configs, change),
            Kind::GlobalRules => self.lay_in(&mut next.global_rules, change),
            Kind::PluginMetadata => self.lay_in(&mut next.plugin_metadata, change),
            Kind::ConsumerGroups => self.lay_in(&mut next.consumer_groups, change),
            Kind::Protos => self.lay_in(&mut next.protos, change),
            Kind::Ssls => self.lay_in(&mut next.ssls, change),
            Kind::StreamRoutes => self.lay_in(&mut next.stream_routes, change),
            Kind::Secrets => self.lay_in(&mut next.secrets, change),
        }
    }

    fn lay_in<T: Object>(&mut self, collection: &mut Collection<T>, change: ObjectChange) {
        let ObjectChange { kind, id, now } = change;
        let Some(now) = now else {
            collection.remove(&id);
            return;
        };
        let before = collection.get(&id).cloned();
        match self.one(kind, now, before.as_ref()) {
            Ok(item) => {
                if !before.is_some_and(|before| Arc::ptr_eq(&before, &item)) {
                    collection.insert(item);
                }
            }
            Err(reason) => {
                let kept = before.is_some();
                self.refusals.push(Refusal { kind, id, line: None, reason, kept });
            }
        }
    }
}

#[cfg(test)]
#[path = "some_tests.rs"]
mod tests;
