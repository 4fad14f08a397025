//! The resources of the Admin API, as data: what each is called, what may be done with it, what is
//! checked when it is written and who may refer to it when it is deleted.

use crate::config::check::SchemaType;

/// How a resource gets its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// From the path, or from `id` in the body.
    Id,
    /// From `username` in the body.
    Username,
    /// From the path: the name of a plugin.
    Plugin,
    /// From the path: manager and id.
    Manager,
}

/// Which part of an object is an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Inline,
}

/// A field that holds the id of another object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) field: &'static str,
    pub(super) collection: &'static str,
    /// What messages call it.
    pub(super) word: &'static str,
}

/// One step of a check. They are done in order, and the first that finds something ends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not both of these fields.
    OneOf(&'static str, &'static str),
    Schema,
    Upstream(Part),
    Exists(Reference),
    /// The name in the path, if there is one, is the name in the body.
    Username,
    /// Each configuration in `plugins`; the second is what the message begins with.
    Plugins(SchemaType, &'static str),
    /// All of `plugins` identify consumers.
    OnlyAuth,
    /// No other consumer has the same key.
    UniqueKeys,
    Vars,
    FilterFunc,
    Script,
    /// No other global rule has one of the plugins.
    NoOverlap,
    Metadata,
    Certificates,
    Content,
    Superior,
    Stream,
    Manager,
}

/// How an object refers to another.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// This field of the object is the id.
    Field(&'static str),
    /// `upstream_id` of a `traffic-split` rule.
    TrafficSplit,
    /// `proto_id` of `grpc-transcode`.
    Transcode,
    /// `protocol.superior_id`.
    Superior,
}

/// Who may refer to an object, and what a refusal to delete it says about that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) collection: &'static str,
    pub(super) link: Link,
    /// The sentence up to the id in brackets.
    pub(super) before: &'static str,
    /// The sentence after it.
    pub(super) after: &'static str,
}

/// A kind of object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// In paths and keys.
    pub(super) name: &'static str,
    /// In messages.
    pub(super) kind: &'static str,
    /// Its schema's name; managers of secrets have one each, metadata of plugins theirs.
    pub(super) schema: Option<&'static str>,
    pub(super) naming: Naming,
    /// What its collection is part of: `consumers` of credentials.
    pub(super) parent: Option<&'static str>,
    /// What is deleted with it.
    pub(super) child: Option<&'static str>,
    pub(super) post: bool,
    pub(super) patch: bool,
    pub(super) steps: &'static [Step],
    pub(super) holders: &'static [Holder],
    /// Fields that `?filter=` knows.
    pub(super) filters: &'static [&'static str],
    /// Fields that no answer has.
    pub(super) hidden: &'static [&'static str],
    /// Which schema its `plugins` fit.
    pub(super) plugins: SchemaType,
    /// Dotted paths of texts that are secrets but no plugin's.
    pub(super) secrets: &'static [&'static str],
}

const STILL: &str = "is still using it now";

const fn exists(field: &'static str, collection: &'static str, word: &'static str) -> Step {
    Step::Exists(Reference { field, collection, word })
}

const UPSTREAM_ID: Step = exists("upstream_id", "upstreams", "upstream");
const SERVICE_ID: Step = exists("service_id", "services", "service");
const PLUGIN_CONFIG_ID: Step = exists("plugin_config_id", "plugin_configs", "plugin config");
const GROUP_ID: Step = exists("group_id", "consumer_groups", "consumer group");
const PLUGINS: Step = Step::Plugins(SchemaType::Plugin, "");
const CONSUMER_PLUGINS: Step =
    Step::Plugins(SchemaType::Consumer, "invalid plugins configuration: ");

const fn holder(
    collection: &'static str,
    link: Link,
    before: &'static str,
    after: &'static str,
) -> Holder {
    Holder { collection, link, before, after }
}

const fn split(collection: &'static str, before: &'static str) -> Holder {
    holder(collection, Link::TrafficSplit, before, STILL)
}

/// What most resources have in common.
const PLAIN: Resource = Resource {
    name: "",
    kind: "",
    schema: None,
    naming: Naming::Id,
    parent: None,
    child: None,
    post: true,
    patch: true,
    steps: &[Step::Schema],
    holders: &[],
    filters: &[],
    hidden: &[],
    plugins: SchemaType::Plugin,
    secrets: &[],
};

/// All resources.
pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        name: "routes",
        kind: "route",
        schema: Some("route"),
        steps: &[
            Step::OneOf("host", "hosts"),
            Step::OneOf("remote_addr", "remote_addrs"),
            Step::Schema,
            Step::Upstream(Part::Inline),
            UPSTREAM_ID,
            SERVICE_ID,
            PLUGIN_CONFIG_ID,
            PLUGINS,
            Step::Vars,
            Step::FilterFunc,
            Step::Script,
        ],
        filters: &["service_id", "upstream_id"],
        secrets: &["upstream.tls.client_key"],
        ..PLAIN
    },
    Resource {
        name: "services",
        kind: "service",
        schema: Some("service"),
        child: Some("graphql_cost_decorations"),
        steps: &[Step::Schema, Step::Upstream(Part::Inline), UPSTREAM_ID, PLUGINS, Step::Script],
        holders: &[
            holder(
                "routes",
                Link::Field("service_id"),
                "can not delete this service directly, route",
                STILL,
            ),
            holder(
                "stream_routes",
                Link::Field("service_id"),
                "can not delete this service directly, stream_route",
                STILL,
            ),
        ],
        secrets: &["upstream.tls.client_key"],
        ..PLAIN
    },
    Resource {
        name: "upstreams",
        kind: "upstream",
        schema: Some("upstream"),
        steps: &[Step::Upstream(Part::Whole)],
        holders: UPSTREAM_HOLDERS,
        secrets: &["tls.client_key"],
        ..PLAIN
    },
    Resource {
        name: "consumers",
        kind: "consumer",
        schema: Some("consumer"),
        naming: Naming::Username,
        child: Some("credentials"),
        post: false,
        patch: false,
        steps: &[Step::Schema, Step::Username, CONSUMER_PLUGINS, Step::UniqueKeys, GROUP_ID],
        plugins: SchemaType::Consumer,
        ..PLAIN
    },
    Resource {
        name: "credentials",
        kind: "credential",
        schema: Some("credential"),
        parent: Some("consumers"),
        post: false,
        patch: false,
        steps: &[Step::Schema, CONSUMER_PLUGINS, Step::OnlyAuth, Step::UniqueKeys],
        plugins: SchemaType::Consumer,
        ..PLAIN
    },
    Resource {
        name: "consumer_groups",
        kind: "consumer group",
        schema: Some("consumer_group"),
        post: false,
        steps: &[Step::Schema, PLUGINS],
        holders: &[holder(
            "consumers",
            Link::Field("group_id"),
            "can not delete this consumer group, consumer",
            STILL,
        )],
        ..PLAIN
    },
    Resource {
        name: "plugin_configs",
        kind: "plugin config",
        schema: Some("plugin_config"),
        post: false,
        steps: &[Step::Schema, PLUGINS],
        holders: &[holder(
            "routes",
            Link::Field("plugin_config_id"),
            "can not delete this plugin config, route",
            STILL,
        )],
        ..PLAIN
    },
    Resource {
        name: "global_rules",
        kind: "global rule",
        schema: Some("global_rule"),
        post: false,
        steps: &[Step::Schema, PLUGINS, Step::NoOverlap],
        ..PLAIN
    },
    Resource {
        name: "plugin_metadata",
        kind: "plugin_metadata",
        schema: Some("plugin_metadata"),
        naming: Naming::Plugin,
        post: false,
        patch: false,
        steps: &[Step::Metadata],
        plugins: SchemaType::Metadata,
        ..PLAIN
    },
    Resource {
        name: "ssls",
        kind: "ssl",
        schema: Some("ssl"),
        steps: &[Step::Schema, Step::Certificates],
        hidden: &["key", "keys"],
        secrets: &["key", "keys"],
        ..PLAIN
    },
    Resource {
        name: "protos",
        kind: "proto",
        schema: Some("proto"),
        patch: false,
        steps: &[Step::Schema, Step::Content],
        holders: &[
            holder("routes", Link::Transcode, "can not delete this proto, route", STILL),
            holder("services", Link::Transcode, "can not delete this proto, service", STILL),
        ],
        ..PLAIN
    },
    Resource {
        name: "stream_routes",
        kind: "stream route",
        schema: Some("stream_route"),
        patch: false,
        steps: &[Step::Schema, UPSTREAM_ID, SERVICE_ID, Step::Superior, Step::Stream],
        holders: &[holder(
            "stream_routes",
            Link::Superior,
            "can not delete this stream route directly, stream route",
            "is still using it as superior_id",
        )],
        filters: &["service_id", "upstream_id"],
        secrets: &["upstream.tls.client_key"],
        ..PLAIN
    },
    Resource {
        name: "secrets",
        kind: "secret",
        naming: Naming::Manager,
        post: false,
        steps: &[Step::Manager],
        secrets: &["token", "secret_access_key", "session_token", "auth_config.private_key"],
        ..PLAIN
    },
    Resource {
        name: "graphql_cost_decorations",
        kind: "graphql cost decoration",
        schema: Some("graphql_cost_decoration"),
        parent: Some("services"),
        ..PLAIN
    },
];

const UPSTREAM_HOLDERS: &[Holder] = &[
    split("routes", "can not delete this upstream, plugin in route"),
    holder("routes", Link::Field("upstream_id"), "can not delete this upstream, route", STILL),
    split("services", "can not delete this upstream, plugin in service"),
    holder("services", Link::Field("upstream_id"), "can not delete this upstream, service", STILL),
    split("plugin_configs", "can not delete this upstream, plugin in plugin_config"),
    split("consumers", "can not delete this upstream, plugin in consumer"),
    split("consumer_groups", "can not delete this upstream, plugin in consumer_group"),
    split("global_rules", "can not delete this upstream, plugin in global_rules"),
];

/// The resource with this name in paths.
pub(super) fn resource(name: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.name == name)
}
