//! Requests that no client sent: the Control API poses them to a worker.
//!
//! [`find`] is the way of a request up to the point where its plugins would run: the same route,
//! merge and plan, but nothing runs. [`endpoint`] lets plugins answer (`control_api`).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use serde_json::Value;

use super::{RouteVars, answered, find_route};
use crate::{
    clock,
    config::{
        Local,
        merge::{self, Merged},
        runs::Matched,
    },
    error::{Error, Kind, Result},
    exchange::{Body, ConnInfo, Exchange},
    gate::Gate,
    live::Live,
    lua::Vm,
    parse::{self, client_addr::ClientAddr},
    phase::{self, Said},
    route::{
        Query,
        expr::{VarValue, Vars},
    },
};

/// A request as it would come by a connection.
#[derive(Debug, Clone)]
pub struct Posed {
    /// The method.
    pub method: Vec<u8>,
    /// Path and query, as they stand in the request line.
    pub target: Vec<u8>,
    /// Names and values of its fields, `Host` among them.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// Who sends it.
    pub peer: SocketAddr,
}

/// The same, read as a worker reads a request.
pub struct Stood(Box<Exchange>);

impl Posed {
    /// Reads the request.
    ///
    /// # Errors
    ///
    /// What a client that sent it would be told.
    pub fn stand(&self, local: &Local, client: &ClientAddr) -> Result<Stood> {
        let mut x = Box::<Exchange>::default();
        let conn = ConnInfo {
            peer: self.peer,
            peer_text: self.peer.ip().to_string().into(),
            local: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            ..ConnInfo::default()
        };
        x.reset(&Rc::new(conn));
        let fields = self.fields.iter().map(|(name, value)| (&name[..], &value[..]));
        x.head.assemble(&self.method, &self.target, None, fields).map_err(|error| {
            Error::from(Kind::BadHead { status: error.status(), why: error.why() })
        })?;
        if !self.body.is_empty() {
            x.body.replace(self.body.clone());
        }
        parse::prepare(&mut x, local, client)?;
        Ok(Stood(x))
    }
}

impl Stood {
    /// What the router looks at.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        let x = &self.0;
        Query {
            host: Some(if x.head.host().is_empty() { &x.host } else { x.head.host() }),
            path: &x.path,
            method: &x.method,
            remote_addr: Some(x.remote.ip()),
        }
    }

    /// The query string without `?`.
    #[must_use]
    pub fn args(&self) -> &[u8] {
        &self.0.args
    }
}

impl Vars for Stood {
    fn get(&self, name: &str) -> Option<VarValue<'_>> {
        RouteVars(&self.0).value(name)
    }
}

/// Where a request would go.
#[derive(Debug)]
pub struct Found {
    /// By which configuration.
    pub live: Arc<Live>,
    /// By which plugin code.
    pub generation: u64,
    /// Routes whose `filter_func` said no.
    pub refused: Vec<u32>,
    /// What the route captured, with `_path` and `_host`.
    pub params: Vec<(String, String)>,
    /// The route with all that belongs to it.
    pub merged: Option<Merged>,
    /// The plugins that run, in their order: as [`Vm::listed`].
    pub plugins: Vec<Value>,
    /// The same of the global rules.
    pub globals: Vec<Value>,
    /// Why the request would be answered with an error.
    pub failed: Option<String>,
}

/// Finds out where `posed` would go, as if `consumer` had been recognised.
///
/// # Errors
///
/// It is no request, there is no such consumer, or its plugins cannot be listed.
pub fn find(
    gate: &Rc<Gate>,
    posed: &Posed,
    consumer: Option<&str>,
) -> std::result::Result<Found, String> {
    let text = |error: Error| error.to_string();
    let client = Rc::clone(&gate.client_addr.borrow());
    let local = Rc::clone(&gate.local.borrow());
    let Stood(mut x) = posed.stand(&local, &client).map_err(text)?;
    gate.bind(&mut x);
    let live = Arc::clone(&gate.live.borrow());
    let vm = gate.vms.serving();
    let failed = match find_route(gate, &vm, &mut x) {
        Ok(_) => None,
        Err(error) if matches!(error.kind(), Kind::NoRoute) => None,
        Err(error) => Some(error.to_string()),
    };
    let mut matched = x.matched.clone();
    if let (Some(name), Some(known)) = (consumer, &matched) {
        let item = live.snapshot.consumers.get(name);
        let item = item.ok_or_else(|| format!("there is no consumer {name}"))?;
        let merged = merge::merge_consumer(&known.merged, item, &live.snapshot);
        let merged = merged.map_err(|missing| text(missing.into()))?;
        matched = Some(Rc::new(Matched::from(merged)));
    }
    let mut found = Found {
        generation: vm.generation.id,
        refused: std::mem::take(&mut x.refused_routes),
        params: x.params.iter().map(|(name, value)| (lossy(name), lossy(value))).collect(),
        merged: matched.as_ref().map(|known| known.merged.clone()),
        plugins: Vec::new(),
        globals: Vec::new(),
        failed,
        live,
    };
    list_plugins(&vm, &mut x, matched, &mut found)?;
    Vm::detach(&mut x);
    Ok(found)
}

/// Fills in what would run.
fn list_plugins(
    vm: &Rc<Vm>,
    x: &mut Exchange,
    matched: Option<Rc<Matched>>,
    found: &mut Found,
) -> std::result::Result<(), String> {
    x.matched = matched;
    if let Err(error) = phase::bind(vm, x) {
        found.failed.get_or_insert(error.to_string());
    }
    if let Some(plan) = Vm::plan_of(x) {
        [found.plugins, found.globals] = vm.listed(plan)?;
        if let Err(missing) = plan.usable() {
            found.failed = Some(format!("plugin {missing} is not available"));
        }
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An answer of plugins' code.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The fields of its head.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body; `None` for the page of the status.
    pub body: Option<Bytes>,
}

/// Lets the plugin answer that offers an endpoint for this on the Control API; 404 without a body
/// if none does.
pub async fn endpoint(gate: &Rc<Gate>, posed: Posed) -> Reply {
    let page = |status| Reply { status, fields: Vec::new(), body: None };
    let client = Rc::new(ClientAddr::default());
    let local = Rc::clone(&gate.local.borrow());
    let Ok(Stood(mut x)) = posed.stand(&local, &client) else { return page(400) };
    x.now = clock::now();
    gate.bind(&mut x);
    let vm = gate.vms.serving();
    let Ok(plan) = vm.control_plan() else { return page(503) };
    vm.attach(&mut x, plan);
    let said = phase::content(&mut x).await;
    let body = match said {
        Ok(Said::Text) if x.response.printed.is_empty() => Some(Bytes::new()),
        Ok(Said::Text) => match answered(&mut x) {
            Body::Full(body) => Some(body),
            _ => None,
        },
        Ok(Said::Page) => None,
        // There is no other place here to go to.
        Ok(Said::Jump) | Err(_) => {
            Vm::detach(&mut x);
            return page(500);
        }
    };
    let fields = x.response.fields.iter();
    let fields = fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let reply = Reply { status: x.response.status, fields, body };
    Vm::detach(&mut x);
    reply
}
