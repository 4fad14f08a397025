//! `deployment.etcd` of `config.yaml`, as APISIX has it.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};
use tokio_rustls::TlsConnector;

/// Endpoints that are used.
const ENDPOINTS_MAX: usize = 64;

/// One address of etcd: `https://10.0.0.1:2379`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port, as in a URL.
    pub url: String,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it is `https`.
    pub tls: bool,
}

impl Endpoint {
    /// Reads a URL. Without a port it is 2379, which is etcd's own.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the text names no password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err("must begin with http:// or https://".to_owned());
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err("must not hold a user: set deployment.etcd.user and password".to_owned());
        }
        if rest.contains(['/', '?', '#']) {
            return Err("must end after the port".to_owned());
        }
        let named = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let bare = host.parse::<std::net::Ipv6Addr>().is_ok();
        if !(if rest.starts_with('[') { bare } else { named(host) }) {
            return Err("has no host that makes sense".to_owned());
        }
        let port = match port {
            None => 2379,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err("has no port that makes sense".to_owned()),
            },
        };
        let scheme = if tls { "https" } else { "http" };
        let authority = if bare { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let url = format!("{scheme}://{authority}");
        Ok(Self { url, host: host.to_owned(), port, tls })
    }
}

/// `deployment.etcd.tls`: what to make the [`TlsConnector`] of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Path of our own certificate chain, PEM.
    pub cert: Option<String>,
    /// Path of its private key, PEM.
    pub key: Option<String>,
    /// Whether etcd's certificate is checked.
    pub verify: bool,
}

impl Default for TlsFiles {
    fn default() -> Self {
        Self { cert: None, key: None, verify: true }
    }
}

/// Which etcd, and how to talk with it.
#[derive(Clone)]
pub struct Options {
    /// Its addresses, of one cluster.
    pub endpoints: Vec<Endpoint>,
    /// What all keys begin with: `/apisix`. A slash comes between it and [`Entry::key`].
    ///
    /// [`Entry::key`]: crate::store::Entry::key
    pub prefix: String,
    /// How long one operation may take.
    pub timeout: Duration,
    /// How often all endpoints are tried before the snapshot of the disk is used.
    pub startup_retry: u32,
    /// How long a watch may say nothing, not even when asked.
    pub watch_timeout: Duration,
    /// How long an endpoint may take to connect and say how it is, and how long one that did
    /// not is asked only when no other is there.
    pub health_check_timeout: Duration,
    /// Longest pause between two tries, before jitter.
    pub resync_delay: Duration,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// The name that TLS asks for and checks, instead of the endpoint's host.
    pub sni: Option<String>,
    /// Files to make [`Self::tls`] of.
    pub tls_files: TlsFiles,
    /// What shakes hands with `https` endpoints. It must offer `h2`.
    pub tls: Option<TlsConnector>,
}

impl fmt::Debug for Options {
    // Passwords stay out of every log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("endpoints", &self.urls())
            .field("prefix", &self.prefix)
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

impl Options {
    /// What holds when only endpoints are given.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            prefix: "/apisix".to_owned(),
            timeout: Duration::from_secs(30),
            startup_retry: 2,
            watch_timeout: Duration::from_secs(50),
            health_check_timeout: Duration::from_secs(10),
            resync_delay: Duration::from_secs(5),
            login: None,
            sni: None,
            tls_files: TlsFiles::default(),
            tls: None,
        }
    }

    /// Reads the value of `deployment.etcd`, environment variables replaced. [`Self::tls`] is
    /// left to be made of [`Self::tls_files`].
    ///
    /// # Errors
    ///
    /// All that is wrong with it, each with its path. No text holds a password.
    pub fn read(etcd: &Value) -> Result<Self, Vec<String>> {
        let Some(etcd) = etcd.as_object() else {
            return Err(vec!["deployment.etcd: must be an object".to_owned()]);
        };
        let mut read = Reading { of: etcd, path: "deployment.etcd", wrong: Vec::new() };
        let mut options = Self::new(read.endpoints());
        if let Some(prefix) = read.text("prefix") {
            options.prefix = prefix;
        }
        read.seconds("timeout", &mut options.timeout);
        read.seconds("watch_timeout", &mut options.watch_timeout);
        read.seconds("health_check_timeout", &mut options.health_check_timeout);
        read.seconds("resync_delay", &mut options.resync_delay);
        if let Some(retries) = read.whole("startup_retry") {
            options.startup_retry = u32::try_from(retries).unwrap_or(1).max(1);
        }
        options.login = match (read.text("user"), read.text("password")) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            // As in APISIX, one without the other logs nobody in; here it is not silent.
            _ => {
                read.wrong.push("deployment.etcd: set both user and password, or none".to_owned());
                None
            }
        };
        let mut wrong = read.wrong;
        match etcd.get("tls") {
            None | Some(Value::Null) => {}
            Some(Value::Object(tls)) => {
                let mut read = Reading { of: tls, path: "deployment.etcd.tls", wrong };
                read.tls(&mut options);
                wrong = read.wrong;
            }
            Some(_) => wrong.push("deployment.etcd.tls: must be an object".to_owned()),
        }
        if wrong.is_empty() { Ok(options) } else { Err(wrong) }
    }

    /// The endpoints as URLs.
    pub(super) fn urls(&self) -> Vec<&str> {
        self.endpoints.iter().map(|endpoint| endpoint.url.as_str()).collect()
    }
}

/// Fields of one object, and what was wrong with them so far.
struct Reading<'a> {
    of: &'a Map<String, Value>,
    path: &'static str,
    wrong: Vec<String>,
}

impl Reading<'_> {
    fn wrong(&mut self, name: &str, why: &str) {
        self.wrong.push(format!("{}.{name}: {why}", self.path));
    }

    fn given(&self, name: &str) -> Option<Value> {
        self.of.get(name).filter(|value| !value.is_null()).cloned()
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.given(name)? {
            Value::String(text) => Some(text),
            // YAML takes a password of digits for a number.
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.wrong(name, "must be a string");
                None
            }
        }
    }

    fn whole(&mut self, name: &str) -> Option<i64> {
        let value = self.given(name)?;
        let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        if number.is_none() {
            self.wrong(name, "must be an integer");
        }
        number
    }

    /// Numbers below 1 ask for the default, as APISIX has it.
    fn seconds(&mut self, name: &str, into: &mut Duration) {
        const DAY: u64 = 86_400;
        if let Some(seconds) = self.whole(name)
            && let Ok(seconds) = u64::try_from(seconds)
            && seconds > 0
        {
            *into = Duration::from_secs(seconds.min(DAY));
        }
    }

    fn endpoints(&mut self) -> Vec<Endpoint> {
        let hosts = match self.given("host") {
            // Old files have a single one.
            Some(Value::String(host)) => vec![Value::String(host)],
            Some(Value::Array(hosts)) if hosts.len() <= ENDPOINTS_MAX => hosts,
            Some(Value::Array(_)) => {
                self.wrong("host", &format!("at most {ENDPOINTS_MAX} are supported by moongate"));
                return Vec::new();
            }
            _ => Vec::new(),
        };
        if hosts.is_empty() {
            self.wrong("host", "must be a list of URLs such as http://127.0.0.1:2379");
        }
        let mut found: Vec<Endpoint> = Vec::new();
        for (at, host) in hosts.iter().enumerate() {
            let endpoint = host.as_str().ok_or_else(|| "must be a string".to_owned());
            match endpoint.and_then(Endpoint::parse) {
                Ok(endpoint) if found.contains(&endpoint) => {}
                Ok(endpoint) => found.push(endpoint),
                Err(why) => self.wrong(&format!("host[{at}]"), &why),
            }
        }
        found
    }

    fn tls(&mut self, options: &mut Options) {
        options.tls_files.cert = self.text("cert");
        options.tls_files.key = self.text("key");
        options.sni = self.text("sni");
        match self.given("verify") {
            None => {}
            Some(Value::Bool(verify)) => options.tls_files.verify = verify,
            Some(_) => self.wrong("verify", "must be true or false"),
        }
        if options.tls_files.cert.is_some() != options.tls_files.key.is_some() {
            self.wrong.push(format!("{}: set both cert and key, or none", self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn urls_are_read() {
        let read = |text| Endpoint::parse(text).map(|endpoint| endpoint.url);
        assert_eq!(read("http://127.0.0.1:2379"), Ok("http://127.0.0.1:2379".to_owned()));
        assert_eq!(read("https://etcd.example/"), Ok("https://etcd.example:2379".to_owned()));
        assert_eq!(read("http://[::1]:4001"), Ok("http://[::1]:4001".to_owned()));
        assert_eq!(read("http://[::1]"), Ok("http://[::1]:2379".to_owned()));
        for bad in [
            "",
            "127.0.0.1:2379",
            "ftp://a",
            "http://",
            "http://:1",
            "http://a:0",
            "http://a:70000",
            "http://a:1/v3",
            "http://a b",
            "http://[a]:1",
            "http://[::1",
            "http://a:",
            "http://[]:1",
            "http://::1:1",
            "http://[::1]x1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let error = read("http://root:geheim@a:1").unwrap_err();
        assert!(error.contains("user") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn the_whole_object_is_read() {
        let options = Options::read(&json!({
            "host": ["https://a:1", "https://b:2", "https://a:1"],
            "prefix": "/mine",
            "timeout": 3,
            "watch_timeout": 9,
            "startup_retry": 4,
            "health_check_timeout": -1,
            "resync_delay": 2,
            "user": "root",
            "password": 12345,
            "tls": {"cert": "c.pem", "key": "k.pem", "verify": false, "sni": "etcd.example"},
        }))
        .unwrap();
        assert_eq!(options.urls(), ["https://a:1", "https://b:2"]);
        assert_eq!(options.prefix, "/mine");
        assert_eq!((options.timeout.as_secs(), options.watch_timeout.as_secs()), (3, 9));
        assert_eq!(options.health_check_timeout.as_secs(), 10);
        assert_eq!((options.startup_retry, options.resync_delay.as_secs()), (4, 2));
        assert_eq!(options.login, Some(("root".to_owned(), "12345".to_owned())));
        assert_eq!(options.sni.as_deref(), Some("etcd.example"));
        let files =
            TlsFiles { cert: Some("c.pem".into()), key: Some("k.pem".into()), verify: false };
        assert_eq!(options.tls_files, files);
        assert!(!format!("{options:?}").contains("12345"));
    }

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let wrong = Options::read(&json!({
            "host": ["etcd:2379", 5],
            "prefix": [],
            "timeout": "soon",
            "user": "root",
            "tls": {"verify": "yes", "cert": "c.pem"},
        }))
        .unwrap_err();
        assert_eq!(
            wrong,
            [
                "deployment.etcd.host[0]: must begin with http:// or https://",
                "deployment.etcd.host[1]: must be a string",
                "deployment.etcd.prefix: must be a string",
                "deployment.etcd.timeout: must be an integer",
                "deployment.etcd: set both user and password, or none",
                "deployment.etcd.tls.verify: must be true or false",
                "deployment.etcd.tls: set both cert and key, or none",
            ]
        );
        assert_eq!(
            Options::read(&json!({})).unwrap_err(),
            ["deployment.etcd.host: must be a list of URLs such as http://127.0.0.1:2379"]
        );
        assert_eq!(Options::read(&json!(1)).unwrap_err(), ["deployment.etcd: must be an object"]);
    }
}
