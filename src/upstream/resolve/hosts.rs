//! Names that `/etc/hosts` knows.

use std::{collections::HashMap, fs, io, net::IpAddr};

/// Names in lower case with their addresses, IPv4 first.
pub type Hosts = HashMap<String, Vec<IpAddr>>;

/// Reads `/etc/hosts`; a missing file is an empty one.
///
/// # Errors
/// The file cannot be read.
pub fn read() -> io::Result<Hosts> {
    match fs::read("/etc/hosts") {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(parse("")),
        Err(error) => Err(error),
    }
}

/// The names in a text of that format. Lines that make no sense are skipped, as everywhere.
/// `localhost` is known even if the text does not name it.
#[must_use]
pub fn parse(text: &str) -> Hosts {
    let mut hosts = Hosts::new();
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let mut words = line.split_whitespace();
        let Some(Ok(addr)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            let addrs = hosts.entry(name.to_ascii_lowercase()).or_default();
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
    hosts
        .entry("localhost".to_owned())
        .or_insert_with(|| vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)]);
    for addrs in hosts.values_mut() {
        addrs.sort_by_key(IpAddr::is_ipv6);
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_comments_and_nonsense() {
        let hosts = parse(
            "# head\n::1 ip6 both\n127.0.0.1\tBoth alias # not-me\n\nnonsense here\n10.0.0.300 x\n\
             10.0.0.7 both\n10.0.0.7 both\n10.0.0.8",
        );
        let addrs = |name: &str| hosts.get(name).map(|addrs| format!("{addrs:?}"));
        assert_eq!(addrs("both").as_deref(), Some("[127.0.0.1, 10.0.0.7, ::1]"));
        assert_eq!(addrs("alias").as_deref(), Some("[127.0.0.1]"));
        assert_eq!(addrs("localhost").as_deref(), Some("[127.0.0.1]"));
        for name in ["not-me", "here", "x", "10.0.0.8"] {
            assert_eq!(addrs(name), None);
        }
    }

    #[test]
    fn localhost_is_what_the_file_says() {
        assert_eq!(parse("::1 localhost")["localhost"].len(), 1);
        assert!(parse("::1 localhost")["localhost"][0].is_ipv6());
    }
}
