//! Requests to servers and locations of snippets: which location, what runs there, who answers.
//!
//! The order is nginx's: the rules of the server, the location, its rules, `rewrite_by_lua`,
//! `allow` and `deny`, `access_by_lua`, content. A request whose path changes on the way begins
//! again with a location, for a number of times.

use std::{net::IpAddr, rc::Rc};

use bytes::Bytes;

use super::{
    Made, answered, proxy,
    rules::{self, Outcome},
};
use crate::{
    config::snippet::{Access, Content, Match, Proxy, Site, Spot},
    error::{Error, Kind, Result},
    exchange::{Body, Exchange, Inner, Jump, Origin},
    gate::Gate,
    log::error_log::Level,
    lua::{Vm, log_line},
    parse::uri,
    phase::{self, Said, Verdict},
    rescue,
};

/// What a location makes of a request.
enum Visit {
    Made(Made),
    /// The path changed.
    Again,
    /// Lua said where to go on.
    Jump,
}

/// Answers a request that has just come.
pub(super) async fn answer(gate: &Rc<Gate>, x: &mut Exchange) -> Result<Made> {
    x.inner.get_or_insert_default();
    begin(gate, x, true).await
}

/// Goes on with a request where its Lua sent it.
pub(super) async fn jump(gate: &Rc<Gate>, x: &mut Exchange) -> Result<Made> {
    begin(gate, x, false).await
}

/// The server that `x` is for; requests inside of others stay in theirs.
fn site(gate: &Gate, x: &Exchange) -> Option<Rc<Site>> {
    let sites = gate.sites.as_ref()?;
    sites.find(x.conn.local, &x.host).or_else(|| sites.gateway()).map(Rc::clone)
}

async fn begin(gate: &Rc<Gate>, x: &mut Exchange, fresh: bool) -> Result<Made> {
    if Vm::of(x).is_none() {
        gate.vms.serving().hold(x);
    }
    let site = site(gate, x);
    // The rules of the server run where the path is new, but not where a location changed it.
    let (mut by_server, mut named) = (fresh, None);
    loop {
        if let Some(jump) = x.inner.as_mut().and_then(|inner| inner.jump.take()) {
            match jump {
                Jump::Again => Vm::unbind(x),
                _ => Vm::leave(x),
            }
            x.forget_route();
            by_server = matches!(jump, Jump::Path(..));
            named = follow(x, jump)?;
        }
        if let Some(site) = site.as_ref().filter(|_| by_server)
            && let Outcome::Return(status, text) = rules::run(&site.scope.rules, x)?
        {
            return Ok(returned(x, None, status, text));
        }
        by_server = false;
        let Some(spot) = find(site.as_deref(), x, named.take())? else {
            // Without snippets there is but one location.
            match site {
                None => match super::routed(gate, x).await? {
                    None => continue,
                    Some(made) => return Ok(made),
                },
                Some(site) => return Ok(nowhere(x, &site)),
            }
        };
        match visit(gate, x, &spot).await? {
            Visit::Made(made) => return Ok(made),
            Visit::Again => changed(x)?,
            Visit::Jump => {}
        }
    }
}

/// Counts a change of the path.
fn changed(x: &mut Exchange) -> Result<()> {
    let inner = x.inner.get_or_insert_default();
    inner.changes = inner.changes.saturating_add(1);
    if inner.changes > Inner::CHANGES_MAX {
        let path = String::from_utf8_lossy(&x.path).into_owned();
        log_line(Level::Error, x, &format!("rewrite or internal redirection cycle: \"{path}\""));
        return Err(Kind::Plugin.into());
    }
    Ok(())
}

/// Gives `x` the path of `jump`; the name of the location, if it is one.
fn follow(x: &mut Exchange, jump: Jump) -> Result<Option<Vec<u8>>> {
    x.inner.get_or_insert_default().internal = true;
    changed(x)?;
    match jump {
        Jump::Named(name) => return Ok(Some(name)),
        Jump::Path(path, args) => {
            x.path = path;
            x.args = args;
            x.rewritten = true;
        }
        Jump::Again => {}
    }
    Ok(None)
}

/// The location of `x`; `None` if no location takes it.
fn find(site: Option<&Site>, x: &mut Exchange, named: Option<Vec<u8>>) -> Result<Option<Rc<Spot>>> {
    if let Some(name) = named {
        let spot = site.and_then(|site| site.named(&name)).map(Rc::clone);
        if spot.is_none() {
            let name = String::from_utf8_lossy(&name).into_owned();
            log_line(Level::Error, x, &format!("could not find named location \"@{name}\""));
            return Err(Error::from(Kind::Plugin));
        }
        return Ok(spot);
    }
    let Some(site) = site else { return Ok(None) };
    let found = site.find(&x.path).map_err(|why| rules::gave_up(x, &why))?;
    let Some((spot, captured)) = found else { return Ok(None) };
    let spot = Rc::clone(spot);
    if let Some(captured) = captured {
        rules::keep(x, captured);
    }
    Ok(Some(spot))
}

/// A path that no location takes; where one with a slash at its end is proxied, the way there.
fn nowhere(x: &mut Exchange, site: &Site) -> Made {
    if !site.lacks_slash(&x.path) {
        return page(x, 404);
    }
    let mut to = uri::encode_path(&x.path);
    to.push(b'/');
    if !x.args.is_empty() {
        to.push(b'?');
        to.extend_from_slice(&x.args);
    }
    returned(x, None, 301, Some(to))
}

async fn visit(gate: &Rc<Gate>, x: &mut Exchange, spot: &Rc<Spot>) -> Result<Visit> {
    let inner = x.inner.get_or_insert_default();
    if spot.internal && !inner.internal {
        return Ok(Visit::Made(page(x, 404)));
    }
    let inside = inner.depth > 0;
    inner.spot = Some(Rc::clone(spot));
    if let Some(bytes_max) = spot.scope.body_bytes_max {
        limit(x, bytes_max)?;
    }
    match rules::run(&spot.scope.rules, x)? {
        Outcome::Next => {}
        Outcome::Changed => return Ok(Visit::Again),
        Outcome::Return(status, text) => {
            bind(x, spot)?;
            return Ok(Visit::Made(returned(x, Some(spot), status, text)));
        }
    }
    bind(x, spot)?;
    if spot.scope.rewrite.is_some() {
        let verdict = phase::location_rewrite(x).await?;
        if let Some(visit) = ended(x, verdict) {
            return Ok(visit);
        }
    }
    // As in nginx, who may pass is asked for the client's own request only.
    if !inside {
        if !passes(&spot.scope.clients, x.remote.ip()) {
            log_line(Level::Error, x, "access forbidden by rule");
            return Ok(Visit::Made(page(x, 403)));
        }
        if spot.scope.access.is_some() {
            let verdict = phase::location_access(x).await?;
            if let Some(visit) = ended(x, verdict) {
                return Ok(visit);
            }
        }
    }
    content(gate, x, spot).await
}

async fn content(gate: &Rc<Gate>, x: &mut Exchange, spot: &Rc<Spot>) -> Result<Visit> {
    Ok(Visit::Made(match (&spot.content, &spot.upstream) {
        (Content::Lua(_), _) => match phase::content(x).await? {
            Said::Text => said(x, spot),
            Said::Page => {
                x.inner.get_or_insert_default().page = true;
                Made::Body(answered(x))
            }
            Said::Jump => return Ok(Visit::Jump),
        },
        (Content::Proxy(proxy), Some(upstream)) => {
            prepare(x, spot, proxy);
            let target = gate.target(upstream, "proxy_pass")?;
            proxy::send(gate, x, Some(target)).await?
        }
        (Content::Routes, _) => {
            Vm::unbind(x);
            match super::routed(gate, x).await? {
                None => return Ok(Visit::Jump),
                Some(made) => made,
            }
        }
        (Content::None | Content::Proxy(_), _) => page(x, 404),
    }))
}

/// What follows a phase that may have ended the request.
fn ended(x: &mut Exchange, verdict: Verdict) -> Option<Visit> {
    match verdict {
        Verdict::Next => None,
        Verdict::Answer => Some(Visit::Made(Made::Body(answered(x)))),
        Verdict::Jump => Some(Visit::Jump),
    }
}

/// Binds `x` to what runs in `spot`.
fn bind(x: &mut Exchange, spot: &Rc<Spot>) -> Result<()> {
    let Some(vm) = Vm::of(x) else { return Ok(()) };
    phase::bind_location(&vm, x, spot)
}

/// The bound that `client_max_body_size` sets.
fn limit(x: &mut Exchange, bytes_max: u64) -> Result<()> {
    if bytes_max > 0 && x.body.length.is_some_and(|length| length > bytes_max) {
        return Err(Kind::BodyTooLarge { bytes_max }.into());
    }
    x.body.bytes_max = bytes_max;
    x.body_bytes_max = Some(bytes_max);
    Ok(())
}

/// Whether `client` may pass: the first that names it decides. A trusted proxy may have told an
/// IPv4 address in the form of IPv6; it is the same client.
fn passes(list: &[Access], client: IpAddr) -> bool {
    let within = |network: (IpAddr, u8)| match (network, client.to_canonical()) {
        ((IpAddr::V4(net), bits), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(bits);
            u32::from(net).checked_shr(shift) == u32::from(ip).checked_shr(shift)
        }
        ((IpAddr::V6(net), bits), IpAddr::V6(ip)) => {
            let shift = 128 - u32::from(bits);
            u128::from(net).checked_shr(shift) == u128::from(ip).checked_shr(shift)
        }
        _ => false,
    };
    list.iter().find(|one| one.network.is_none_or(within)).is_none_or(|one| one.allow)
}

/// The page of a status.
fn page(x: &mut Exchange, status: u16) -> Made {
    x.inner.get_or_insert_default().page = true;
    x.response.status = status;
    x.response.origin = Origin::Gateway;
    Made::Body(rescue::page(x))
}

/// What `return` says.
fn returned(x: &mut Exchange, spot: Option<&Spot>, status: u16, text: Option<Vec<u8>>) -> Made {
    let Some(text) = text else { return page(x, status) };
    x.response.status = status;
    x.response.origin = Origin::Gateway;
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        let address = if text.starts_with(b"/") { absolute(x, &text) } else { text };
        if x.response.fields.set("Location", &address).is_err() {
            log_line(Level::Error, x, "the address of a redirect is none that can be sent");
            return page(x, 500);
        }
        return page(x, status);
    }
    whole(x, spot, text)
}

/// An address on this server.
fn absolute(x: &Exchange, path: &[u8]) -> Vec<u8> {
    let (scheme, usual) = if x.conn.tls { ("https", 443) } else { ("http", 80) };
    let port = x.conn.local.port();
    let host =
        if x.host.is_empty() { x.conn.local.ip().to_string().into() } else { x.host.clone() };
    let port = if port == usual { String::new() } else { format!(":{port}") };
    [scheme.as_bytes(), b"://", &host, port.as_bytes(), path].concat()
}

/// What a content handler said.
fn said(x: &mut Exchange, spot: &Spot) -> Made {
    let printed = std::mem::take(&mut x.response.printed);
    if x.response.head_sent {
        return Made::Body(Body::Full(Bytes::from(printed)));
    }
    let made = whole(x, Some(spot), printed);
    // Nobody counts for who reads it in memory: nginx tells no length there.
    if x.inner.as_ref().is_some_and(|inner| inner.depth > 0) {
        x.response.length = None;
    }
    made
}

/// The `Content-Type` of what was made in `spot`, if nobody has set one.
pub(super) fn set_type(x: &mut Exchange, spot: Option<&Spot>) {
    if x.response.fields.get("content-type").is_some() {
        return;
    }
    let kind = spot.and_then(|spot| spot.scope.default_type.as_deref()).unwrap_or("text/plain");
    // nginx tells a charset with these only.
    let text = ["text/plain", "text/html", "text/xml", "application/javascript"];
    let charset = if text.contains(&kind) { "; charset=utf-8" } else { "" };
    // Checked when the snippet was read.
    let _ = x.response.fields.set("Content-Type", format!("{kind}{charset}"));
}

fn whole(x: &mut Exchange, spot: Option<&Spot>, body: Vec<u8>) -> Made {
    if !body.is_empty() {
        set_type(x, spot);
    }
    x.response.length = Some(body.len() as u64);
    Made::Body(if body.is_empty() { Body::Empty } else { Body::Full(Bytes::from(body)) })
}

/// Makes of `x` the request to the address of `proxy`.
fn prepare(x: &mut Exchange, spot: &Spot, proxy: &Proxy) {
    for (name, value) in &spot.scope.proxy_headers {
        let value = rules::text(value, x);
        if name.eq_ignore_ascii_case("host") {
            x.set_var(b"upstream_host", Some(&value));
        } else if value.is_empty() {
            x.head.fields.remove(&**name);
        } else if x.head.fields.set(&**name, &value).is_err() {
            log_line(Level::Warn, x, &format!("proxy_set_header {name}: no value for a header"));
        }
    }
    let Some(uri) = &proxy.uri else { return };
    let rest = match &spot.matches {
        Match::Prefix { path, .. } => x.path.get(path.len()..).unwrap_or_default(),
        _ => &[],
    };
    let mut target = [uri.as_bytes(), &uri::encode_path(rest)].concat();
    if !x.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&x.args);
    }
    x.set_var(b"upstream_uri", Some(&target));
}

/// Headers that snippets set before plugins see the response.
pub(super) fn set_headers(x: &mut Exchange) {
    let Some(spot) = x.inner.as_ref().and_then(|inner| inner.spot.clone()) else { return };
    for header in &spot.scope.set_headers {
        if !header.statuses.is_empty() && !header.statuses.contains(&x.response.status) {
            continue;
        }
        let kind = x.response.fields.get("content-type").unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |one: &str| one.as_bytes().eq_ignore_ascii_case(kind);
        if !header.types.is_empty() && !header.types.iter().any(|one| is(one)) {
            continue;
        }
        match (&header.value, header.name.strip_suffix('*')) {
            (None, Some(begin)) => {
                let begins = |name: &[u8]| {
                    name.get(..begin.len())
                        .is_some_and(|b| b.eq_ignore_ascii_case(begin.as_bytes()))
                };
                x.response.fields.retain(|name, _| !begins(name));
            }
            (None, None) => drop(x.response.fields.remove(&*header.name)),
            (Some(value), _) => {
                let value = rules::text(value, x);
                put(x, &header.name, &value, true);
            }
        }
    }
}

/// Headers that `add_header` adds to what plugins left.
pub(super) fn add_headers(x: &mut Exchange) {
    let Some(spot) = x.inner.as_ref().and_then(|inner| inner.spot.clone()) else { return };
    let fine =
        matches!(x.response.status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308);
    for header in spot.scope.add_headers.iter().filter(|header| fine || header.always) {
        let value = rules::text(&header.value, x);
        if !value.is_empty() {
            put(x, &header.name, &value, false);
        }
    }
}

fn put(x: &mut Exchange, name: &str, value: &[u8], alone: bool) {
    if name.eq_ignore_ascii_case("content-length") {
        return;
    }
    let fields = &mut x.response.fields;
    let put = if alone { fields.set(name, value) } else { fields.add(name, value) };
    if put.is_err() {
        log_line(Level::Warn, x, &format!("the value of header {name} cannot be sent"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snippet;

    #[test]
    fn the_first_network_that_holds_a_client_decides() {
        let key = "http_server_configuration_snippet";
        let text =
            "deny 10.1.2.3; allow 10.1.0.0/16; allow 2001:db8::/32; allow 1.2.3.4/0; deny all;";
        let read = snippet::read(|asked| if asked == key { text } else { "" }).unwrap();
        let list = read.unwrap().gateway.scope.clients;
        let passes = |list: &[Access], ip: &str| passes(list, ip.parse().unwrap());
        assert!(!passes(&list, "10.1.2.3"));
        assert!(!passes(&list, "::ffff:10.1.2.3"), "the same client");
        assert!(passes(&list, "10.1.2.4"));
        assert!(passes(&list, "99.9.9.9"), "a network of no bits is all of its kind");
        assert!(passes(&list, "2001:db8:1::1"));
        assert!(!passes(&list, "2001:db9::1"));
        assert!(passes(&[], "10.1.2.3"));
        assert!(!passes(&list[4..], "10.1.2.3"));
    }
}
