//! The service that an upstream names instead of nodes.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::upstream::Upstream;

/// What a registry told of a service: the upstream with the service's nodes, or why there are
/// none.
pub type Found = Result<Arc<Upstream>, Arc<str>>;

/// The service that an upstream names instead of nodes; its nodes come and go while the upstream
/// stays as it is. `discovery` looks after what is found, everybody else reads it.
#[derive(Debug)]
pub struct Sought {
    /// `discovery_type`: the registry to ask.
    pub registry: Option<Box<str>>,
    /// `service_name`
    pub service: Box<str>,
    /// `discovery_args`
    pub args: Option<Value>,
    /// `None` until the registry has answered.
    found: ArcSwapOption<Found>,
    /// Whatever keeps the registry looking, for as long as the upstream is there.
    lease: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Sought {
    /// The service that a checked upstream names.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(Box::from);
        Some(Self {
            registry: text("discovery_type"),
            service: text("service_name")?,
            args: value.get("discovery_args").cloned(),
            found: ArcSwapOption::empty(),
            lease: OnceLock::new(),
        })
    }

    /// What is known now; `None` while nobody has answered.
    #[must_use]
    pub fn found(&self) -> Option<Arc<Found>> {
        self.found.load_full()
    }

    /// Whether `upstream` has the nodes that the service has now.
    #[must_use]
    pub fn is_current(&self, upstream: &Arc<Upstream>) -> bool {
        let found = self.found.load();
        matches!(found.as_deref(), Some(Ok(now)) if Arc::ptr_eq(now, upstream))
    }

    /// Lets everybody see what was found.
    pub fn set_found(&self, found: Found) {
        self.found.store(Some(Arc::new(found)));
    }

    /// Whether somebody looks already.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.lease.get().is_some()
    }

    /// Keeps `lease` as long as the upstream; one that comes second is dropped.
    pub fn set_lease(&self, lease: Box<dyn Any + Send + Sync>) {
        // The first one keeps the registry looking just as well.
        let _ = self.lease.set(lease);
    }
}
