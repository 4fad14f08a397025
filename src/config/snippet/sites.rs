//! The servers and locations of the snippets, ready to be asked which of them a request is for.

use std::{collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    super::{Local, upstream::Upstream},
    Access, Captured, Content, Listen, Location, Match, Proxy, Scope, Server, ServerName,
    directives::network,
};

/// A location with what it needs to serve.
#[derive(Debug)]
pub struct Spot {
    /// The location.
    pub location: Location,
    /// Where `proxy_pass` goes.
    pub upstream: Option<Arc<Upstream>>,
}

impl std::ops::Deref for Spot {
    type Target = Location;

    fn deref(&self) -> &Location {
        &self.location
    }
}

/// A location, and what its expression captured.
type Found<'s> = (&'s Rc<Spot>, Option<Captured>);

/// One server.
#[derive(Debug, Default)]
pub struct Site {
    /// What holds outside of its locations.
    pub scope: Scope,
    listens: Vec<Listen>,
    names: Vec<ServerName>,
    exact: HashMap<Box<[u8]>, Rc<Spot>>,
    /// The longest first.
    prefixes: Vec<(Box<[u8]>, Rc<Spot>)>,
    /// In their order.
    patterns: Vec<Rc<Spot>>,
    named: HashMap<Box<[u8]>, Rc<Spot>>,
}

/// All servers of this process.
#[derive(Debug)]
pub struct Sites(Vec<Rc<Site>>);

impl Sites {
    /// The servers that `local` describes; `None` if the routes are all there is.
    ///
    /// # Errors
    ///
    /// A `proxy_pass` that cannot be an upstream.
    pub fn of(local: &Local) -> Result<Option<Self>, String> {
        let Some(snippets) = &local.snippets else { return Ok(None) };
        let plain = |location: &Location| {
            location.content == Content::Routes && location.scope.says_nothing()
        };
        let gateway = &snippets.gateway;
        if snippets.servers.is_empty()
            && snippets.admin.is_none()
            && gateway.scope.rules.is_empty()
            && gateway.locations.iter().all(plain)
        {
            return Ok(None);
        }
        let own = local
            .node_listen
            .iter()
            .map(|listen| Listen { addr: SocketAddr::new(listen.ip, listen.port), default: true });
        let mut sites = vec![Rc::new(Site::new(gateway, own.collect())?)];
        if let Some(admin) = &snippets.admin {
            let (ip, port) = local.admin;
            let listen = Listen { addr: SocketAddr::new(ip, port), default: true };
            let mut admin = admin.clone();
            let clients = admins(local)?;
            for location in &mut admin.locations {
                if location.scope.clients.is_empty() {
                    location.scope.clients.clone_from(&clients);
                }
            }
            sites.push(Rc::new(Site::new(&admin, vec![listen])?));
        }
        for server in &snippets.servers {
            sites.push(Rc::new(Site::new(server, server.listens.clone())?));
        }
        Ok(Some(Self(sites)))
    }

    /// The addresses to listen on besides those of the gateway.
    #[must_use]
    pub fn listens(&self) -> Vec<SocketAddr> {
        self.0.iter().skip(1).flat_map(|site| &site.listens).map(|listen| listen.addr).collect()
    }

    /// The server for a request that came to `local` and asks for `host`, which is in lower case.
    #[must_use]
    pub fn find(&self, local: SocketAddr, host: &[u8]) -> Option<&Rc<Site>> {
        // A server that says the address comes before those that take any.
        let at = |addr: SocketAddr| {
            self.0.iter().filter(move |site| site.listens.iter().any(|own| own.addr == addr))
        };
        let any = SocketAddr::new(
            if local.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() },
            local.port(),
        );
        [local, any].into_iter().find_map(|addr| {
            let named = at(addr).find(|site| site.names.iter().any(|name| name.is(host)));
            let default = |site: &&Rc<Site>| {
                site.listens.iter().any(|listen| listen.addr == addr && listen.default)
            };
            named.or_else(|| at(addr).find(default)).or_else(|| at(addr).next())
        })
    }

    /// The gateway's own server.
    #[must_use]
    pub fn gateway(&self) -> Option<&Rc<Site>> {
        self.0.first()
    }
}

impl Site {
    fn new(server: &Server, listens: Vec<Listen>) -> Result<Self, String> {
        let mut site = Self {
            listens,
            names: server.names.clone(),
            scope: server.scope.clone(),
            ..Self::default()
        };
        for location in &server.locations {
            let upstream = match &location.content {
                Content::Proxy(proxy) => Some(
                    upstream(proxy, &location.scope)
                        .map_err(|error| format!("{}: proxy_pass: {error}", location.place))?,
                ),
                _ => None,
            };
            let place = Rc::new(Spot { location: location.clone(), upstream });
            match &location.matches {
                Match::Exact(path) => drop(site.exact.insert(path.as_bytes().into(), place)),
                Match::Named(name) => drop(site.named.insert(name.as_bytes().into(), place)),
                Match::Prefix { path, .. } => site.prefixes.push((path.as_bytes().into(), place)),
                Match::Regex(_) => site.patterns.push(place),
            }
        }
        site.prefixes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(site)
    }

    /// The location for `path`, and what its expression captured.
    ///
    /// # Errors
    ///
    /// An expression gave up.
    pub fn find(&self, path: &[u8]) -> Result<Option<Found<'_>>, String> {
        if let Some(place) = self.exact.get(path) {
            return Ok(Some((place, None)));
        }
        let prefix = self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix));
        let prefix = prefix.map(|(_, place)| place);
        if prefix.is_some_and(|place| matches!(place.matches, Match::Prefix { fixed: true, .. })) {
            return Ok(prefix.map(|place| (place, None)));
        }
        for place in &self.patterns {
            if let Match::Regex(pattern) = &place.matches
                && let Some(captured) = pattern.captures(path)?
            {
                return Ok(Some((place, Some(captured))));
            }
        }
        Ok(prefix.map(|place| (place, None)))
    }

    /// Whether `path` only lacks the slash at the end of a location that is proxied: clients
    /// are sent there.
    #[must_use]
    pub fn lacks_slash(&self, path: &[u8]) -> bool {
        self.prefixes.iter().any(|(prefix, place)| {
            place.upstream.is_some() && prefix.strip_suffix(b"/").is_some_and(|bare| bare == path)
        })
    }

    /// The location `@name`.
    #[must_use]
    pub fn named(&self, name: &[u8]) -> Option<&Rc<Spot>> {
        self.named.get(name)
    }
}

impl ServerName {
    fn is(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(name) => name.as_bytes() == host,
            Self::Suffix { domain, bare } => match host.strip_suffix(domain.as_bytes()) {
                Some([]) => *bare,
                Some(before) => before.ends_with(b".") && before.len() > 1,
                None => false,
            },
        }
    }
}

impl Scope {
    fn says_nothing(&self) -> bool {
        self.rules.is_empty()
            && self.rewrite.is_none()
            && self.set_headers.is_empty()
            && self.add_headers.is_empty()
            && self.clients.is_empty()
            && self.body_bytes_max.is_none()
            && self.access_log.is_none()
    }
}

/// Who may ask the server of the Admin API where it says nothing itself:
/// `deployment.admin.allow_admin`.
fn admins(local: &Local) -> Result<Vec<Access>, String> {
    const PATH: &str = "deployment.admin.allow_admin";
    let Some(Value::Array(list)) = local.raw.pointer("/deployment/admin/allow_admin") else {
        return Ok(Vec::new());
    };
    let mut clients = Vec::new();
    for item in list {
        let network = network(item.as_str().unwrap_or_default())
            .map_err(|_| format!("{PATH} must hold addresses or networks, not {item}"))?;
        clients.push(Access { allow: true, network });
    }
    if !clients.is_empty() {
        clients.push(Access { allow: false, network: None });
    }
    Ok(clients)
}

/// The upstream of a `proxy_pass`: one node, whose name is told to it, with nginx's times.
fn upstream(proxy: &Proxy, scope: &Scope) -> Result<Arc<Upstream>, String> {
    let seconds = |time: Option<std::time::Duration>| time.map_or(60.0, |time| time.as_secs_f64());
    let host = match proxy.host.contains(':') {
        true => format!("[{}]", proxy.host),
        false => proxy.host.to_string(),
    };
    let mut node = Map::new();
    node.insert("host".into(), host.into());
    node.insert("port".into(), proxy.port.into());
    node.insert("weight".into(), 1.into());
    let value = json!({
        "type": "roundrobin",
        "scheme": if proxy.https { "https" } else { "http" },
        "pass_host": "node",
        "retries": 0,
        "nodes": [Value::Object(node)],
        "timeout": {
            "connect": seconds(scope.proxy_connect),
            "send": seconds(scope.proxy_send),
            "read": seconds(scope.proxy_read),
        },
    });
    Upstream::read(&value, None)
}
