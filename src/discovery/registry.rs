//! What a registry is: somebody who is told which services are wanted, and tells their nodes.
//!
//! A registry lives on a thread of its own, in one future ([`Registry::run`]). One that asks for
//! each service in turn leaves the coming and going of services to [`each`]. One that watches a
//! stream of changes keeps the [`Feed`]s it is given and tells each what concerns it.

use std::{collections::HashMap, future::Future, pin::Pin, time::Duration};

use serde_json::Value;
use tokio::{sync::mpsc, task::AbortHandle};

pub use super::service::Feed;

/// The life of a registry.
pub type Life = Pin<Box<dyn Future<Output = ()>>>;

/// A place where services are registered.
pub trait Registry: Send + 'static {
    /// Its key below `discovery` in config.yaml, which is the `discovery_type` of upstreams.
    fn name(&self) -> &'static str;

    /// How long nodes are used after the registry was last heard of; zero: not at all.
    fn stale_max(&self) -> Duration;

    /// Its settings for those who debug, without secrets.
    fn config(&self) -> Value;

    /// Looks after services until the process ends. Runs on a current-thread runtime within a
    /// `LocalSet`; whatever fails is told to the feeds and tried again.
    fn run(self: Box<Self>, services: Services) -> Life;
}

/// Somebody wants a service, or nobody does any more.
#[derive(Debug)]
pub enum Change {
    /// Tell this feed about its service from now on.
    Begin(Feed),
    /// The feed with this [`Feed::id`] is not listened to any more.
    End(u64),
}

/// The services that upstreams want, as they come and go.
#[derive(Debug)]
pub struct Services(pub(super) mpsc::UnboundedReceiver<Change>);

impl Services {
    /// The next change; `None` when the process is about to end.
    pub async fn next(&mut self) -> Option<Change> {
        self.0.recv().await
    }
}

/// Runs `look_after` for each service that is wanted, until nobody wants it.
pub async fn each<F, L>(mut services: Services, look_after: F)
where
    F: Fn(Feed) -> L,
    L: Future<Output = ()> + 'static,
{
    let mut tasks: HashMap<u64, AbortHandle> = HashMap::new();
    while let Some(change) = services.next().await {
        match change {
            Change::Begin(feed) => {
                let id = feed.id();
                let task = tokio::task::spawn_local(look_after(feed));
                tasks.insert(id, task.abort_handle());
            }
            Change::End(id) => {
                if let Some(task) = tasks.remove(&id) {
                    task.abort();
                }
            }
        }
    }
}
