//! `/v1/explain`: where a request would go, and why nowhere else.
//!
//! The answer itself is a worker's: it finds the route, merges it and plans its plugins exactly as
//! for a client's request, but runs none of them. Why the other routes are not taken is found out
//! here (`others`), by a walk over all of them on a thread of its own, one at a time: with 100,000
//! routes it takes a while, and nobody waits for it but who asked.

mod asked;
mod chosen;
mod others;

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use self::asked::Asked;
use super::{
    api::unavailable,
    board::Board,
    http::{Answer, json_answer},
};
use crate::{
    parse::client_addr::ClientAddr,
    worker::{Found, Order, Stood},
};

/// Answers a request with this query.
pub(super) async fn answer(board: Arc<Board>, query: &str) -> Answer {
    let refused = |why: String| json_answer(StatusCode::BAD_REQUEST, &json!({"error_msg": why}));
    let asked = match Asked::read(query) {
        Ok(asked) => asked,
        Err(why) => return refused(why),
    };
    let turns = Arc::clone(&board);
    let Ok(_turn) = turns.explains.acquire().await else { return unavailable("shutting down") };
    let (posed, consumer) = (Box::new(asked.posed.clone()), asked.consumer.clone());
    let found = match board.ask(|answer| Order::Find(posed, consumer, answer)).await {
        Ok(Ok(found)) => found,
        Ok(Err(why)) => return refused(why),
        Err(why) => return unavailable(&why),
    };
    let told = tokio::task::spawn_blocking(move || explain(&board, &asked, &found)).await;
    match told {
        Ok(Ok(body)) => json_answer(StatusCode::OK, &body),
        Ok(Err(why)) => refused(why),
        Err(error) => unavailable(&error.to_string()),
    }
}

fn explain(board: &Board, asked: &Asked, found: &Found) -> Result<Value, String> {
    let local = board.local();
    let client = ClientAddr::new(&local).unwrap_or_default();
    let stood = asked.posed.stand(&local, &client).map_err(|error| error.to_string())?;
    let walked = others::walk(found, &stood, asked.limit);
    let facts = board.plugin_facts();
    let chosen = chosen::Chosen { found, stood: &stood, facts: &facts, nodes: board.nodes() };
    Ok(json!({
        "request": request(asked, &stood),
        "version": found.live.snapshot.version,
        "generation": found.generation,
        "error": found.failed,
        "route": chosen.route(&walked),
        "plugins": chosen.plugins(),
        "global_rules": chosen.global_rules(),
        "phases": chosen.phases(),
        "not_run": chosen.not_run(),
        "upstream": chosen.upstream(),
        "not_taken": walked.shown(),
    }))
}

/// The request as routes and plugins see it.
fn request(asked: &Asked, stood: &Stood) -> Value {
    let query = stood.query();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "method": text(query.method),
        "host": query.host.map(text),
        "path": text(query.path),
        "args": text(stood.args()),
        "remote_addr": query.remote_addr.map(|addr| addr.to_string()),
        "consumer": asked.consumer,
    })
}
