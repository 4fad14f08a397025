//! Sets of IP addresses and networks, as `remote_addrs`, `ipmatch` and plugins name them.
//!
//! A set is two sorted lists of disjoint ranges, so a look-up is one binary search whether the
//! configuration names three networks or ten thousand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses and CIDR networks of both families.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpMatcher {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl IpMatcher {
    /// Builds the set from entries such as `10.0.0.1`, `10.0.0.0/8`, `::1`, `[fe80::]/10`.
    ///
    /// # Errors
    /// `invalid ip address: …` with the first entry that is neither an address nor a network.
    pub fn new<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for entry in entries {
            let entry = entry.as_ref();
            match parse_network(entry) {
                Some((IpAddr::V4(address), bits)) => v4.push(range_v4(address, bits)),
                Some((IpAddr::V6(address), bits)) => match (address.to_ipv4_mapped(), bits) {
                    // A dual-stack socket shows an IPv4 client so; it is the same client.
                    (Some(inner), 96..) => v4.push(range_v4(inner, bits - 96)),
                    _ => v6.push(range_v6(address, bits)),
                },
                None => return Err(format!("invalid ip address: {entry}")),
            }
        }
        Ok(Self { v4: merge(v4), v6: merge(v6) })
    }

    /// Whether `address` is in the set. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn matches(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => contains(&self.v4, address.to_bits()),
            IpAddr::V6(address) => contains(&self.v6, address.to_bits()),
        }
    }

    /// As [`Self::matches`] for an address as text, which may stand in brackets. Text that is no
    /// address is in no set.
    #[must_use]
    pub fn matches_text(&self, address: &[u8]) -> bool {
        let address = std::str::from_utf8(address).ok().and_then(parse_address);
        address.is_some_and(|address| self.matches(address))
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn parse_network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (entry, None),
    };
    let address = parse_address(address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        // `u8::from_str` would take "+8".
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
        Some(_) => return None,
        None => most,
    };
    (bits <= most).then_some((address, bits))
}

fn range_v4(address: Ipv4Addr, bits: u8) -> (u32, u32) {
    let host = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
    (address.to_bits() & !host, address.to_bits() | host)
}

fn range_v6(address: Ipv6Addr, bits: u8) -> (u128, u128) {
    let host = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
    (address.to_bits() & !host, address.to_bits() | host)
}

/// Sorts ranges and joins those that overlap.
fn merge<N: Ord + Copy>(mut ranges: Vec<(N, N)>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.0 <= kept.1;
        if overlap {
            kept.1 = kept.1.max(next.1);
        }
        overlap
    });
    ranges.into_boxed_slice()
}

fn contains<N: Ord + Copy>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|range| range.0 <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(entries: &[&str], inside: &[&str], outside: &[&str]) {
        let set = IpMatcher::new(entries).unwrap();
        for address in inside {
            assert!(set.matches(address.parse().unwrap()), "{address} in {entries:?}");
            assert!(set.matches_text(address.as_bytes()), "{address} in {entries:?}");
        }
        for address in outside {
            assert!(!set.matches(address.parse().unwrap()), "{address} not in {entries:?}");
        }
    }

    #[test]
    fn addresses_and_networks_match() {
        check(&["127.0.0.1"], &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "::1"]);
        check(&["127.0.0.0/16"], &["127.0.0.1", "127.0.255.255"], &["127.1.0.0"]);
        check(&["192.168.5.7/24"], &["192.168.5.0", "192.168.5.255"], &["192.168.4.255"]);
        check(&["0.0.0.0/0"], &["0.0.0.0", "255.255.255.255"], &["::1"]);
        check(&["::/0"], &["::1", "fe80::1"], &["1.2.3.4"]);
        check(&["10.0.0.0/31", "10.0.0.3"], &["10.0.0.1", "10.0.0.3"], &["10.0.0.2"]);
        check(&["fe80::/10", "[::1]"], &["febf::1", "::1"], &["fec0::", "::2"]);
        check(&["::ffff:10.0.0.0/104"], &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.0"]);
        check(&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/9"], &["10.255.0.1"], &["9.255.0.1"]);
        check(&[], &[], &["127.0.0.1", "::1"]);
    }

    #[test]
    fn text_in_brackets_is_an_ipv6_address() {
        let set = IpMatcher::new(["::1", "1.2.3.4"]).unwrap();
        assert!(set.matches_text(b"[::1]"));
        assert!(!set.matches_text(b"[1.2.3.4]"));
        assert!(!set.matches_text(b"unix:"));
        assert!(!set.matches_text(b"\xff"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for entry in [
            "",
            "x",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "1.2.3.4/a",
            "1.2.3.4/8/8",
            " 1.2.3.4",
            "1.2.3.4/-1",
            "[1.2.3.4]",
            "fe80::1%eth0",
        ] {
            let error = IpMatcher::new(["127.0.0.1", entry]).unwrap_err();
            assert_eq!(error, format!("invalid ip address: {entry}"));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_linear_search(
            networks in prop::collection::vec((any::<u8>(), 24..=32u8), 0..20),
            probes in prop::collection::vec(any::<u8>(), 20),
        ) {
            let text = networks.iter().map(|(last, bits)| format!("10.0.0.{last}/{bits}"));
            let set = IpMatcher::new(text).unwrap();
            for probe in probes {
                let want = networks.iter().any(|&(last, bits)| {
                    let shift = 32 - u32::from(bits);
                    u32::from(last) >> shift == u32::from(probe) >> shift
                });
                prop_assert_eq!(set.matches(IpAddr::V4(Ipv4Addr::new(10, 0, 0, probe))), want);
            }
        }
    }
}
