//! Upstreams: the nodes behind a route and how to reach them.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{
    item::{Fingerprint, fingerprint, fingerprint_of},
    plugin::next_id,
    sought::Sought,
};

/// How a node is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Consistent hash.
    Chash,
    /// Fewest open requests.
    LeastConn,
    /// Lowest decayed latency.
    Ewma,
    /// The name of a Lua module, as APISIX allows.
    Other(Box<str>),
}

/// What a consistent hash is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are APISIX's")]
pub enum HashOn {
    Vars,
    Header,
    Cookie,
    Consumer,
    VarsCombinations,
}

/// The `Host` a node is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassHost {
    /// The client's.
    Pass,
    /// The node's own.
    Node,
    /// [`Upstream::upstream_host`].
    Rewrite,
}

/// The protocol nodes speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are APISIX's")]
pub enum Scheme {
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    Udp,
    Kafka,
}

impl Scheme {
    /// The scheme of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "http" => Self::Http,
            "https" => Self::Https,
            "grpc" => Self::Grpc,
            "grpcs" => Self::Grpcs,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "udp" => Self::Udp,
            "kafka" => Self::Kafka,
            _ => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Kafka => "kafka",
        }
    }

    /// The port of a node that names none.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Http | Self::Grpc => Some(80),
            Self::Https | Self::Grpcs => Some(443),
            _ => None,
        }
    }
}

/// Time limits towards a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    /// Until connected.
    pub connect: Duration,
    /// Between two writes.
    pub send: Duration,
    /// Between two reads.
    pub read: Duration,
}

impl Default for Timeout {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: minute, send: minute, read: minute }
    }
}

impl Timeout {
    /// `{connect, send, read}` in seconds; what is missing or not above 0 is 60.
    #[must_use]
    pub fn read(value: &Value) -> Self {
        let default = Self::default();
        let seconds = |name: &str, default: Duration| {
            let seconds = value.get(name).and_then(Value::as_f64).filter(|s| *s > 0.0);
            seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(default)
        };
        Self {
            connect: seconds("connect", default.connect),
            send: seconds("send", default.send),
            read: seconds("read", default.read),
        }
    }
}

/// `keepalive_pool`: idle connections of this upstream, per worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepalivePool {
    /// Connections kept.
    pub size: usize,
    /// How long one may be idle; zero keeps none.
    pub idle_timeout: Duration,
    /// Requests one may serve.
    pub requests: u64,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name or address as configured; IPv6 in brackets.
    pub host: Box<str>,
    /// The address, unless `host` is a name that DNS must resolve.
    pub ip: Option<IpAddr>,
    /// `None` if neither the node nor the scheme says.
    pub port: Option<u16>,
    /// Share of the load; 0 takes none.
    pub weight: u32,
    /// Higher is used first; lower only when no higher one is left.
    pub priority: i32,
    /// Kept for plugins.
    pub metadata: Option<Box<Value>>,
    /// The name that a plugin resolved to `host`.
    pub domain: Option<Box<str>>,
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.host, self.port, self.weight, self.priority, &self.domain).hash(state);
        self.metadata.as_deref().map(fingerprint).hash(state);
    }
}

impl Node {
    /// Whether the host is a name that DNS must resolve.
    #[must_use]
    pub fn is_domain(&self) -> bool {
        self.ip.is_none()
    }
}

/// An upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Unique in this process, and the same as long as the text is: the key of balancer
    /// state and connection pools.
    pub id: u64,
    /// Of the text as checked.
    pub hash: Fingerprint,
    /// Name, for logs and metrics.
    pub name: Option<Arc<str>>,
    /// In the order of the file. Empty with service discovery.
    pub nodes: Vec<Node>,
    /// How a node is picked.
    pub balance: Balance,
    /// What the hash is taken of.
    pub hash_on: HashOn,
    /// Name of the variable, header, cookie or the combination to hash.
    pub key: Option<Box<str>>,
    /// Further tries after the first; the number of nodes less one if `None`.
    pub retries: Option<u32>,
    /// No further try after this long; zero or `None` is without bound.
    pub retry_timeout: Option<Duration>,
    /// Time limits.
    pub timeout: Timeout,
    /// The `Host` that nodes see.
    pub pass_host: PassHost,
    /// The `Host` of `pass_host: rewrite`.
    pub upstream_host: Option<Box<str>>,
    /// The protocol.
    pub scheme: Scheme,
    /// Own pool settings.
    pub keepalive_pool: Option<Box<KeepalivePool>>,
    /// Health checks as configured.
    pub checks: Option<Box<Value>>,
    /// Client certificate settings as configured.
    pub tls: Option<Box<Value>>,
    /// The service whose nodes a registry tells.
    pub sought: Option<Box<Sought>>,
    /// How many workers keep it prepared. When nobody else has it, it is gone.
    pub prepared: AtomicUsize,
}

impl Upstream {
    /// The typed upstream of a value that [`normalise`] and [`check`] accepted. Keeps
    /// `before` if nothing changed.
    ///
    /// # Errors
    ///
    /// A node whose port or weight does not fit.
    pub fn read(value: &Value, before: Option<&Arc<Upstream>>) -> Result<Arc<Upstream>, String> {
        let hash = fingerprint(value);
        if let Some(before) = before.filter(|before| before.hash == hash) {
            return Ok(Arc::clone(before));
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let scheme = match text("scheme") {
            None => Scheme::Http,
            Some(name) => {
                Scheme::parse(name).ok_or_else(|| format!("unknown upstream scheme {name}"))?
            }
        };
        let boxed = |name: &str| value.get(name).cloned().map(Box::new);
        let seconds = |value: &Value| Duration::try_from_secs_f64(value.as_f64()?).ok();
        let retries = value.get("retries").and_then(Value::as_u64);
        Ok(Arc::new(Upstream {
            id: next_id(),
            hash,
            name: text("name").map(Arc::from),
            nodes: nodes(value, scheme)?,
            balance: balance(text("type")),
            hash_on: match text("hash_on") {
                Some("header") => HashOn::Header,
                Some("cookie") => HashOn::Cookie,
                Some("consumer") => HashOn::Consumer,
                Some("vars_combinations") => HashOn::VarsCombinations,
                _ => HashOn::Vars,
            },
            key: text("key").map(Box::from),
            retries: retries.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX)),
            retry_timeout: value.get("retry_timeout").and_then(seconds).filter(|t| !t.is_zero()),
            timeout: value.get("timeout").map(Timeout::read).unwrap_or_default(),
            pass_host: match text("pass_host") {
                Some("node") => PassHost::Node,
                Some("rewrite") => PassHost::Rewrite,
                _ => PassHost::Pass,
            },
            upstream_host: text("upstream_host").map(Box::from),
            scheme,
            keepalive_pool: value.get("keepalive_pool").map(pool).map(Box::new),
            checks: boxed("checks"),
            tls: boxed("tls"),
            sought: Sought::read(value).map(Box::new),
            prepared: AtomicUsize::new(0),
        }))
    }

    /// The same upstream with `nodes`, which a registry told. Ports that it did not tell are the
    /// scheme's.
    #[must_use]
    pub fn with_nodes(&self, nodes: &[Node]) -> Arc<Self> {
        let port = |node: &Node| node.port.or(self.scheme.default_port());
        let node = |node: &Node| Node { port: port(node), ..node.clone() };
        let nodes: Vec<Node> = nodes.iter().map(node).collect();
        Arc::new(Self {
            id: next_id(),
            hash: fingerprint_of(&(self.hash, &nodes)),
            name: self.name.clone(),
            nodes,
            balance: self.balance.clone(),
            hash_on: self.hash_on,
            key: self.key.clone(),
            retries: self.retries,
            retry_timeout: self.retry_timeout,
            timeout: self.timeout,
            pass_host: self.pass_host,
            upstream_host: self.upstream_host.clone(),
            scheme: self.scheme,
            keepalive_pool: self.keepalive_pool.clone(),
            checks: self.checks.clone(),
            tls: self.tls.clone(),
            sought: None,
            prepared: AtomicUsize::new(0),
        })
    }
}

fn balance(name: Option<&str>) -> Balance {
    match name {
        None | Some("roundrobin") => Balance::RoundRobin,
        Some("chash") => Balance::Chash,
        Some("least_conn") => Balance::LeastConn,
        Some("ewma") => Balance::Ewma,
        Some(other) => Balance::Other(Box::from(other)),
    }
}

fn pool(value: &Value) -> KeepalivePool {
    let number =
        |name: &str, default: u64| value.get(name).and_then(Value::as_u64).unwrap_or(default);
    let idle = value.get("idle_timeout").and_then(Value::as_f64).unwrap_or(60.0);
    KeepalivePool {
        size: usize::try_from(number("size", 320)).unwrap_or(usize::MAX),
        idle_timeout: Duration::try_from_secs_f64(idle).unwrap_or(Duration::MAX),
        requests: number("requests", 1000),
    }
}

fn nodes(value: &Value, scheme: Scheme) -> Result<Vec<Node>, String> {
    let Some(Value::Array(list)) = value.get("nodes") else { return Ok(Vec::new()) };
    list.iter().map(|node| read_node(node, scheme)).collect()
}

fn read_node(node: &Value, scheme: Scheme) -> Result<Node, String> {
    let host = node.get("host").and_then(Value::as_str).unwrap_or_default();
    let port = match node.get("port") {
        None | Some(Value::Null) => scheme.default_port(),
        Some(port) => Some(
            port.as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port > 0)
                .ok_or_else(|| format!("invalid port {port}"))?,
        ),
    };
    let weight = node.get("weight").and_then(Value::as_u64).unwrap_or(0);
    let priority = node.get("priority").and_then(Value::as_i64).unwrap_or(0);
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Ok(Node {
        host: Box::from(host),
        ip: bare.parse().ok(),
        port,
        weight: u32::try_from(weight).map_err(|_| format!("invalid weight {weight}"))?,
        priority: i32::try_from(priority).map_err(|_| format!("invalid priority {priority}"))?,
        metadata: node.get("metadata").cloned().map(Box::new),
        domain: node.get("domain").and_then(Value::as_str).map(Box::from),
    })
}

/// Brings `nodes` into list form and IPv6 hosts into brackets, as plugins expect to find
/// them. Call before [`Upstream::read`].
pub fn normalise(upstream: &mut Value) {
    let Some(nodes) = upstream.get_mut("nodes") else { return };
    if let Value::Object(map) = nodes {
        let list = std::mem::take(map).into_iter().map(|(address, weight)| {
            let (host, port) = split_address(&address);
            let mut node = Map::new();
            node.insert("host".into(), host.into());
            if let Some(port) = port {
                node.insert("port".into(), port.into());
            }
            node.insert("weight".into(), weight);
            node.insert("priority".into(), 0.into());
            Value::Object(node)
        });
        *nodes = Value::Array(list.collect());
    }
    for node in nodes.as_array_mut().into_iter().flatten() {
        if let Some(Value::String(host)) = node.get_mut("host")
            && host.parse::<std::net::Ipv6Addr>().is_ok()
        {
            *host = format!("[{host}]");
        }
    }
}

/// Host and port of `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
#[must_use]
pub fn split_address(address: &str) -> (&str, Option<u64>) {
    if !address.starts_with('[') && address.bytes().filter(|b| *b == b':').count() > 1 {
        return (address, None);
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => {
            port.parse().map_or((address, None), |port| (host, Some(port)))
        }
        _ => (address, None),
    }
}

/// What the schema of upstreams cannot say.
///
/// # Errors
///
/// The sentence for the operator.
pub fn check(upstream: &Value) -> Result<(), String> {
    let text = |name: &str| upstream.get(name).and_then(Value::as_str);
    if text("pass_host") == Some("rewrite") && text("upstream_host").is_none_or(str::is_empty) {
        return Err("`upstream_host` can't be empty when `pass_host` is `rewrite`".into());
    }
    if text("type") != Some("chash") {
        return Ok(());
    }
    let hash_on = text("hash_on").unwrap_or("vars");
    let key = match (hash_on, text("key")) {
        ("consumer", _) => return Ok(()),
        (_, None) => return Err("missing key".into()),
        (_, Some(key)) => key,
    };
    let fits = match hash_on {
        "vars" => is_hash_variable(key),
        "header" | "cookie" => {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        }
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("invalid configuration: {}", mismatch(hash_on, key))) }
}

fn is_hash_variable(key: &str) -> bool {
    const NAMES: [&str; 10] = [
        "uri",
        "server_name",
        "server_addr",
        "request_uri",
        "remote_port",
        "remote_addr",
        "query_string",
        "host",
        "hostname",
        "mqtt_client_id",
    ];
    let argument = |name: &str| {
        // APISIX's class is `A-z`, which takes the six signs between Z and a as well.
        let fits = |b: u8| b.is_ascii_digit() || (b'A'..=b'z').contains(&b) || b == b'-';
        !name.is_empty() && name.bytes().all(fits)
    };
    NAMES.contains(&key) || key.strip_prefix("arg_").is_some_and(argument)
}

fn mismatch(hash_on: &str, key: &str) -> String {
    let pattern = if hash_on == "vars" {
        "^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|\
         hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$"
    } else {
        "^[a-zA-Z0-9-_]+$"
    };
    format!("failed to match pattern {} with {}", json!(pattern), json!(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut value: Value) -> Result<Arc<Upstream>, String> {
        normalise(&mut value);
        Upstream::read(&value, None)
    }

    #[test]
    fn both_forms_of_nodes_are_read() {
        let up = read(json!({"nodes": {"a.com:8080": 1, "10.0.0.1": 2, "[::1]:90": 0}})).unwrap();
        let seen: Vec<_> =
            up.nodes.iter().map(|n| (&*n.host, n.port, n.weight, n.is_domain())).collect();
        assert_eq!(
            seen,
            [
                ("a.com", Some(8080), 1, true),
                ("10.0.0.1", Some(80), 2, false),
                ("[::1]", Some(90), 0, false)
            ]
        );
        let up = read(json!({"scheme": "https", "nodes": [
            {"host": "::1", "weight": 1, "priority": -1, "metadata": {"a": 1}}
        ]}))
        .unwrap();
        assert_eq!((&*up.nodes[0].host, up.nodes[0].port), ("[::1]", Some(443)));
        assert_eq!((up.nodes[0].priority, up.nodes[0].ip.is_some()), (-1, true));
        assert!(read(json!({"nodes": {"a:70000": 1}})).unwrap_err().contains("invalid port 70000"));
    }

    #[test]
    fn defaults_and_values_are_read() {
        let up = read(json!({})).unwrap();
        assert_eq!(up.timeout, Timeout::default());
        assert_eq!(
            (up.balance.clone(), up.retries, up.scheme),
            (Balance::RoundRobin, None, Scheme::Http)
        );
        let up = read(json!({
            "type": "chash", "hash_on": "header", "key": "x", "retries": 0, "retry_timeout": 1.5,
            "timeout": {"connect": 0.5, "send": 1, "read": 2}, "pass_host": "rewrite",
            "upstream_host": "h", "scheme": "grpcs", "keepalive_pool": {"size": 4}
        }))
        .unwrap();
        assert_eq!(
            (up.balance.clone(), up.hash_on, up.retries),
            (Balance::Chash, HashOn::Header, Some(0))
        );
        assert_eq!(up.timeout.connect, Duration::from_millis(500));
        assert_eq!(up.retry_timeout, Some(Duration::from_millis(1500)));
        let pool = up.keepalive_pool.clone().unwrap();
        assert_eq!((pool.size, pool.idle_timeout.as_secs(), pool.requests), (4, 60, 1000));
    }

    #[test]
    fn an_unchanged_upstream_keeps_its_identity() {
        let first = read(json!({"nodes": {"a:1": 1}})).unwrap();
        let mut same = json!({"nodes": {"a:1": 1}});
        normalise(&mut same);
        assert!(Arc::ptr_eq(&first, &Upstream::read(&same, Some(&first)).unwrap()));
        let mut other = json!({"nodes": {"a:1": 2}});
        normalise(&mut other);
        assert_ne!(Upstream::read(&other, Some(&first)).unwrap().id, first.id);
    }

    #[test]
    fn what_the_schema_cannot_say_is_checked() {
        let wrong = |value: Value| check(&value).unwrap_err();
        assert!(wrong(json!({"pass_host": "rewrite"})).contains("upstream_host"));
        assert_eq!(wrong(json!({"type": "chash"})), "missing key");
        assert!(wrong(json!({"type": "chash", "key": "args"})).contains("failed to match pattern"));
        assert!(
            wrong(json!({"type": "chash", "hash_on": "cookie", "key": "a b"})).contains("match")
        );
        for (hash_on, key) in
            [("vars", "arg_id"), ("vars", "uri"), ("header", "X-Y"), ("vars_combinations", "$a$b")]
        {
            assert!(check(&json!({"type": "chash", "hash_on": hash_on, "key": key})).is_ok());
        }
        assert!(check(&json!({"type": "chash", "hash_on": "consumer"})).is_ok());
    }

    #[test]
    fn addresses_are_split() {
        assert_eq!(split_address("a.com"), ("a.com", None));
        assert_eq!(split_address("a.com:80"), ("a.com", Some(80)));
        assert_eq!(split_address("2001:db8::68"), ("2001:db8::68", None));
        assert_eq!(split_address("[::1]"), ("[::1]", None));
        assert_eq!(split_address("[::1]:1"), ("[::1]", Some(1)));
        assert_eq!(split_address("a:b"), ("a:b", None));
    }

    proptest::proptest! {
        #[test]
        fn no_address_makes_it_panic(address in "[a-c0-9:.\\[\\]]{0,16}") {
            let _ = read(json!({"nodes": {address: 1}}));
        }
    }
}
