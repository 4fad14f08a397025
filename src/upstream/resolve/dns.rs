//! Questions to name servers.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{RData, RecordType},
    },
    system_conf::read_system_conf,
};
use tokio::time::timeout;

use super::Options;

/// The addresses of a name (at least one) and how long they are good.
pub(super) type Reply = Result<(Vec<IpAddr>, Duration), Refusal>;

/// Why there are no addresses.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A server says that there are none.
    NoSuchName(String),
    /// No server said anything useful.
    Silence(String),
}

/// The name servers, as one worker's runtime talks to them.
#[derive(Debug)]
pub(super) struct Dns {
    resolver: Result<TokioResolver, String>,
    ipv6: bool,
    timeout: Duration,
}

impl Dns {
    pub(super) fn new(options: &Options) -> Self {
        let resolver = build(options).map_err(|error| error.to_string());
        Self { resolver, ipv6: options.ipv6, timeout: options.timeout }
    }

    /// IPv4 addresses, or IPv6 ones if there are none.
    pub(super) async fn ask(&self, host: &str) -> Reply {
        let resolver = self.resolver.as_ref().map_err(|why| Refusal::Silence(why.clone()))?;
        let asking = async {
            match ask_for(resolver, host, RecordType::A).await {
                Err(Refusal::NoSuchName(_)) if self.ipv6 => {
                    ask_for(resolver, host, RecordType::AAAA).await
                }
                reply => reply,
            }
        };
        match timeout(self.timeout, asking).await {
            Ok(reply) => reply,
            Err(_) => Err(Refusal::Silence("no answer in time".to_owned())),
        }
    }
}

fn build(options: &Options) -> Result<TokioResolver, NetError> {
    let system = read_system_conf();
    let (config, mut opts) = match system {
        Ok(system) => system,
        // With servers of its own the file is needed for its search domains only.
        Err(_) if !options.servers.is_empty() => {
            (ResolverConfig::from_name_servers(Vec::new()), ResolverOpts::default())
        }
        Err(error) => return Err(error),
    };
    let (domain, search, mut servers) = config.into_parts();
    if !options.servers.is_empty() {
        servers = options.servers.iter().map(|&server| name_server(server)).collect();
    }
    let config = if options.search {
        ResolverConfig::from_parts(domain, search, servers)
    } else {
        ResolverConfig::from_name_servers(servers)
    };
    opts.use_hosts_file = ResolveHosts::Never;
    // We keep answers ourselves, for all workers.
    opts.cache_size = 0;
    // Leaves time for a second question within ours.
    opts.timeout = opts.timeout.min(options.timeout / 2);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = opts;
    builder.build()
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    config
}

async fn ask_for(resolver: &TokioResolver, host: &str, kind: RecordType) -> Reply {
    match resolver.lookup(host, kind).await {
        Ok(found) => addresses(&found),
        Err(error) => Err(refusal(&error)),
    }
}

fn addresses(found: &Lookup) -> Reply {
    let mut ttl = u32::MAX;
    let mut addrs = Vec::new();
    for record in found.answers() {
        let addr = match &record.data {
            RData::A(addr) => IpAddr::V4(addr.0),
            RData::AAAA(addr) => IpAddr::V6(addr.0),
            // An alias on the way to an address: it may change sooner than the address.
            _ => {
                ttl = ttl.min(record.ttl);
                continue;
            }
        };
        ttl = ttl.min(record.ttl);
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    if addrs.is_empty() {
        return Err(Refusal::NoSuchName("no address among the records".to_owned()));
    }
    Ok((addrs, Duration::from_secs(ttl.into())))
}

fn refusal(error: &NetError) -> Refusal {
    let why = error.to_string();
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Refusal::NoSuchName(why)
        }
        // A name that cannot even be asked for.
        NetError::Proto(_) => Refusal::NoSuchName(why),
        _ => Refusal::Silence(why),
    }
}
