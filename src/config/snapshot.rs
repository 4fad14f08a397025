//! The whole configuration at one moment. Immutable; workers hold it behind an `Arc`.

use std::sync::Arc;

use super::{
    consumer::Consumer,
    item::Collection,
    plugin::{Kept, PluginSet},
    raw::{EnabledPlugin, Kind},
    route::Route,
    service::Service,
    upstream::Upstream,
};

/// An object that is not used as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Line where it begins, where known.
    pub line: Option<usize>,
    /// Why.
    pub reason: String,
    /// Whether its last valid version stays in use; otherwise there is none.
    pub kept: bool,
}

/// Something about an object that refuses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What to tell.
    pub text: String,
}

/// Everything the gateway serves by. Cheap to clone; clones share what is equal.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "one collection per kind")]
pub struct Snapshot {
    /// Raised by every change.
    pub version: u64,
    pub routes: Collection<Route>,
    pub services: Collection<Service>,
    pub upstreams: Collection<Arc<Upstream>>,
    pub consumers: Collection<Consumer>,
    pub plugin_configs: Collection<PluginSet>,
    pub global_rules: Collection<PluginSet>,
    pub plugin_metadata: Collection<Kept>,
    pub consumer_groups: Collection<PluginSet>,
    pub protos: Collection<Kept>,
    pub ssls: Collection<Kept>,
    pub stream_routes: Collection<Kept>,
    pub secrets: Collection<Kept>,
    /// The list of enabled plugins, if the objects' source has one; otherwise that of
    /// `config.yaml` counts.
    pub plugins: Option<Arc<Vec<EnabledPlugin>>>,
    /// Objects of the current source that are not used as written.
    pub refusals: Arc<Vec<Refusal>>,
}

impl Snapshot {
    /// The upstreams of routes and services, and those by themselves, each with the key of its
    /// object.
    pub fn each_upstream(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Upstream>)> {
        let routes = self.routes.iter();
        let routes = routes.filter_map(|item| Some((&item.key, item.typed.upstream.as_ref()?)));
        let services = self.services.iter();
        let services = services.filter_map(|item| Some((&item.key, item.typed.upstream.as_ref()?)));
        let upstreams = self.upstreams.iter().map(|item| (&item.key, &item.typed));
        routes.chain(services).chain(upstreams)
    }

    /// The upstream that one object has or is, with the object's key.
    #[must_use]
    pub fn upstream_of(&self, kind: Kind, id: &str) -> Option<(&Arc<str>, &Arc<Upstream>)> {
        match kind {
            Kind::Routes => {
                let item = self.routes.get(id)?;
                Some((&item.key, item.typed.upstream.as_ref()?))
            }
            Kind::Services => {
                let item = self.services.get(id)?;
                Some((&item.key, item.typed.upstream.as_ref()?))
            }
            Kind::Upstreams => self.upstreams.get(id).map(|item| (&item.key, &item.typed)),
            _ => None,
        }
    }

    /// The version of one collection.
    #[must_use]
    pub fn kind_version(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Routes => self.routes.version,
            Kind::Services => self.services.version,
            Kind::Upstreams => self.upstreams.version,
            Kind::Consumers => self.consumers.version,
            Kind::PluginConfigs => self.plugin_configs.version,
            Kind::GlobalRules => self.global_rules.version,
            Kind::PluginMetadata => self.plugin_metadata.version,
            Kind::ConsumerGroups => self.consumer_groups.version,
            Kind::Protos => self.protos.version,
            Kind::Ssls => self.ssls.version,
            Kind::StreamRoutes => self.stream_routes.version,
            Kind::Secrets => self.secrets.version,
        }
    }

    /// The ids of all objects of one kind.
    #[must_use]
    pub fn kind_ids(&self, kind: Kind) -> Vec<Arc<str>> {
        fn ids<T>(collection: &Collection<T>) -> Vec<Arc<str>> {
            collection.iter().map(|item| Arc::clone(&item.id)).collect()
        }
        match kind {
            Kind::Routes => ids(&self.routes),
            Kind::Services => ids(&self.services),
            Kind::Upstreams => ids(&self.upstreams),
            Kind::Consumers => ids(&self.consumers),
            Kind::PluginConfigs => ids(&self.plugin_configs),
            Kind::GlobalRules => ids(&self.global_rules),
            Kind::PluginMetadata => ids(&self.plugin_metadata),
            Kind::ConsumerGroups => ids(&self.consumer_groups),
            Kind::Protos => ids(&self.protos),
            Kind::Ssls => ids(&self.ssls),
            Kind::StreamRoutes => ids(&self.stream_routes),
            Kind::Secrets => ids(&self.secrets),
        }
    }

    /// How many objects of one kind there are.
    #[must_use]
    pub fn kind_len(&self, kind: Kind) -> usize {
        match kind {
            Kind::Routes => self.routes.len(),
            Kind::Services => self.services.len(),
            Kind::Upstreams => self.upstreams.len(),
            Kind::Consumers => self.consumers.len(),
            Kind::PluginConfigs => self.plugin_configs.len(),
            Kind::GlobalRules => self.global_rules.len(),
            Kind::PluginMetadata => self.plugin_metadata.len(),
            Kind::ConsumerGroups => self.consumer_groups.len(),
            Kind::Protos => self.protos.len(),
            Kind::Ssls => self.ssls.len(),
            Kind::StreamRoutes => self.stream_routes.len(),
            Kind::Secrets => self.secrets.len(),
        }
    }
}
