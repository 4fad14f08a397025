//! The Control API: what the gateway itself answers there. What it does not know is asked of the
//! plugins (`control_api`), in the VM of a worker.
//!
//! There is no key: whoever reaches the port may ask. So the values of secrets are not shown, where
//! APISIX shows them plain.

use std::{net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::{
    board::Board,
    discovery, explain, health as nodes,
    http::{Answer, json_answer, not_found, text},
};
use crate::{
    admin::{
        conceal_stored,
        judge::{Facts, PluginFacts},
    },
    config::{
        Item, item::Collection, plugin::Kept, resource_schema, route::Route, service::Service,
        upstream::Upstream,
    },
    worker::{Order, Posed},
};

/// Bytes of a body for a plugin's endpoint.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Answers one request to the Control API.
pub(super) async fn answer(
    board: Arc<Board>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix("/v1/") else { return plugins(&board, peer, request).await };
    let (first, second) = match rest.split_once('/') {
        Some((first, second)) => (first, Some(second)),
        None => (rest, None),
    };
    if (first, second) == ("plugins", Some("reload")) {
        return reload(board, &request).await;
    }
    if request.method() == Method::POST && (first, second) == ("gc", None) {
        board.collect();
        return text(StatusCode::OK, "text/plain", "");
    }
    if request.method() == Method::GET {
        if let Some(answer) =
            waiting(&board, request.uri().query().unwrap_or(""), (first, second)).await
        {
            return answer;
        }
        if let Some(answer) = known(&board, &request, (first, second)) {
            return answer;
        }
    }
    plugins(&board, peer, request).await
}

/// What takes a while, or has to ask workers.
async fn waiting(board: &Arc<Board>, query: &str, path: (&str, Option<&str>)) -> Option<Answer> {
    let board = Arc::clone(board);
    Some(match path {
        ("explain", None) => explain::answer(board, query).await,
        ("plugins", Some("generations")) => json_answer(StatusCode::OK, &board.generations().await),
        ("routes", None) => listed(board, |shown| shown.all("routes", |s| &s.routes)).await,
        ("services", None) => listed(board, |shown| shown.all("services", |s| &s.services)).await,
        ("upstreams", None) => {
            listed(board, |shown| shown.all("upstreams", |s| &s.upstreams)).await
        }
        ("schema", None) => listed(board, |shown| schema(&shown.facts).to_string()).await,
        _ => return None,
    })
}

fn known(
    board: &Arc<Board>,
    request: &Request<Incoming>,
    path: (&str, Option<&str>),
) -> Option<Answer> {
    let ok = |body: &Value| json_answer(StatusCode::OK, body);
    let shown = Shown::of(board);
    let snapshot = &shown.live.snapshot;
    Some(match path {
        ("health", None) => ok(&board.health()),
        ("plugins", None) => ok(&board.plugins()),
        ("config", None) => ok(&board.config()),
        ("workers", None) => ok(&board.workers()),
        ("route", Some(id)) => shown.one(&snapshot.routes, ("routes", "route"), id),
        ("service", Some(id)) => shown.one(&snapshot.services, ("services", "service"), id),
        ("upstream", Some(id)) => shown.one(&snapshot.upstreams, ("upstreams", "upstream"), id),
        ("plugin_metadatas", None) => ok(&shown.metadatas(board)),
        ("plugin_metadata", Some(name)) => match shown.metadata(name) {
            Some(value) => ok(&value),
            None => missing("plugin metadata", name),
        },
        ("discovery", Some(rest)) => discovery::dump(board.discovery(), rest),
        ("healthcheck", None) => nodes::all(board.nodes(), snapshot, request),
        ("healthcheck", Some(rest)) => nodes::one(board.nodes(), snapshot, rest, request),
        _ => return None,
    })
}

/// Makes a long answer where it holds up nobody.
async fn listed(board: Arc<Board>, make: fn(&Shown) -> String) -> Answer {
    let made = tokio::task::spawn_blocking(move || make(&Shown::of(&board))).await;
    match made {
        Ok(body) => text(StatusCode::OK, "application/json", body + "\n"),
        Err(error) => unavailable(&error.to_string()),
    }
}

/// What objects are shown with.
struct Shown {
    live: Arc<crate::live::Live>,
    facts: Arc<Facts>,
}

impl Shown {
    fn of(board: &Board) -> Self {
        Self { live: board.live(), facts: board.plugin_facts() }
    }

    /// All objects of a kind, as a list.
    fn all<T: Named>(
        &self,
        plural: &str,
        of: fn(&crate::config::Snapshot) -> &Collection<T>,
    ) -> String {
        let mut out = String::from("[");
        for item in of(&self.live.snapshot).iter() {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&self.item(plural, item).to_string());
        }
        out.push(']');
        out
    }

    fn one<T: Named>(
        &self,
        collection: &Collection<T>,
        (plural, kind): (&str, &str),
        id: &str,
    ) -> Answer {
        let id = id.split('/').next().unwrap_or(id);
        match collection.get(id) {
            Some(item) => json_answer(StatusCode::OK, &self.item(plural, item)),
            None => missing(kind, id),
        }
    }

    fn item<T: Named>(&self, plural: &str, item: &Item<T>) -> Value {
        json!({
            "key": *item.key,
            "value": self.value(plural, item),
            "has_domain": item.typed.has_domain(),
            "createdIndex": item.created_index,
            "modifiedIndex": item.modified_index,
        })
    }

    fn value<T>(&self, plural: &str, item: &Item<T>) -> Value {
        let mut value = item.value.value();
        conceal_stored(&self.facts, &format!("{plural}/{}", item.id), &mut value);
        value
    }

    /// The metadata of a plugin that is loaded.
    fn metadata(&self, name: &str) -> Option<Value> {
        let item: &Item<Kept> = self.live.snapshot.plugin_metadata.get(name)?;
        self.facts.plugin(name)?;
        let mut value = self.value("plugin_metadata", item);
        if let Some(map) = value.as_object_mut() {
            map.entry("id").or_insert_with(|| name.into());
        }
        Some(value)
    }

    /// All of them, in the order of the list of plugins.
    fn metadatas(&self, board: &Board) -> Value {
        let local = board.local();
        local.plugins.iter().filter_map(|name| self.metadata(name)).collect()
    }
}

/// An object that may name its upstream's nodes.
trait Named {
    /// Whether a node of its own is a name and no address.
    fn has_domain(&self) -> bool;
}

impl Named for Route {
    fn has_domain(&self) -> bool {
        self.upstream.as_ref().is_some_and(Named::has_domain)
    }
}

impl Named for Service {
    fn has_domain(&self) -> bool {
        self.upstream.as_ref().is_some_and(Named::has_domain)
    }
}

impl Named for Arc<Upstream> {
    fn has_domain(&self) -> bool {
        self.nodes.iter().any(|node| node.ip.is_none())
    }
}

/// Every schema, as `/v1/schema` of APISIX has it.
fn schema(facts: &Facts) -> Value {
    const MAIN: [&str; 14] = [
        "consumer",
        "consumer_group",
        "global_rule",
        "graphql_cost_decoration",
        "plugin_config",
        "plugins",
        "proto",
        "route",
        "service",
        "ssl",
        "stream_route",
        "upstream",
        "upstream_hash_header_schema",
        "upstream_hash_vars_schema",
    ];
    let of = |name| resource_schema::schema(name).or_else(|| resource_schema::fragment(name));
    let main: Map<String, Value> =
        MAIN.iter().filter_map(|name| Some(((*name).to_owned(), of(name)?.clone()))).collect();
    let plugins = |list: &[PluginFacts]| -> Value {
        let entry = |plugin: &PluginFacts| (plugin.name.clone(), plugin.entry());
        Value::Object(list.iter().map(entry).collect())
    };
    json!({
        "main": main,
        "plugins": plugins(&facts.http),
        "stream_plugins": plugins(&facts.stream),
    })
}

fn missing(kind: &str, id: &str) -> Answer {
    let why = format!("{kind}[{id}] not found");
    json_answer(StatusCode::NOT_FOUND, &json!({"error_msg": why}))
}

pub(super) fn unavailable(why: &str) -> Answer {
    json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"error_msg": why}))
}

async fn reload(board: Arc<Board>, request: &Request<Incoming>) -> Answer {
    if request.method() != Method::PUT {
        let text = format!(
            "please use PUT method to reload the plugins, {} method is not allowed.",
            request.method()
        );
        return json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error_msg": text}));
    }
    match tokio::task::spawn_blocking(move || board.reload()).await {
        Ok(Ok(())) => text(StatusCode::OK, "text/plain", "done"),
        Ok(Err(reason)) => json_answer(StatusCode::BAD_REQUEST, &json!({"error_msg": reason})),
        Err(error) => unavailable(&error.to_string()),
    }
}

/// Lets a plugin answer.
async fn plugins(board: &Board, peer: SocketAddr, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let why = format!("the body breaks off, or has more than {BODY_BYTES_MAX} bytes");
        return json_answer(StatusCode::BAD_REQUEST, &json!({"error_msg": why}));
    };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let posed = Posed {
        method: head.method.as_str().into(),
        target: target.into(),
        fields: fields(&head.headers),
        body: body.to_bytes(),
        peer,
    };
    match board.ask(|answer| Order::Endpoint(Box::new(posed), answer)).await {
        Ok(reply) => {
            let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut answer = match reply.body {
                Some(body) => text(status, "text/plain; charset=utf-8", body),
                None => page(status),
            };
            for (name, value) in reply.fields {
                let pair =
                    HeaderName::from_bytes(&name).ok().zip(HeaderValue::from_bytes(&value).ok());
                if let Some((name, value)) = pair.filter(|(name, _)| name != "content-length") {
                    answer.headers_mut().insert(name, value);
                }
            }
            answer
        }
        Err(why) => unavailable(&why),
    }
}

/// The page of a status that nobody wrote a body for.
fn page(status: StatusCode) -> Answer {
    match status {
        StatusCode::NOT_FOUND => return not_found(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => return text(status, "text/html", ""),
        _ => {}
    }
    text(status, "text/html", crate::rescue::html(status.as_u16()))
}

/// Without those of the connection, and those that say how the body came: it is here.
fn fields(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let framing = ["connection", "transfer-encoding", "expect", "upgrade", "te", "trailer"];
    let kept = headers.iter().filter(|(name, _)| !framing.contains(&name.as_str()));
    kept.map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_all_that_apisix_tells() {
        let plugin = PluginFacts {
            name: "echo".to_owned(),
            priority: json!(412),
            version: json!(0.1),
            schema: json!({"type": "object"}),
            ..PluginFacts::default()
        };
        let facts = Facts { http: vec![plugin], ..Facts::default() };
        let schema = schema(&facts);
        assert_eq!(schema["main"].as_object().unwrap().len(), 14, "one is not known");
        assert_eq!(schema["main"]["route"]["type"], "object");
        let echo = json!({"priority": 412, "version": 0.1, "schema": {"type": "object"}});
        assert_eq!(schema["plugins"], json!({"echo": echo}));
        assert_eq!(schema["stream_plugins"], json!({}));
    }
}
