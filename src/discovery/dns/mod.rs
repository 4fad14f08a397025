//! Services in DNS: `discovery.dns`.
//!
//! A name is asked for when its time is over, on the registry's own thread, while the nodes
//! found before go on being used. `lookup` says what is asked and what answers mean, `timing`
//! when; `ask` is the only one that knows name servers.

mod ask;
mod lookup;
mod timing;

use std::{rc::Rc, time::Duration};

use ask::Servers;
use lookup::{Outcome, Wanted, look_up};
use serde_json::{Value, json};
use timing::Timing;
use tokio::time::sleep;

use super::registry::{Feed, Life, Registry, Services, each};
use crate::{
    config::{
        discovery::{Dns as Options, Record},
        upstream::{Node, split_address},
    },
    log::error_log::Level,
    log_at,
};

/// What settings of other sections say of names.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// `apisix.enable_resolv_search_opt`: whether search domains are appended.
    pub search: bool,
    /// `apisix.enable_ipv6`: whether IPv6 addresses are asked for.
    pub ipv6: bool,
}

/// Services in DNS.
#[derive(Debug)]
pub struct Dns {
    options: Options,
    servers: Servers,
}

impl Dns {
    /// Reads `resolv_conf`, if that is what names the servers.
    ///
    /// # Errors
    ///
    /// When it cannot be read or names none.
    pub fn new(mut options: Options, names: Names) -> Result<Self, String> {
        let servers = Servers::find(&options, names.search)
            .map_err(|why| format!("discovery.dns.resolv_conf: {why}"))?;
        options.order.retain(|kind| names.ipv6 || *kind != Record::Aaaa);
        Ok(Self { options, servers })
    }
}

impl Registry for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn stale_max(&self) -> Duration {
        self.options.stale_max
    }

    fn config(&self) -> Value {
        let Options { servers, resolv_conf, order, .. } = &self.options;
        json!({
            "servers": servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "resolv_conf": resolv_conf.as_ref().map(|path| path.display().to_string()),
            "order": order.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            "ttl_min": self.options.ttl_min.as_secs(),
            "ttl_max": self.options.ttl_max.as_secs(),
            "negative_ttl_max": self.options.negative_ttl_max.as_secs(),
            "stale_max": self.options.stale_max.as_secs(),
        })
    }

    fn run(self: Box<Self>, services: Services) -> Life {
        Box::pin(async move {
            let asker = match self.servers.open() {
                Ok(asker) => Rc::new(asker),
                Err(error) => {
                    log_at!(Level::Error, "discovery dns does not work: {error}");
                    return;
                }
            };
            let options = Rc::new(self.options);
            each(services, move |feed| look_after(feed, Rc::clone(&asker), Rc::clone(&options)))
                .await;
        })
    }
}

/// The life of one service on the registry's thread.
async fn look_after<A: lookup::Ask>(feed: Feed, asker: Rc<A>, options: Rc<Options>) {
    let (host, port) = split_address(feed.service());
    let bare = host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(host);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    if let Ok(ip) = bare.parse() {
        let (host, metadata, domain) = (bare.into(), None, None);
        let node = Node { host, ip: Some(ip), port, weight: 1, priority: 0, metadata, domain };
        return feed.nodes(vec![node]);
    }
    let wanted = Wanted { host: host.to_owned(), port };
    let timing = Timing::new(&options);
    let (mut last, mut failures, mut oddly, mut times) = (None, 0_u32, None, 0);
    loop {
        let outcome = look_up(&asker, &options.order, last, &wanted).await;
        let pause = match outcome {
            Outcome::Nodes { nodes, ttl, kind, odd } => {
                if odd.is_some() && odd != oddly {
                    let text = odd.as_deref().unwrap_or_default();
                    log_at!(Level::Warn, "discovery dns: service {}: {text}", feed.service());
                }
                (last, failures, oddly) = (Some(kind), 0, odd);
                feed.nodes(nodes);
                timing.good(ttl)
            }
            Outcome::None(why, ttl) => {
                failures = 0;
                feed.none(&format!("failed to query the DNS server: {why}"));
                timing.negative(ttl)
            }
            Outcome::Failed(why) => {
                failures = failures.saturating_add(1);
                feed.failed(&format!("failed to query the DNS server: {why}"));
                Timing::retry(failures)
            }
        };
        times += 1;
        sleep(timing::spread(pause, feed.id(), times)).await;
    }
}
