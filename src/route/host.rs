//! Hosts: their normal form, patterns such as `*.foo.com`, and the trees they lead to.

use std::{hash::Hash, sync::Arc};

use memchr::memchr;

use super::{
    radix::Radix,
    table::{Table, index},
    tree::{Found, Item, Lone, Lookup, Tree},
};

/// Longer than any DNS name. A request with a longer host matches no route that names hosts.
pub(super) const HOST_MAX: usize = 256;

/// Brings a `Host` field or the authority of a target into nginx's `$host` form: lower case,
/// without port and trailing dot. `None` if nothing is left, or more than [`HOST_MAX`] bytes.
pub(super) fn normalise<'b>(authority: &[u8], room: &'b mut [u8; HOST_MAX]) -> Option<&'b [u8]> {
    let port = match authority.first() {
        Some(b'[') => memchr(b']', authority).map(|at| at + 1),
        _ => memchr(b':', authority),
    };
    let name = &authority[..port.unwrap_or(authority.len())];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let out = room.get_mut(..name.len())?;
    out.copy_from_slice(name);
    out.make_ascii_lowercase();
    (!out.is_empty()).then_some(&*out)
}

/// A host as a route names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HostPattern {
    /// Lower case; what follows the `*` of a wildcard.
    text: Box<str>,
    wildcard: bool,
    /// Whether it names a port and so is compared with what the client sent.
    port: bool,
}

impl HostPattern {
    /// `foo.com`, `*.foo.com`, `[::1]` or `foo.com:8080`.
    pub(super) fn new(host: &str) -> Self {
        let (wildcard, text) = match host.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        let port = text.contains(':') && !text.ends_with(']');
        let text = text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(text);
        Self { text: text.to_ascii_lowercase().into(), wildcard, port }
    }

    /// Whether the request's host fits. `name` is normalised, `authority` is as it was sent.
    pub(super) fn matches(&self, name: &[u8], authority: Option<&[u8]>) -> bool {
        let name = if self.port { authority.unwrap_or(name) } else { name };
        let text = self.text.as_bytes();
        match name.len().checked_sub(text.len()) {
            Some(0) => name.eq_ignore_ascii_case(text),
            Some(skip) => self.wildcard && name[skip..].eq_ignore_ascii_case(text),
            None => false,
        }
    }

    /// How closely it fits a normalised name where hosts choose the tree: 2 for the name itself, 1
    /// and its length for a wildcard. A host with a port fits nothing there.
    pub(super) fn closeness(&self, name: &[u8]) -> Option<(u8, usize)> {
        match self.wildcard {
            true => name.ends_with(self.text.as_bytes()).then_some((1, self.text.len())),
            false => (*name == *self.text.as_bytes()).then_some((2, 0)),
        }
    }

    /// The name, if it is one single name without port.
    pub(super) fn exact(&self) -> Option<&str> {
        (!self.wildcard && !self.port).then_some(&*self.text)
    }

    /// Bytes of the pattern but for its `*`.
    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// The pattern in two parts, or what the request has if the pattern is no wildcard.
    pub(super) fn shown<'a>(&'a self, name: &'a [u8]) -> [&'a [u8]; 2] {
        match self.wildcard {
            true => [b"*", self.text.as_bytes()],
            false => [name, b""],
        }
    }
}

/// What a host leads to.
#[derive(Debug)]
enum Place<T> {
    Lone(Lone<T>),
    Tree(Arc<Tree<T>>),
}

impl<T: Copy + Eq + Hash> Place<T> {
    fn new(items: Vec<Item<T>>) -> Self {
        match Lone::new(&items) {
            Some(lone) => Self::Lone(lone),
            None => Self::Tree(Arc::new(Tree::new(items))),
        }
    }

    fn find<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        match self {
            Self::Lone(lone) => lone.find(look),
            Self::Tree(tree) => tree.find(look),
        }
    }
}

/// The trees of all hosts that routes name. Each is behind its own [`Arc`], so that a change to
/// one host can share all others.
#[derive(Debug)]
pub(super) struct Hosts<T> {
    /// From a name to a place in `named`.
    names: Table,
    named: Box<[Place<T>]>,
    /// Suffixes of wildcards, spelled backwards.
    suffixes: Radix,
    wild: Box<[(HostPattern, Arc<Tree<T>>)]>,
}

impl<T: Copy + Eq + Hash> Hosts<T> {
    /// Builds the trees. A host occurs once.
    pub(super) fn new(groups: impl IntoIterator<Item = (HostPattern, Vec<Item<T>>)>) -> Self {
        let mut names = Vec::new();
        let mut named = Vec::new();
        let mut wild = Vec::new();
        for (host, items) in groups {
            if host.wildcard {
                let tree = Arc::new(Tree::new(items));
                wild.push((backwards(host.text.as_bytes()), host, tree));
            } else {
                names.push((host.text.into_string(), index(named.len())));
                named.push(Place::new(items));
            }
        }
        wild.sort_by(|a, b| a.0.cmp(&b.0));
        let keys: Vec<&[u8]> = wild.iter().map(|(key, ..)| &key[..]).collect();
        let suffixes = Radix::new(&keys);
        let wild = wild.into_iter().map(|(_, host, tree)| (host, tree)).collect();
        Self { names: Table::new(names), named: named.into(), suffixes, wild }
    }

    /// The first route that matches: the host by name, then ever shorter wildcards. Comes with
    /// the pattern of the wildcard, if it was one.
    pub(super) fn find<'r>(
        &'r self,
        look: &mut Lookup<'_, T>,
    ) -> Option<(Found<'r, T>, Option<&'r HostPattern>)> {
        let name = look.host?;
        if let Some(at) = self.names.get(name)
            && let Some(found) = self.named[at as usize].find(look)
        {
            return Some((found, None));
        }
        if self.wild.is_empty() {
            return None;
        }
        let mut room = [0; HOST_MAX];
        let reversed = room.get_mut(..name.len())?;
        reversed.copy_from_slice(name);
        reversed.reverse();
        let mut key = self.suffixes.longest(reversed);
        while let Some(at) = key {
            let (host, tree) = &self.wild[at];
            if let Some(found) = tree.find(look) {
                return Some((found, Some(host)));
            }
            key = self.suffixes.shorter(at);
        }
        None
    }
}

fn backwards(text: &[u8]) -> Vec<u8> {
    text.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_form() {
        for (sent, want) in [
            ("Foo.COM", Some("foo.com")),
            ("foo.com:8080", Some("foo.com")),
            ("foo.com.", Some("foo.com")),
            ("foo.com.:80", Some("foo.com")),
            ("[::1]:80", Some("[::1]")),
            ("[FE80::1]", Some("[fe80::1]")),
            ("[::1", Some("[::1")),
            ("", None),
            (".", None),
            (":80", None),
        ] {
            let mut room = [0; HOST_MAX];
            assert_eq!(normalise(sent.as_bytes(), &mut room), want.map(str::as_bytes), "{sent}");
        }
        assert_eq!(normalise(&[b'a'; HOST_MAX + 1], &mut [0; HOST_MAX]), None);
        assert!(normalise(&[b'a'; HOST_MAX], &mut [0; HOST_MAX]).is_some());
    }

    #[test]
    fn patterns_match_as_in_radixtree() {
        let check = |pattern: &str, host: &str, want| {
            let mut room = [0; HOST_MAX];
            let name = normalise(host.as_bytes(), &mut room).unwrap();
            let fits = HostPattern::new(pattern).matches(name, Some(host.as_bytes()));
            assert_eq!(fits, want, "{pattern} on {host}");
        };
        check("foo.com", "foo.com", true);
        check("foo.cOm", "Foo.com:80", true);
        check("foo.com", "www.foo.com", false);
        check("*.foo.com", "foo.com", false);
        check("*.foo.com", ".foo.com", true);
        check("*.foo.com", "www.foo.com", true);
        check("*.foo.com", "www.bar.FOO.com", true);
        check("*.foo.com", "www.foo.com.evil.org", false);
        check("*foo.com", "foo.com", true);
        check("*foo.com", "xfoo.com", true);
        check("*", "anything", true);
        check("foo.com:8080", "foo.com:8080", true);
        check("foo.com:8080", "foo.com:80", false);
        check("foo.com:8080", "foo.com", false);
        check("*.foo.com:8080", "a.foo.com:8080", true);
        check("[::1]", "[::1]:80", true);
        check("[::1]:80", "[::1]:80", true);
        check("[::1]:80", "[::1]:81", false);
    }
}
