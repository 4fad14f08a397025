//! Who the client is, when a proxy in front of us says so.

use std::net::{IpAddr, SocketAddr};

use crate::{config::Local, exchange::Exchange, route::ip::IpMatcher};

/// `real_ip_*` and `trusted_addresses`, compiled.
#[derive(Debug, Default)]
pub struct ClientAddr {
    /// Peers whose header names the client.
    from: Option<IpMatcher>,
    /// The header.
    header: String,
    recursive: bool,
    /// Peers whose `X-Forwarded-*` are believed; `None` where nothing is configured.
    trusted: Option<IpMatcher>,
}

impl ClientAddr {
    /// Compiles the settings.
    ///
    /// # Errors
    ///
    /// The first entry that is neither an address nor a network.
    pub fn new(local: &Local) -> Result<Self, String> {
        let networks = |list: &[String]| -> Result<Option<IpMatcher>, String> {
            // Unix sockets are trusted by nobody here: we do not listen on them.
            let list: Vec<&String> = list.iter().filter(|entry| *entry != "unix:").collect();
            if list.is_empty() { Ok(None) } else { IpMatcher::new(list).map(Some) }
        };
        Ok(Self {
            from: networks(&local.real_ip_from)?,
            header: local.real_ip_header.clone(),
            recursive: local.real_ip_recursive,
            trusted: match &local.trusted_addresses {
                Some(list) => Some(IpMatcher::new(list.iter())?),
                None => None,
            },
        })
    }

    /// Sets `x.remote`, and makes `X-Forwarded-*` say what we see unless the peer is trusted.
    pub fn apply(&self, x: &mut Exchange) {
        let peer = x.conn.peer.ip();
        if self.from.as_ref().is_some_and(|from| from.matches(peer))
            && let Some(address) = self.named(x)
        {
            x.remote = address;
        }
        if self.trusted.as_ref().is_some_and(|trusted| trusted.matches(peer)) {
            return;
        }
        let fields = &mut x.head.fields;
        fields.remove("forwarded");
        if self.trusted.is_some() {
            fields.remove("x-forwarded-for");
        }
        let scheme: &[u8] = if x.conn.tls { b"https" } else { b"http" };
        // Our own names with values checked as a head was parsed; a full table of fields
        // stays as it is and the request goes on without.
        let _ = fields.set("X-Forwarded-Proto", scheme);
        let _ = fields.set("X-Forwarded-Host", &x.host);
        let mut digits = itoa::Buffer::new();
        let _ = fields.set("X-Forwarded-Port", digits.format(x.conn.local.port()));
    }

    /// The address that the header names: its last one, or with `recursive` the last that
    /// no proxy of ours has.
    fn named(&self, x: &Exchange) -> Option<SocketAddr> {
        let values: Vec<&[u8]> = x.head.fields.get_all(self.header.as_str()).collect();
        let joined = values.join(&b", "[..]);
        let mut found = None;
        for entry in joined.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let Some(address) = std::str::from_utf8(entry).ok().and_then(parse_address) else {
                break;
            };
            found = Some(address);
            let ours = self.from.as_ref().is_some_and(|from| from.matches(address.ip()));
            if !self.recursive || !ours {
                break;
            }
        }
        found.map(|address| match address.port() {
            0 => SocketAddr::new(address.ip(), x.conn.peer.port()),
            _ => address,
        })
    }
}

/// An address with or without port; port 0 if there is none.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let bare = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    bare(text)
        .or_else(|| text.parse().ok())
        .or_else(|| bare(text.strip_prefix('[')?.strip_suffix(']')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(from: &[&str], recursive: bool, header: &str) -> String {
        let client = ClientAddr {
            from: Some(IpMatcher::new(from.iter()).unwrap()),
            header: "X-Forwarded-For".to_owned(),
            recursive,
            trusted: None,
        };
        let mut x = Exchange::default();
        x.head.fields.add("X-Forwarded-For", header).unwrap();
        client.apply(&mut x);
        x.remote.to_string()
    }

    #[test]
    fn the_last_address_counts_and_recursion_skips_our_own() {
        let us = ["0.0.0.0", "10.0.0.0/8"];
        assert_eq!(remote(&us, false, "1.1.1.1, 10.0.0.1"), "10.0.0.1:0");
        assert_eq!(remote(&us, true, "2.2.2.2, 1.1.1.1, 10.0.0.1"), "1.1.1.1:0");
        assert_eq!(remote(&us, false, "[::1]:80"), "[::1]:80");
        assert_eq!(remote(&us, false, "garbage"), "0.0.0.0:0");
        assert_eq!(remote(&["9.9.9.9"], false, "1.1.1.1"), "0.0.0.0:0", "peer not listed");
    }
}
