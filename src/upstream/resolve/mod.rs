//! Addresses of nodes that are configured by name.
//!
//! [`Names`] is what the process knows, shared by all workers and read without a lock;
//! [`Resolver`] is a worker's way to it. A name is asked for once at a time, however many
//! requests want it. An answer that has just become too old is still used while a new one
//! is under way, and goes on being used if the name servers do not answer at all: what was
//! right a minute ago beats an error. Start at [`Resolver::cached`].

mod cache;
mod dns;
pub mod hosts;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use cache::{Answer, Entry, Table};
use dns::Dns;
use hosts::Hosts;

use crate::{
    clock,
    error::{Error, Kind, Result},
};

/// The longest name that DNS allows, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// How names are resolved: keys of the `apisix` section of `config.yaml`.
#[derive(Debug, Clone)]
pub struct Options {
    /// `dns_resolver`; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// `dns_resolver_valid`: how long an answer is good, whatever its TTL says.
    pub valid: Option<Duration>,
    /// `resolver_timeout`: how long to wait for an answer.
    pub timeout: Duration,
    /// `enable_ipv6`: whether a name without IPv4 address may have an IPv6 one.
    pub ipv6: bool,
    /// `enable_resolv_search_opt`: whether to append the search domains of `/etc/resolv.conf`.
    pub search: bool,
    /// Names that need no server.
    pub hosts: Hosts,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            valid: None,
            timeout: Duration::from_secs(5),
            ipv6: true,
            search: true,
            hosts: hosts::parse(""),
        }
    }
}

/// What the process knows of names.
#[derive(Debug)]
pub struct Names {
    options: Options,
    table: Table,
}

impl Names {
    /// Knows the names of `options.hosts` and nothing else.
    #[must_use]
    pub fn new(mut options: Options) -> Arc<Self> {
        let table = Table::new(std::mem::take(&mut options.hosts), options.ipv6);
        Arc::new(Self { options, table })
    }
}

/// A worker's way to addresses.
#[derive(Debug)]
pub struct Resolver {
    names: Arc<Names>,
    /// Made at the first question; belongs to this worker's runtime.
    dns: OnceCell<Arc<Dns>>,
    /// Whose turn it is among several addresses.
    turn: Cell<usize>,
}

impl Resolver {
    /// A resolver for one worker. `seed` makes workers start at different addresses.
    #[must_use]
    pub fn new(names: Arc<Names>, seed: usize) -> Self {
        Self { names, dns: OnceCell::new(), turn: Cell::new(seed) }
    }

    /// The address to use now, if it is known: an address literal, a name of the hosts file,
    /// or a name asked for before. `None` means that [`Resolver::resolve`] would have to wait.
    /// Several addresses take turns. Call it on the worker's runtime: it may start a refresh.
    ///
    /// # Errors
    /// [`Kind::Resolve`]: the name was found not to exist a moment ago.
    pub fn cached(&self, host: &str, now: Instant) -> Option<Result<IpAddr>> {
        if let Some(addr) = literal(host) {
            return Some(Ok(addr));
        }
        let host = lower_case(host);
        let found = self.names.table.with(&host, |entry| {
            entry.with(now, |answer| answer.pick(&self.turn).ok_or_else(|| refusal(&host, answer)))
        })??;
        if found.stale {
            self.refresh(&host, now);
        }
        Some(found.value)
    }

    /// The address to use now, asked for if need be.
    ///
    /// # Errors
    /// [`Kind::Resolve`]: there is no such name, or no server answered in time.
    pub async fn resolve(&self, host: &str) -> Result<IpAddr> {
        if let Some(known) = self.cached(host, clock::now()) {
            return known;
        }
        let answer = self.answer(&lower_case(host)).await?;
        answer.pick(&self.turn).ok_or_else(|| refusal(host, &answer))
    }

    /// All addresses of a name in ascending order, asked for if need be.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub async fn resolve_all(&self, host: &str) -> Result<Vec<IpAddr>> {
        if let Some(addr) = literal(host) {
            return Ok(vec![addr]);
        }
        let answer = self.answer(&lower_case(host)).await?;
        let mut addrs = answer.addrs().to_vec();
        addrs.sort_unstable();
        if addrs.is_empty() { Err(refusal(host, &answer)) } else { Ok(addrs) }
    }

    async fn answer(&self, host: &str) -> Result<Arc<Answer>> {
        if host.is_empty() || host.len() > NAME_BYTES_MAX {
            let kind = Kind::Resolve { host: host.chars().take(NAME_BYTES_MAX).collect() };
            return Err(Error::from(kind).because("not a name"));
        }
        loop {
            let now = clock::now();
            let entry = self.names.table.entry(host, now);
            // Before looking: an answer that comes between the two must not be missed.
            let mut done = pin!(entry.done());
            done.as_mut().enable();
            if let Some(found) = entry.with(now, Arc::clone) {
                if found.stale {
                    self.ask(host, Arc::clone(&entry));
                }
                return Ok(found.value);
            }
            self.ask(host, Arc::clone(&entry));
            done.await;
        }
    }

    fn refresh(&self, host: &str, now: Instant) {
        self.ask(host, self.names.table.entry(host, now));
    }

    /// Starts a question unless one is under way. It runs on its own, so that a request that
    /// goes away does not take the others' answer with it.
    fn ask(&self, host: &str, entry: Arc<Entry>) {
        let Some(asking) = entry.begin() else { return };
        let dns = Arc::clone(self.dns.get_or_init(|| Arc::new(Dns::new(&self.names.options))));
        let (host, valid) = (host.to_owned(), self.names.options.valid);
        tokio::spawn(async move {
            let reply = dns.ask(&host).await;
            asking.finish(reply, valid, clock::now());
        });
    }
}

fn refusal(host: &str, answer: &Answer) -> Error {
    Error::from(Kind::Resolve { host: host.to_owned() }).because(answer.why().to_owned())
}

fn literal(host: &str) -> Option<IpAddr> {
    let last = host.as_bytes().last()?;
    // Names end in a letter nearly always: no parsing for them.
    if !last.is_ascii_digit() && *last != b']' && !host.contains(':') {
        return None;
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse().ok()
}

fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}
