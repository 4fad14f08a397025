//! `discovery` of `config.yaml`: the registries that services are looked up in.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

/// The port of a name server that names none.
const DNS_PORT: u16 = 53;

/// Longest time that a setting may say: a week, which is also what RFC 8767 lets a TTL be.
const SECONDS_MAX: u64 = 7 * 24 * 3600;

/// Name servers at most: each may cost a time-out before the next one is asked.
const SERVERS_MAX: usize = 8;

/// What a service is looked for by, in a place of `order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record {
    /// The kind that answered last.
    Last,
    /// Hosts with ports, weights and priorities.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Another name to look for instead.
    Cname,
}

impl Record {
    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "last" => Self::Last,
            "SRV" => Self::Srv,
            "A" => Self::A,
            "AAAA" => Self::Aaaa,
            "CNAME" => Self::Cname,
            _ => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        }
    }
}

/// `discovery.dns`: `servers`, `resolv_conf` and `order` are APISIX's, the rest is moongate's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// `servers`: asked in this order; empty with a `resolv_conf`.
    pub servers: Vec<SocketAddr>,
    /// `resolv_conf`: the file that names the servers.
    pub resolv_conf: Option<PathBuf>,
    /// `order`: kinds of records, the first that there are is taken.
    pub order: Vec<Record>,
    /// `ttl_min`, seconds (1): an answer is good at least so long.
    pub ttl_min: Duration,
    /// `ttl_max`, seconds (300): and at most so long.
    pub ttl_max: Duration,
    /// `negative_ttl_max`, seconds (5): after which a name that is not there is asked for again.
    pub negative_ttl_max: Duration,
    /// `stale_max`, seconds (86400): how long nodes are used after the last answer while no
    /// server answers (RFC 8767).
    pub stale_max: Duration,
}

/// What is wrong with a section: the key below it (empty: the section), and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Name of the key.
    pub key: &'static str,
    /// For the operator.
    pub why: String,
}

fn wrong(key: &'static str, why: impl Into<String>) -> Wrong {
    Wrong { key, why: why.into() }
}

impl Dns {
    /// Reads `discovery.dns`.
    ///
    /// # Errors
    ///
    /// The first key that cannot be used.
    pub fn read(value: &Value) -> Result<Self, Wrong> {
        let Value::Object(map) = value else { return Err(wrong("", "must be a map")) };
        const KEYS: [&str; 7] = [
            "servers",
            "resolv_conf",
            "order",
            "ttl_min",
            "ttl_max",
            "negative_ttl_max",
            "stale_max",
        ];
        if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(wrong("", format!("has no key {key}, only {}", KEYS.join(", "))));
        }
        let resolv_conf = match value.get("resolv_conf") {
            None => None,
            Some(Value::String(path)) if !path.is_empty() => Some(PathBuf::from(path)),
            Some(other) => return Err(wrong("resolv_conf", format!("is no path: {other}"))),
        };
        let servers = servers(value.get("servers"))?;
        if servers.is_empty() == resolv_conf.is_none() {
            return Err(wrong("", "needs either servers or resolv_conf, and not both"));
        }
        let dns = Self {
            servers,
            resolv_conf,
            order: order(value.get("order"))?,
            ttl_min: seconds(value, "ttl_min", 1, 1)?,
            ttl_max: seconds(value, "ttl_max", 1, 300)?,
            negative_ttl_max: seconds(value, "negative_ttl_max", 1, 5)?,
            stale_max: seconds(value, "stale_max", 0, 24 * 3600)?,
        };
        if dns.ttl_min > dns.ttl_max {
            return Err(wrong("ttl_min", "must not be above ttl_max"));
        }
        Ok(dns)
    }
}

fn servers(value: Option<&Value>) -> Result<Vec<SocketAddr>, Wrong> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if !list.is_empty() && list.len() <= SERVERS_MAX => list,
        Some(_) => {
            return Err(wrong("servers", format!("must be a list of 1 to {SERVERS_MAX} servers")));
        }
    };
    let server = |server: &Value| {
        let text = server.as_str().and_then(address);
        text.ok_or_else(|| {
            wrong("servers", format!("{server} is neither an address nor an address and port"))
        })
    };
    list.iter().map(server).collect()
}

/// `1.2.3.4`, `1.2.3.4:53`, `::1`, `[::1]:53`.
fn address(text: &str) -> Option<SocketAddr> {
    let with_port = text.parse::<SocketAddr>().ok().filter(|addr| addr.port() > 0);
    let bare = || {
        let ip = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(text);
        Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, DNS_PORT))
    };
    with_port.or_else(bare)
}

fn order(value: Option<&Value>) -> Result<Vec<Record>, Wrong> {
    let list = match value {
        None => {
            use Record::{A, Aaaa, Cname, Last, Srv};
            return Ok(vec![Last, Srv, A, Aaaa, Cname]);
        }
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(_) => return Err(wrong("order", "must be a list that is not empty")),
    };
    let mut order = Vec::new();
    for kind in list {
        let known = kind.as_str().and_then(Record::parse);
        match known {
            Some(known) if order.contains(&known) => {
                return Err(wrong("order", format!("has {} twice", known.name())));
            }
            Some(known) => order.push(known),
            None => {
                let why = format!("{kind} is none of last, SRV, A, AAAA, CNAME");
                return Err(wrong("order", why));
            }
        }
    }
    if order == [Record::Last] {
        return Err(wrong("order", "needs a kind besides last"));
    }
    Ok(order)
}

fn seconds(value: &Value, key: &'static str, min: u64, default: u64) -> Result<Duration, Wrong> {
    let seconds = match value.get(key) {
        None => default,
        Some(value) => {
            value.as_u64().filter(|n| (min..=SECONDS_MAX).contains(n)).ok_or_else(|| {
                wrong(key, format!("must be whole seconds from {min} to {SECONDS_MAX}: {value}"))
            })?
        }
    };
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_as_in_apisix() {
        let dns = Dns::read(&json!({"servers": ["127.0.0.1:8600", "::1", "[::1]:5353"]})).unwrap();
        let servers: Vec<String> = dns.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.1:8600", "[::1]:53", "[::1]:5353"]);
        let names: Vec<&str> = dns.order.iter().map(|kind| kind.name()).collect();
        assert_eq!(names, ["last", "SRV", "A", "AAAA", "CNAME"]);
        let seconds = [dns.ttl_min, dns.ttl_max, dns.negative_ttl_max, dns.stale_max];
        assert_eq!(seconds.map(|time| time.as_secs()), [1, 300, 5, 86400]);
        let dns = Dns::read(&json!({"resolv_conf": "/r", "order": ["A"], "stale_max": 0})).unwrap();
        assert_eq!((dns.order, dns.stale_max), (vec![Record::A], Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let check = |value: Value, key: &str, part: &str| {
            let found = Dns::read(&value).unwrap_err();
            assert!(found.key == key && found.why.contains(part), "{value}: {found:?}");
        };
        check(json!([]), "", "map");
        check(json!({}), "", "either");
        check(json!({"servers": ["1.1.1.1"], "resolv_conf": "/r"}), "", "not both");
        check(json!({"servers": []}), "servers", "1 to 8");
        check(json!({"servers": ["dns.test:53"]}), "servers", "dns.test");
        check(json!({"servers": ["1.1.1.1:0"]}), "servers", "1.1.1.1:0");
        check(json!({"servers": ["1.1.1.1"], "ordre": []}), "", "ordre");
        let with = |key: &str, value: Value| json!({"servers": ["1.1.1.1"], key: value});
        check(with("order", json!(["A", "A"])), "order", "twice");
        check(with("order", json!(["MX"])), "order", "MX");
        check(with("order", json!(["last"])), "order", "besides");
        check(with("ttl_min", json!(0)), "ttl_min", "from 1");
        check(with("ttl_min", json!(301)), "ttl_min", "ttl_max");
        check(with("stale_max", json!(604_801)), "stale_max", "604800");
        check(with("negative_ttl_max", json!("5")), "negative_ttl_max", "seconds");
    }
}
