//! What a VM remembers of merges and upstreams that requests ask for again and again.

use std::{rc::Rc, sync::Arc};

use super::vm::Vm;
use crate::config::{
    Item, Snapshot,
    consumer::Consumer,
    merge::{self, MissingReference},
    runs::Matched,
    upstream::Upstream,
};

/// Merges of routes with consumers that a VM remembers.
const CONSUMER_MERGES_MAX: usize = 10_000;

/// Upstreams made by plugins that a VM remembers.
const MADE_UPSTREAMS_MAX: usize = 10_000;

/// A route merged with a consumer. Holds the route, so its address is not given to another.
pub(super) struct ConsumerMerge {
    route: Rc<Matched>,
    /// Address of the consumer's group.
    group: Option<usize>,
    result: Option<Rc<Matched>>,
}

impl Vm {
    /// A route with its consumer, merged once while neither changed: plans are kept by it.
    /// `None` if the consumer brings no plugin.
    ///
    /// # Errors
    ///
    /// The consumer's group does not exist.
    pub(crate) fn with_consumer(
        &self,
        matched: &Rc<Matched>,
        consumer: &Arc<Item<Consumer>>,
        snapshot: &Snapshot,
    ) -> Result<Option<Rc<Matched>>, MissingReference> {
        let key = (Rc::as_ptr(matched) as usize, Arc::as_ptr(consumer) as usize);
        let group =
            consumer.typed.group_id.as_ref().and_then(|id| snapshot.consumer_groups.get(id));
        let group = group.map(|group| Arc::as_ptr(group) as usize);
        let mut known = self.with_consumer.borrow_mut();
        if let Some(merge) = known.get(&key)
            && Rc::ptr_eq(&merge.route, matched)
            && merge.group == group
        {
            return Ok(merge.result.clone());
        }
        let merged = merge::merge_consumer(&matched.merged, consumer, snapshot)?;
        let result = merged.changed_by_consumer().then(|| Rc::new(Matched::from(merged)));
        if known.len() >= CONSUMER_MERGES_MAX {
            known.clear();
        }
        let merge = ConsumerMerge { route: Rc::clone(matched), group, result: result.clone() };
        known.insert(key, merge);
        Ok(result)
    }

    /// Forgets merges of routes that nobody else remembers.
    pub(super) fn sweep_merges(&self) {
        self.with_consumer.borrow_mut().retain(|_, merge| Rc::strong_count(&merge.route) > 1);
    }

    /// The upstream a plugin made under `key` before.
    pub(crate) fn made_upstream(&self, key: &str) -> Option<Arc<Upstream>> {
        self.upstreams.borrow().get(key).cloned()
    }

    /// Keeps an upstream a plugin made, so that its balancer state survives the request.
    pub(crate) fn remember_upstream(&self, key: &str, upstream: &Arc<Upstream>) {
        let mut upstreams = self.upstreams.borrow_mut();
        if upstreams.len() >= MADE_UPSTREAMS_MAX {
            upstreams.clear();
        }
        upstreams.insert(key.to_owned(), Arc::clone(upstream));
    }
}
