//! JSON schemas of the objects APISIX is configured with: routes, services, upstreams and so on.
//!
//! Field names, types, bounds, defaults and patterns are APISIX's, so that an object accepted
//! there is accepted here and refused in the same words. What a schema cannot say (ids that must
//! exist, certificates that must fit their keys, the configuration of plugins) is checked
//! elsewhere. This module only builds values; `schema` compiles them.

mod certificate;
mod fragments;
mod health;
mod identity;
mod route;
mod secret;
mod upstream;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value;

type Table = HashMap<&'static str, Value>;

static SCHEMAS: LazyLock<Table> = LazyLock::new(|| {
    Table::from([
        ("route", route::route()),
        ("stream_route", route::stream_route()),
        ("service", route::service()),
        ("global_rule", route::global_rule()),
        ("plugin_config", route::plugin_config()),
        ("upstream", upstream::upstream()),
        ("consumer", identity::consumer()),
        ("credential", identity::credential()),
        ("consumer_group", identity::consumer_group()),
        ("ssl", certificate::ssl()),
        ("proto", route::proto()),
        ("plugins", route::plugins()),
        ("plugin_metadata", route::plugin_metadata()),
        ("graphql_cost_decoration", route::graphql_cost_decoration()),
        ("secret", secret::any()),
        ("secret/vault", secret::vault()),
        ("secret/aws", secret::aws()),
        ("secret/gcp", secret::gcp()),
    ])
});

static FRAGMENTS: LazyLock<Table> = LazyLock::new(|| {
    Table::from([
        ("anonymous_consumer_schema", fragments::anonymous_consumer()),
        ("discovery_nodes", upstream::discovery_nodes()),
        ("health_checker", health::checker()),
        ("health_checker_active", health::active()),
        ("health_checker_passive", health::passive()),
        ("host_def", fragments::host()),
        ("id_schema", fragments::id()),
        ("ip_def", fragments::ip_forms()),
        ("label_value_def", fragments::label_value()),
        ("method_schema", fragments::method()),
        ("plugin_injected_schema", fragments::plugin_injected()),
        ("upstream_hash_header_schema", upstream::hash_on_header()),
        ("upstream_hash_vars_combinations_schema", upstream::hash_on_vars_combinations()),
        ("upstream_hash_vars_schema", upstream::hash_on_vars()),
        ("uri_def", fragments::uri()),
    ])
});

/// The schema of a kind of object: `route`, `service`, `upstream`, `consumer`, `credential`,
/// `consumer_group`, `plugin_config`, `global_rule`, `plugin_metadata`, `ssl`, `proto`,
/// `stream_route`, `plugins`, `graphql_cost_decoration`, `secret`, and for each manager of
/// secrets `secret/vault`, `secret/aws`, `secret/gcp`.
#[must_use]
pub fn schema(kind: &str) -> Option<&'static Value> {
    SCHEMAS.get(kind)
}

/// A fragment plugins build their own schemas from, by its name in `apisix.core.schema`, such as
/// `host_def` or `id_schema`.
#[must_use]
pub fn fragment(name: &str) -> Option<&'static Value> {
    FRAGMENTS.get(name)
}

/// The schema of an authentication realm with `default` as its default.
#[must_use]
pub fn realm(default: &str) -> Value {
    fragments::realm(default)
}
