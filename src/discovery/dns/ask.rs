//! Questions to name servers: one after the other, until one knows.

use std::{cell::Cell, fs, net::SocketAddr, path::Path, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
    system_conf::{parse_resolv_conf, read_system_conf},
};
use tokio::{sync::Semaphore, time::timeout};

use super::lookup::{Ask, Record, Reply};
use crate::config::discovery::{Dns as Options, Record as Kind};

/// How long one server may take, TCP after a truncated answer included. APISIX waits as long.
const SERVER: Duration = Duration::from_secs(2);

/// Questions of this process under way at a time.
const QUESTIONS_MAX: usize = 64;

/// Records of one answer at most. More are cut off.
const RECORDS_MAX: usize = 4096;

/// Name servers, and how names are made whole.
#[derive(Debug)]
pub(super) struct Servers {
    addrs: Vec<SocketAddr>,
    domain: Option<Name>,
    search: Vec<Name>,
    ndots: usize,
}

impl Servers {
    /// The servers of `options`; search domains and dots are those of `resolv_conf`, or with
    /// `servers` those of the system, unless `search` is false.
    ///
    /// # Errors
    ///
    /// A `resolv_conf` that cannot be read or names no server.
    pub(super) fn find(options: &Options, search: bool) -> Result<Self, String> {
        let system = match &options.resolv_conf {
            Some(path) => Some(read(path)?),
            // With servers of its own the file is needed for its search domains only.
            None => read_system_conf().ok(),
        };
        let (config, opts) = system.unwrap_or_else(|| {
            (ResolverConfig::from_name_servers(Vec::new()), ResolverOpts::default())
        });
        let (domain, domains, servers) = config.into_parts();
        let mut addrs = options.servers.clone();
        if addrs.is_empty() {
            let addr = |server: &NameServerConfig| {
                Some(SocketAddr::new(server.ip, server.connections.first()?.port))
            };
            addrs = servers.iter().filter_map(addr).collect();
        }
        let domain = domain.filter(|_| search);
        let search = if search { domains } else { Vec::new() };
        Ok(Self { addrs, domain, search, ndots: opts.ndots })
    }

    /// What asks them; belongs to the runtime it is called on.
    ///
    /// # Errors
    ///
    /// When the resolver cannot be made.
    pub(super) fn open(&self) -> Result<Asker, String> {
        let server = |addr: &SocketAddr| self.resolver(*addr).map_err(|error| error.to_string());
        Ok(Asker {
            servers: self.addrs.iter().map(server).collect::<Result<_, _>>()?,
            turn: Cell::new(0),
            permits: Semaphore::new(QUESTIONS_MAX),
        })
    }

    fn resolver(&self, addr: SocketAddr) -> Result<TokioResolver, NetError> {
        let mut server = NameServerConfig::udp_and_tcp(addr.ip());
        for connection in &mut server.connections {
            connection.port = addr.port();
        }
        let (domain, search) = (self.domain.clone(), self.search.clone());
        let config = ResolverConfig::from_parts(domain, search, vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let opts: &mut ResolverOpts = builder.options_mut();
        opts.ndots = self.ndots;
        opts.timeout = SERVER;
        // The next server is a better second try.
        opts.attempts = 0;
        opts.use_hosts_file = ResolveHosts::Never;
        // Lists are what is kept.
        opts.cache_size = 0;
        builder.build()
    }
}

fn read(path: &Path) -> Result<(ResolverConfig, ResolverOpts), String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| told(&error))?;
    parse_resolv_conf(text).map_err(|error| told(&error))
}

/// Asks one server after the other, beginning with the one that answered last.
pub(super) struct Asker {
    servers: Vec<TokioResolver>,
    turn: Cell<usize>,
    permits: Semaphore,
}

impl Ask for Asker {
    async fn ask(&self, name: &str, kind: Kind) -> Reply {
        let name = match Name::from_utf8(name) {
            Ok(name) => name,
            // It cannot even be asked for.
            Err(error) => return Reply::None(format!("{name} is no name: {error}"), None),
        };
        let Ok(_permit) = self.permits.acquire().await else {
            return Reply::Silence("the process ends".to_owned());
        };
        let first = self.turn.get();
        let mut worst = None;
        for at in 0..self.servers.len() {
            let turn = (first + at) % self.servers.len().max(1);
            let Some(server) = self.servers.get(turn) else { continue };
            let reply = match timeout(SERVER, server.lookup(name.clone(), record_type(kind))).await
            {
                Ok(Ok(found)) => read_answer(&found, kind),
                Ok(Err(error)) => read_error(&error),
                Err(_) => Reply::Silence("no answer in time".to_owned()),
            };
            match reply {
                Reply::Records(..) | Reply::None(..) => {
                    self.turn.set(turn);
                    return reply;
                }
                // A server that says no to us says more than one that is silent.
                Reply::Refused(_) => worst = Some(reply),
                Reply::Silence(_) => worst = worst.or(Some(reply)),
            }
        }
        worst.unwrap_or_else(|| Reply::Silence("there is no name server".to_owned()))
    }
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Srv => RecordType::SRV,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Cname => RecordType::CNAME,
        Kind::A | Kind::Last => RecordType::A,
    }
}

fn read_answer(found: &Lookup, kind: Kind) -> Reply {
    let mut ttl = u32::MAX;
    let mut records = Vec::new();
    for record in found.answers() {
        // An alias on the way counts too: it may change sooner than what it leads to. A TTL with
        // the highest bit set is 0, the shortest of all.
        let its = if record.ttl > i32::MAX.unsigned_abs() { 0 } else { record.ttl };
        ttl = ttl.min(its);
        let read = match (&record.data, kind) {
            (RData::A(addr), Kind::A) => Record::Address(addr.0.into()),
            (RData::AAAA(addr), Kind::Aaaa) => Record::Address(addr.0.into()),
            (RData::SRV(srv), Kind::Srv) => Record::Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_lowercase().to_ascii(),
            },
            (RData::CNAME(name), Kind::Cname) => Record::Alias(name.0.to_lowercase().to_ascii()),
            _ => continue,
        };
        if records.len() < RECORDS_MAX {
            records.push(read);
        }
    }
    if records.is_empty() {
        return Reply::None("dns client error: 101 empty record received".to_owned(), None);
    }
    Reply::Records(records, ttl)
}

fn read_error(error: &NetError) -> Reply {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => {
                Reply::None("dns server error: 3 name error".to_owned(), none.negative_ttl)
            }
            ResponseCode::NoError => {
                let why = "dns client error: 101 empty record received";
                Reply::None(why.to_owned(), none.negative_ttl)
            }
            code => refused(code),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => refused(*code),
        // Garbage among them: whoever sends it has not said no.
        _ => Reply::Silence(error.to_string()),
    }
}

fn refused(code: ResponseCode) -> Reply {
    Reply::Refused(format!("dns server error: {} {code}", u16::from(code)))
}
