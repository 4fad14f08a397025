//! The life of a request, top to bottom. Only this module knows the order of the steps.
//!
//! [`serve`] makes the response and sends it; `answer` is the way from the plugins to the
//! upstream's first byte. Drivers call `serve` with a [`Sink`] that writes to their client.

mod content;
mod gzip;
pub mod inside;
mod mirror;
mod pace;
pub mod posed;
mod proxy;
mod respond;
mod rules;
pub mod stream;
pub mod target;

use std::rc::Rc;

pub use respond::Sink;

use target::Target;

use crate::{
    clock,
    error::{Error, Kind, Result, Side},
    exchange::{Body, Exchange, Origin, vars},
    gate::Gate,
    log::error_log::Level,
    lua::{Vm, log_line},
    phase::{self, Verdict},
    rescue,
    route::{self, Query},
    upstream::Tunnel,
};

/// A response, or a connection that switched protocols.
#[derive(Debug)]
pub enum Made {
    /// The head is in `x.response`.
    Body(Body),
    /// The upstream said 101; the head is in `x.response`.
    Tunnel(Tunnel),
}

/// What is left to do for the driver.
#[derive(Debug)]
pub enum After {
    /// The response was sent whole.
    Done,
    /// The response broke off: the connection is of no more use.
    Broken,
    /// The head of a 101 was sent: bytes go both ways from here on; [`finish`] comes after.
    Tunnel(Tunnel),
}

/// Serves one request: routes it, runs its plugins, proxies it, sends the response, logs.
pub async fn serve<S: Sink>(gate: &Rc<Gate>, x: &mut Exchange, sink: &mut S) -> After {
    let _running = gate.count();
    let made = match answer(gate, x).await {
        Ok(made) if !x.response.taken_over => made,
        Err(error) if !x.response.head_sent && !x.response.taken_over => {
            Made::Body(rescue(x, &error))
        }
        broken => return broke_off(gate, x, broken.err()).await,
    };
    match made {
        // nginx's own status: the connection is closed without an answer.
        Made::Body(_) if x.inner.is_some() && x.response.status == 444 => {
            finish(gate, x).await;
            After::Broken
        }
        Made::Body(body) => {
            let sent = respond::send(gate, x, body, sink).await;
            if sent.is_err() && !x.client_gone {
                // The client gets what there was, and sees that it is not all.
                let _ = sink.flush(x).await;
            }
            finish(gate, x).await;
            if sent.is_ok() { After::Done } else { After::Broken }
        }
        Made::Tunnel(tunnel) => {
            let sent = respond::send_switch(gate, x, sink).await;
            if sent.is_err() {
                finish(gate, x).await;
                return After::Broken;
            }
            After::Tunnel(tunnel)
        }
    }
}

/// The end of an answer whose head has left: nothing can be told to the client any more.
async fn broke_off(gate: &Rc<Gate>, x: &mut Exchange, error: Option<Error>) -> After {
    if let Some(error) = error {
        tell(x, &error);
    }
    finish(gate, x).await;
    After::Broken
}

/// Answers a request that cannot be served, such as one whose head is no head.
pub async fn refuse<S: Sink>(gate: &Rc<Gate>, x: &mut Exchange, error: &Error, sink: &mut S) {
    let body = rescue(x, error);
    // Whoever sends such a request may be gone already; there is nothing else to tell.
    let _ = respond::send(gate, x, body, sink).await;
    finish(gate, x).await;
}

/// The end of every request: log phase, access log.
pub async fn finish(gate: &Rc<Gate>, x: &mut Exchange) {
    let ended = clock::now();
    x.now = ended;
    x.ended = Some(ended);
    if let Some(attempt) = x.upstream.attempts.last_mut()
        && attempt.response_time.is_none()
    {
        attempt.response_time = Some(ended.duration_since(attempt.started));
    }
    phase::log(x).await;
    if x.inner.as_ref().is_none_or(|inner| inner.is_logged()) {
        gate.access.borrow_mut().write(x);
    }
}

fn rescue(x: &mut Exchange, error: &Error) -> Body {
    tell(x, error);
    rescue::response(x, error)
}

/// Logs what went wrong, unless whoever noticed has done so.
fn tell(x: &mut Exchange, error: &Error) {
    x.body.tampered |= matches!(error.kind(), Kind::BodyTampered { .. });
    let level = match (error.side(), error.kind()) {
        (_, Kind::BodyTampered { .. }) => Some(Level::Warn),
        (_, Kind::Plugin | Kind::PluginUnavailable | Kind::NoRoute) => None,
        (Side::Downstream, _) => Some(Level::Info),
        _ => Some(Level::Error),
    };
    if let Some(level) = level {
        let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
        log_line(level, x, &format!("{error}{}", cause.unwrap_or_default()));
    }
}

/// From the plugins to the upstream's first byte.
async fn answer(gate: &Rc<Gate>, x: &mut Exchange) -> Result<Made> {
    gate.bind(x);
    if gate.sites.is_some() {
        return Box::pin(content::answer(gate, x)).await;
    }
    match enter(gate, x).await? {
        Entered::Target(target) => proxy::send(gate, x, target).await,
        Entered::Answer => Ok(Made::Body(answered(x))),
        Entered::Elsewhere => Box::pin(content::jump(gate, x)).await,
    }
}

/// The same for a request to the routes from a location; `None` if a plugin sent it elsewhere.
async fn routed(gate: &Rc<Gate>, x: &mut Exchange) -> Result<Option<Made>> {
    match enter(gate, x).await? {
        Entered::Target(target) => proxy::send(gate, x, target).await.map(Some),
        Entered::Answer => Ok(Some(Made::Body(answered(x)))),
        Entered::Elsewhere => Ok(None),
    }
}

/// How a request left the phases before its upstream.
enum Entered {
    /// On its way there; the route's own upstream, if it can be sent to.
    Target(Option<Rc<Target>>),
    /// A plugin made the response.
    Answer,
    /// A plugin sent it to another place.
    Elsewhere,
}

/// Finds the route and runs its plugins.
async fn enter(gate: &Rc<Gate>, x: &mut Exchange) -> Result<Entered> {
    let held = x.inner.as_ref().and_then(|_| Vm::of(x));
    let fresh = held.is_none();
    let mut vm = held.unwrap_or_else(|| gate.vms.serving());
    let found = find_route(gate, &vm, x);
    if found.is_ok() || x.globals.is_some() {
        if fresh {
            vm = gate.vms.for_request(vm, x);
        }
        phase::bind(&vm, x)?;
        match phase::access(x).await? {
            Verdict::Next => {}
            Verdict::Answer => return Ok(Entered::Answer),
            Verdict::Jump => return Ok(Entered::Elsewhere),
        }
    }
    found.map(Entered::Target)
}

/// The body of a response that a plugin made.
fn answered(x: &mut Exchange) -> Body {
    x.response.origin = Origin::Gateway;
    if x.response.head_sent {
        return Body::Full(std::mem::take(&mut x.response.printed).into());
    }
    if x.response.printed.is_empty() {
        return rescue::page(x);
    }
    if x.response.fields.get("content-type").is_none() {
        // A constant of ours; always valid.
        let _ = x.response.fields.set("Content-Type", "text/plain; charset=utf-8");
    }
    let printed = std::mem::take(&mut x.response.printed);
    x.response.length = Some(printed.len() as u64);
    Body::Full(printed.into())
}

/// The variables of a request, as `vars` conditions see them.
struct RouteVars<'x>(&'x Exchange);

impl<'x> RouteVars<'x> {
    fn value(&self, name: &str) -> Option<route::expr::VarValue<'x>> {
        let value = match name {
            "method" => Some(self.0.method.as_slice().into()),
            "request_uri" => Some([&self.0.forward[..]].concat().into()),
            name => vars::get(self.0, name.as_bytes()),
        };
        value.map(route::expr::VarValue::Str)
    }
}

impl route::expr::Vars for RouteVars<'_> {
    fn get(&self, name: &str) -> Option<route::expr::VarValue<'_>> {
        self.value(name)
    }
}

/// Finds the route of `x` and binds `x` to it. Gives the route's own upstream, if it can be
/// sent to.
fn find_route(gate: &Rc<Gate>, vm: &Rc<Vm>, x: &mut Exchange) -> Result<Option<Rc<Target>>> {
    let live = Rc::clone(&gate.live.borrow());
    let mut params = gate.params.take();
    let found = loop {
        // `filter_func` needs the request mutably: routes that have one are tried from
        // outside, and a refused one is left out of the next look.
        let mut filtered = false;
        let candidate = {
            let query = Query {
                host: Some(if x.head.host().is_empty() { &x.host } else { x.head.host() }),
                path: &x.path,
                method: &x.method,
                remote_addr: Some(x.remote.ip()),
            };
            live.router.find(
                &query,
                &RouteVars(x),
                &mut |number| {
                    filtered = true;
                    !x.refused_routes.contains(number)
                },
                &mut params,
            )
        };
        let Some(&number) = candidate else { break None };
        if !filtered {
            break Some(number);
        }
        let Some(route) = live.route(number) else { break Some(number) };
        let Some(text) = &route.typed.filter_func else { break Some(number) };
        if vm.filter_passes(&route.id, text, x)? {
            break Some(number);
        }
        x.refused_routes.push(number);
    };
    let Some(number) = found else { return Err(Kind::NoRoute.into()) };
    for (name, value) in params.iter() {
        x.params.push(name, value);
    }
    x.params.push(b"_path", params.matched_path());
    if let Some(host) = params.matched_host() {
        x.params.push(b"_host", host);
    }
    if let Some(error) = params.eval_error() {
        log_line(Level::Warn, x, &format!("a condition of a route failed: {error}"));
    }
    gate.params.replace(params);
    let (matched, target) = gate.ready(&live, number)?;
    x.matched = Some(matched);
    Ok(target)
}
