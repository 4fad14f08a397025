//! What the Control API and the metrics say of the health of nodes.

use std::{fmt::Write as _, sync::Arc};

use hyper::{Request, StatusCode, body::Incoming, header::ACCEPT};
use serde_json::{Value, json};

use super::http::{Answer, json_answer, text};
use crate::{
    config::{Item, Snapshot, item::Collection},
    health::{Registry, Target, Watch},
    shared::health::Status,
};

/// Answers `/v1/healthcheck`.
pub(super) fn all(registry: &Registry, snapshot: &Snapshot, request: &Request<Incoming>) -> Answer {
    let keys = snapshot.routes.iter().map(|item| &item.key);
    let keys = keys.chain(snapshot.services.iter().map(|item| &item.key));
    let keys = keys.chain(snapshot.upstreams.iter().map(|item| &item.key));
    let mut watches: Vec<_> = keys.filter_map(|key| registry.get(key)).collect();
    watches.extend(registry.of_plugins());
    if wants_html(request) {
        return page(&watches);
    }
    let list: Value = watches.iter().map(|watch| described(watch)).collect();
    json_answer(StatusCode::OK, &list)
}

/// Answers `/v1/healthcheck/{kind}/{id}`; `rest` is what stands behind the second slash.
pub(super) fn one(
    registry: &Registry,
    snapshot: &Snapshot,
    rest: &str,
    request: &Request<Incoming>,
) -> Answer {
    let refused = |status, why: String| json_answer(status, &json!({"error_msg": why}));
    let (kind, id) = match rest.split_once('/') {
        Some((kind, id)) if !id.is_empty() => (kind, id.split('/').next().unwrap_or(id)),
        _ => {
            let kind = rest.trim_end_matches('/');
            let why = format!("missing src id for src type {kind}");
            return refused(StatusCode::NOT_FOUND, why);
        }
    };
    let key = match kind {
        "routes" => key(&snapshot.routes, id),
        "services" => key(&snapshot.services, id),
        "upstreams" => key(&snapshot.upstreams, id),
        "stream_routes" => key(&snapshot.stream_routes, id),
        _ => return refused(StatusCode::BAD_REQUEST, format!("invalid src type {kind}")),
    };
    let Some(key) = key else {
        return refused(StatusCode::NOT_FOUND, format!("{kind}[{id}] not found"));
    };
    match registry.get(key) {
        None => refused(StatusCode::NOT_FOUND, format!("no checker for {kind}[{id}]")),
        Some(watch) if wants_html(request) => page(&[watch]),
        Some(watch) => json_answer(StatusCode::OK, &described(&watch)),
    }
}

fn key<'s, T>(collection: &'s Collection<T>, id: &str) -> Option<&'s str> {
    let item: &Item<T> = collection.get(id)?;
    Some(&item.key)
}

fn wants_html(request: &Request<Incoming>) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn described(watch: &Watch) -> Value {
    let node = |(target, status): (&Target, Status)| {
        let mut node = json!({
            "ip": target.address(),
            "port": target.port,
            "hostname": &*target.hostname,
            "status": status.state.as_str(),
            "counter": {
                "success": status.success,
                "http_failure": status.http_failure,
                "tcp_failure": status.tcp_failure,
                "timeout_failure": status.timeout_failure,
            },
        });
        if target.asked != target.hostname
            && let Some(node) = node.as_object_mut()
        {
            node.insert("hostheader".to_owned(), json!(&*target.asked));
        }
        node
    };
    json!({
        "name": &*watch.key,
        "type": watch.kind().name(),
        "nodes": watch.each().map(node).collect::<Vec<_>>(),
    })
}

const HEAD: &str = "<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n\
    <title>moongate: health of upstream nodes</title>\n</head>\n<body>\n\
    <h1>Health of upstream nodes</h1>\n\
    <table cellspacing=\"0\" cellpadding=\"3\" border=\"1\">\n<tr>";

const COLUMNS: [&str; 9] = [
    "Index",
    "Upstream",
    "Check type",
    "Host",
    "Status",
    "Success counts",
    "TCP Failures",
    "HTTP Failures",
    "TIMEOUT Failures",
];

/// The table for people: a row for each node, red where it gets no traffic.
fn page(watches: &[Arc<Watch>]) -> Answer {
    let mut out = HEAD.to_owned();
    for column in COLUMNS {
        let _ = write!(out, "<th>{column}</th>");
    }
    out.push_str("</tr>\n");
    let rows = watches.iter().flat_map(|watch| watch.each().map(move |node| (watch, node)));
    for (at, (watch, (target, status))) in rows.enumerate() {
        out.push_str(if status.state.serves() { "<tr>" } else { "<tr bgcolor=\"#FF0000\">" });
        let cells = [
            (at + 1).to_string(),
            escaped(&watch.key),
            watch.kind().name().to_owned(),
            escaped(&format!("{}:{}", target.address(), target.port)),
            status.state.as_str().to_owned(),
            status.success.to_string(),
            status.tcp_failure.to_string(),
            status.http_failure.to_string(),
            status.timeout_failure.to_string(),
        ];
        for cell in cells {
            let _ = write!(out, "<td>{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n</body>\n</html>\n");
    text(StatusCode::OK, "text/html", out)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
