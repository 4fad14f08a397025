//! The directives that make servers and locations: `listen`, `server_name`, `location`,
//! `proxy_pass`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{
    model::{Content, Listen, Match, Proxy, ServerName},
    pattern::Pattern,
    reader::{Block, Line, Reader},
};

/// Locations of one server.
const LOCATIONS_MAX: usize = 2000;

/// Names and addresses of one server.
const NAMES_MAX: usize = 1000;

/// What the words behind `location` say.
pub(super) fn matches(line: &Line<'_>) -> Result<Match, String> {
    let prefix = |path: &str, fixed| match path.starts_with('/') {
        true => Ok(Match::Prefix { path: path.into(), fixed }),
        false => Err(format!("location \"{path}\" must begin with \"/\"")),
    };
    match (line.arg(0), line.args.len()) {
        ("=", 2) => Ok(Match::Exact(line.arg(1).into())),
        ("^~", 2) => prefix(line.arg(1), true),
        ("~", 2) => Pattern::compile(line.arg(1), false).map(Match::Regex),
        ("~*", 2) => Pattern::compile(line.arg(1), true).map(Match::Regex),
        (other, 2) => Err(format!("invalid location modifier \"{other}\"")),
        (word, 1) => glued(word, prefix),
        _ => Err("invalid number of arguments in \"location\" directive".to_owned()),
    }
}

/// A modifier may stand in front of the path without a space.
fn glued(
    word: &str,
    prefix: impl Fn(&str, bool) -> Result<Match, String>,
) -> Result<Match, String> {
    if let Some(path) = word.strip_prefix("^~") {
        return prefix(path, true);
    }
    if let Some(source) = word.strip_prefix("~*") {
        return Pattern::compile(source, true).map(Match::Regex);
    }
    if let Some(source) = word.strip_prefix('~') {
        return Pattern::compile(source, false).map(Match::Regex);
    }
    if let Some(path) = word.strip_prefix('=') {
        return Ok(Match::Exact(path.into()));
    }
    if let Some(name) = word.strip_prefix('@').filter(|name| !name.is_empty()) {
        return Ok(Match::Named(name.into()));
    }
    prefix(word, false)
}

/// Whether two locations take the same requests.
pub(super) fn same(a: &Match, b: &Match) -> bool {
    match (a, b) {
        (Match::Exact(a), Match::Exact(b)) | (Match::Named(a), Match::Named(b)) => a == b,
        (Match::Prefix { path: a, .. }, Match::Prefix { path: b, .. }) => a == b,
        _ => false,
    }
}

/// Refuses a location that another hides, and too many of them.
pub(super) fn check_location(
    matches: &Match,
    known: &[super::model::Location],
) -> Result<(), String> {
    if known.len() >= LOCATIONS_MAX {
        return Err(format!("more than {LOCATIONS_MAX} locations in one server"));
    }
    let name = match matches {
        Match::Exact(path) | Match::Prefix { path, .. } => path.to_string(),
        Match::Named(name) => format!("@{name}"),
        Match::Regex(_) => return Ok(()),
    };
    match known.iter().any(|location| same(&location.matches, matches)) {
        true => Err(format!("duplicate location \"{name}\"")),
        false => Ok(()),
    }
}

/// `listen`.
pub(super) fn listen(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let text = line.arg(0);
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let addr = if let Ok(port) = text.parse::<u16>() {
        SocketAddr::new(any, port)
    } else if let Some(port) = text.strip_prefix("*:").and_then(|port| port.parse().ok()) {
        SocketAddr::new(any, port)
    } else if let Ok(addr) = text.parse() {
        addr
    } else if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
    } else if text.starts_with("unix:") {
        return Err("\"listen\" on a unix socket is not supported".to_owned());
    } else {
        return Err(format!("\"listen\" must have an address and a port, not \"{text}\""));
    };
    if addr.port() == 0 {
        return Err(format!("invalid port in \"{text}\" of the \"listen\" directive"));
    }
    let mut default = false;
    for word in line.texts().skip(1) {
        match word {
            "default_server" | "default" => default = true,
            // So are all sockets here.
            "reuseport" => {}
            _ => return Err(format!("\"listen\" with \"{word}\" is not supported")),
        }
    }
    if block.listens.iter().any(|known| known.addr == addr) {
        return Err(format!("a duplicate listen {addr}"));
    }
    if block.listens.len() >= NAMES_MAX {
        return Err(format!("more than {NAMES_MAX} addresses in one server"));
    }
    block.listens.push(Listen { addr, default });
    Ok(())
}

/// `server_name`.
pub(super) fn server_name(
    _: &mut Reader,
    block: &mut Block,
    line: &Line<'_>,
) -> Result<(), String> {
    for text in line.texts() {
        let name = text.to_ascii_lowercase();
        let known = if let Some(domain) = name.strip_prefix("*.") {
            ServerName::Suffix { domain: domain.into(), bare: false }
        } else if let Some(domain) = name.strip_prefix('.') {
            ServerName::Suffix { domain: domain.into(), bare: true }
        } else {
            ServerName::Exact(name.as_str().into())
        };
        if name.starts_with('~') || name.trim_start_matches("*.").contains(['*', '/', '$']) {
            return Err(format!("\"server_name\" with \"{text}\" is not supported"));
        }
        if block.names.len() >= NAMES_MAX {
            return Err(format!("more than {NAMES_MAX} names in one server"));
        }
        block.names.push(known);
    }
    Ok(())
}

/// Sets who answers, once.
pub(super) fn set_content(block: &mut Block, name: &str, content: Content) -> Result<(), String> {
    if block.content.is_some() {
        return Err(format!("\"{name}\" directive is duplicate: the location has its content"));
    }
    block.content = Some(content);
    Ok(())
}

/// `proxy_pass`.
pub(super) fn proxy_pass(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let text = line.arg(0);
    if text.contains('$') {
        return Err(
            "\"proxy_pass\" with variables is not supported: it takes a fixed address".to_owned()
        );
    }
    let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(format!("invalid URL prefix in \"{text}\"")),
    };
    if rest.starts_with("unix:") {
        return Err("\"proxy_pass\" to a unix socket is not supported".to_owned());
    }
    let (authority, uri) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = authority_of(authority, https)
        .ok_or_else(|| format!("invalid host or port in \"{text}\""))?;
    let plain = |c: char| c.is_ascii_graphic() && c != '#';
    if uri.contains('?') {
        return Err("\"proxy_pass\" with arguments is not supported".to_owned());
    }
    if !uri.chars().all(plain) {
        return Err(format!("invalid path in \"{text}\""));
    }
    let by_path = matches!(block.matches, Some(Match::Exact(_) | Match::Prefix { .. }));
    if !uri.is_empty() && !by_path {
        return Err(
            "\"proxy_pass\" cannot have URI part in location given by regular expression, \
                    or inside named location"
                .to_owned(),
        );
    }
    let uri = (!uri.is_empty()).then(|| uri.into());
    set_content(block, line.name, Content::Proxy(Proxy { https, host, port, uri }))
}

fn authority_of(authority: &str, https: bool) -> Option<(Box<str>, u16)> {
    let default = if https { 443 } else { 80 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').map_or((rest, None), |port| ("", Some(port))))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, ("", Some(port))),
            None => (authority, ("", None)),
        },
    };
    let ("", port) = port else { return None };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => default,
    };
    let named = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    (!host.is_empty() && host.chars().all(named)).then(|| (host.into(), port))
}
