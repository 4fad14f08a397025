//! The directives that are understood: where each may stand, how many words it takes, and what
//! it says.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    super::units,
    model::{Access, AddHeader, Code, Content, Flag, Rule, SetHeader, Source},
    pattern::Pattern,
    reader::{Block, Level, Line, Reader},
    server,
    template::Template,
};

/// One directive.
pub(super) struct Directive {
    /// Where it may stand.
    pub(super) levels: Level,
    /// How many words may follow its name.
    pub(super) args: (usize, usize),
    /// Notes what it says.
    pub(super) read: fn(&mut Reader, &mut Block, &Line<'_>) -> Result<(), String>,
}

const MAIN: u8 = Level::MAIN.0;
const HTTP: u8 = Level::HTTP.0;
const SERVER: u8 = Level::SERVER.0 | Level::GATEWAY.0;
const OWN_SERVER: u8 = Level::SERVER.0;
const LOCATION: u8 = Level::LOCATION.0;
const ROUTES: u8 = Level::ROUTES.0;
const INSIDE: u8 = SERVER | LOCATION | ROUTES;
const ALL: u8 = HTTP | INSIDE;

/// What has an own meaning nowhere here, or the one it asks for already: accepted with these
/// words only; any if there is none.
const MOOT: &[(&str, u8, &[&str])] = &[
    ("daemon", MAIN, &["off"]),
    ("pcre_jit", MAIN, &[]),
    ("worker_priority", MAIN, &["0"]),
    ("lua_code_cache", ALL, &["on"]),
    ("lua_socket_log_errors", ALL, &[]),
    ("lua_regex_cache_max_entries", HTTP, &[]),
    ("sendfile", ALL, &[]),
    ("tcp_nopush", ALL, &[]),
    ("tcp_nodelay", ALL, &["on"]),
    ("aio", ALL, &[]),
    ("reset_timedout_connection", ALL, &[]),
    ("chunked_transfer_encoding", ALL, &["on"]),
    ("log_not_found", ALL, &[]),
    ("log_subrequest", ALL, &["off"]),
    ("merge_slashes", HTTP | SERVER, &["on"]),
    ("server_names_hash_bucket_size", HTTP, &[]),
    ("server_names_hash_max_size", HTTP, &[]),
    ("types_hash_max_size", ALL, &[]),
    ("types_hash_bucket_size", ALL, &[]),
    ("variables_hash_max_size", HTTP, &[]),
    ("variables_hash_bucket_size", HTTP, &[]),
    ("map_hash_max_size", HTTP, &[]),
    ("map_hash_bucket_size", HTTP, &[]),
    ("proxy_headers_hash_max_size", ALL, &[]),
    ("proxy_headers_hash_bucket_size", ALL, &[]),
    ("proxy_http_version", ALL, &["1.1"]),
    ("proxy_buffering", ALL, &[]),
    ("proxy_buffer_size", ALL, &[]),
    ("proxy_buffers", ALL, &[]),
    ("proxy_busy_buffers_size", ALL, &[]),
    ("proxy_request_buffering", ALL, &["off"]),
    ("proxy_redirect", ALL, &["off"]),
    ("proxy_ssl_verify", ALL, &["off"]),
    ("proxy_ssl_server_name", ALL, &["on"]),
    ("proxy_intercept_errors", ALL, &["off"]),
    ("rewrite_log", ALL, &["off"]),
];

/// The directive `name`, if it is understood.
pub(super) fn find(name: &str) -> Option<Directive> {
    let (levels, args, read): (u8, _, fn(&mut Reader, &mut Block, &Line<'_>) -> _) = match name {
        "env" => (MAIN, (1, 1), env),
        "lua_shared_dict" => (HTTP, (2, 2), shared_dict),
        "lua_package_path" => (HTTP, (1, 1), lua_path),
        "lua_package_cpath" => (HTTP, (1, 1), lua_path),
        "resolver" => (ALL, (1, 32), resolver),
        "init_by_lua_block" => (HTTP, (0, 0), lua),
        "init_by_lua_file" => (HTTP, (1, 1), lua),
        "init_worker_by_lua_block" => (HTTP, (0, 0), lua),
        "init_worker_by_lua_file" => (HTTP, (1, 1), lua),
        "content_by_lua_block" => (LOCATION, (0, 0), lua),
        "content_by_lua_file" => (LOCATION, (1, 1), lua),
        "rewrite_by_lua_block" => (ALL, (0, 0), lua),
        "rewrite_by_lua_file" => (ALL, (1, 1), lua),
        "access_by_lua_block"
        | "header_filter_by_lua_block"
        | "body_filter_by_lua_block"
        | "log_by_lua_block" => (HTTP | SERVER | LOCATION, (0, 0), lua),
        "access_by_lua_file"
        | "header_filter_by_lua_file"
        | "body_filter_by_lua_file"
        | "log_by_lua_file" => (HTTP | SERVER | LOCATION, (1, 1), lua),
        "set" => (INSIDE, (2, 2), set),
        "rewrite" => (INSIDE, (2, 3), rewrite),
        "return" => (INSIDE, (1, 2), return_),
        "break" => (INSIDE, (0, 0), break_),
        "more_set_headers" => (ALL, (1, 64), more_headers),
        "more_clear_headers" => (ALL, (1, 64), more_headers),
        "add_header" => (ALL, (2, 3), add_header),
        "default_type" => (ALL, (1, 1), default_type),
        "client_max_body_size" => (ALL, (1, 1), body_size),
        "access_log" => (ALL, (1, 1), access_log),
        "allow" | "deny" => (ALL, (1, 1), access),
        "internal" => (LOCATION, (0, 0), internal),
        "listen" => (OWN_SERVER, (1, 16), server::listen),
        "server_name" => (OWN_SERVER, (1, 255), server::server_name),
        "proxy_pass" => (LOCATION, (1, 1), server::proxy_pass),
        "proxy_set_header" => (HTTP | SERVER | LOCATION, (2, 2), proxy_set_header),
        "proxy_connect_timeout" | "proxy_send_timeout" | "proxy_read_timeout" => {
            (HTTP | SERVER | LOCATION, (1, 1), proxy_timeout)
        }
        _ => {
            let (_, levels, _) = MOOT.iter().find(|(moot, ..)| *moot == name)?;
            (*levels, (1, 16), moot)
        }
    };
    Some(Directive { levels: Level(levels), args, read })
}

/// The directive's name of `kind`, without what follows `_by_lua`, and where its code goes.
fn slot<'b>(block: &'b mut Block, name: &str) -> Option<(&'static str, &'b mut Option<usize>)> {
    let scope = &mut block.scope;
    Some(match name.split("_by_lua").next()? {
        "rewrite" => ("rewrite_by_lua", &mut scope.rewrite),
        "access" => ("access_by_lua", &mut scope.access),
        "header_filter" => ("header_filter_by_lua", &mut scope.header_filter),
        "body_filter" => ("body_filter_by_lua", &mut scope.body_filter),
        "log" => ("log_by_lua", &mut scope.log),
        _ => return None,
    })
}

/// `*_by_lua_block` and `*_by_lua_file`.
fn lua(reader: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let source = match line.lua {
        Some(text) => Source::Inline(Arc::from(text)),
        None if line.arg(0).contains('$') => {
            return Err(format!("\"{}\" with variables is not supported", line.name));
        }
        None => Source::File(line.arg(0).to_owned()),
    };
    let code = |directive| Code { directive, place: line.place, source };
    if let Some((directive, place)) = slot(block, line.name) {
        if place.is_some() {
            return Err(format!("\"{}\" directive is duplicate", line.name));
        }
        *place = Some(reader.keep(code(directive)));
        return Ok(());
    }
    if line.name.starts_with("content_") {
        let index = reader.keep(code("content_by_lua"));
        return server::set_content(block, line.name, Content::Lua(index));
    }
    if line.name.starts_with("init_worker_") {
        let index = reader.keep(code("init_worker_by_lua"));
        reader.out.init_worker.push(index);
        return Ok(());
    }
    let index = reader.keep(code("init_by_lua"));
    reader.out.init.push(index);
    Ok(())
}

fn moot(_: &mut Reader, _: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let words = MOOT.iter().find(|(name, ..)| *name == line.name).map_or(&[][..], |moot| moot.2);
    match words.is_empty() || words.contains(&line.arg(0)) {
        true => Ok(()),
        false => Err(format!(
            "\"{} {}\" is not supported, only \"{}\"",
            line.name,
            line.arg(0),
            words.join("\" and \"")
        )),
    }
}

fn env(reader: &mut Reader, _: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let (name, value) = match line.arg(0).split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (line.arg(0), None),
    };
    if name.is_empty() || name.contains('\0') || value.as_ref().is_some_and(|v| v.contains('\0')) {
        return Err(format!("invalid name in \"env {}\"", line.arg(0)));
    }
    reader.out.env.push((name.to_owned(), value));
    Ok(())
}

fn shared_dict(reader: &mut Reader, _: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let (name, size) = (line.arg(0), line.arg(1));
    // OpenResty's own least size.
    let bytes = units::bytes(&Value::from(size)).filter(|bytes| *bytes >= 8 << 10);
    let Some(bytes) = bytes else {
        return Err(format!("invalid lua shared dict size \"{size}\": at least 8k"));
    };
    if reader.out.dicts.iter().any(|(known, _)| known == name) {
        return Err(format!("lua_shared_dict \"{name}\" is already defined"));
    }
    reader.out.dicts.push((name.to_owned(), bytes));
    Ok(())
}

fn lua_path(reader: &mut Reader, _: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let out = &mut reader.out;
    let list = if line.name.ends_with("cpath") { &mut out.lua_cpath } else { &mut out.lua_path };
    if !list.is_empty() {
        return Err(format!("\"{}\" directive is duplicate", line.name));
    }
    let templates = line.arg(0).split(';').map(str::trim).filter(|part| !part.is_empty());
    for template in templates {
        if !template.contains('?') {
            return Err(format!("\"{template}\" of \"{}\" has no \"?\"", line.name));
        }
        list.push(template.to_owned());
    }
    Ok(())
}

fn resolver(reader: &mut Reader, _: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let mut servers = Vec::new();
    for word in line.texts() {
        if word.parse::<IpAddr>().is_ok() {
            servers.push(word.to_owned());
        } else if !(matches!(word, "ipv6=off" | "ipv6=on") || word.starts_with("valid=")) {
            return Err(format!(
                "\"resolver\" with \"{word}\" is not supported: it takes addresses, valid= and ipv6="
            ));
        }
    }
    if servers.is_empty() {
        return Err("no name servers defined".to_owned());
    }
    match &reader.out.resolver {
        Some((known, place)) if *known != servers => {
            Err(format!("another \"resolver\" than in {place}: there is one for all"))
        }
        Some(_) => Ok(()),
        None => {
            reader.out.resolver = Some((servers, line.place));
            Ok(())
        }
    }
}

/// A name after `$`.
fn variable(text: &str) -> Result<Box<str>, String> {
    let name = text.strip_prefix('$').unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!("invalid variable name \"{text}\""));
    }
    Ok(name.to_ascii_lowercase().into())
}

/// Variables that show the request: nginx refuses to set most of them, too.
const SHOWN: &[&str] = &[
    "uri",
    "document_uri",
    "request_uri",
    "host",
    "remote_addr",
    "remote_port",
    "status",
    "request_method",
    "scheme",
    "server_addr",
    "server_port",
    "server_name",
    "request_id",
    "request",
    "request_time",
    "body_bytes_sent",
    "bytes_sent",
    "query_string",
    "limit_rate",
    "limit_rate_after",
];

fn set(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let name = variable(line.arg(0))?;
    let derived = ["http_", "arg_", "cookie_", "sent_http_", "upstream_http_", "upstream_cookie_"];
    if SHOWN.contains(&&*name) || derived.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(format!("the variable \"{name}\" cannot be set"));
    }
    block.scope.rules.push(Rule::Set(name, Template::parse(line.arg(1))?));
    Ok(())
}

fn rewrite(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let pattern = Pattern::compile(line.arg(0), false)?;
    let to = line.arg(1);
    let away = ["http://", "https://", "$scheme"].iter().any(|begin| to.starts_with(begin));
    let flag = match line.arg(2) {
        "" if away => Flag::Redirect(302),
        "" => Flag::Next,
        "last" => Flag::Last,
        "break" => Flag::Break,
        "redirect" => Flag::Redirect(302),
        "permanent" => Flag::Redirect(301),
        other => return Err(format!("invalid parameter \"{other}\"")),
    };
    let flag =
        if away && matches!(flag, Flag::Last | Flag::Break) { Flag::Redirect(302) } else { flag };
    let (to, drop_args) = match to.strip_suffix('?') {
        Some(to) => (to, true),
        None => (to, false),
    };
    block.scope.rules.push(Rule::Rewrite { pattern, to: Template::parse(to)?, drop_args, flag });
    Ok(())
}

fn return_(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let (first, second) = (line.arg(0), line.args.get(1).map(|word| &*word.text));
    let rule = match first.parse::<u16>() {
        Ok(status) if (100..=999).contains(&status) => {
            Rule::Return(status, second.map(Template::parse).transpose()?)
        }
        // The address alone: go there.
        Err(_) if second.is_none() && is_address(first) => {
            Rule::Return(302, Some(Template::parse(first)?))
        }
        _ => return Err(format!("invalid return code \"{first}\"")),
    };
    block.scope.rules.push(rule);
    Ok(())
}

fn is_address(text: &str) -> bool {
    ["http://", "https://", "$scheme"].iter().any(|begin| text.starts_with(begin))
}

fn break_(_: &mut Reader, block: &mut Block, _: &Line<'_>) -> Result<(), String> {
    block.scope.rules.push(Rule::Break);
    Ok(())
}

/// A name of a header, checked.
fn header_name(text: &str) -> Result<Box<str>, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let own = ["connection", "transfer-encoding", "date"];
    if text.is_empty() || !text.chars().all(fits) {
        return Err(format!("invalid header name \"{text}\""));
    }
    if own.iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Err(format!("the header \"{text}\" is the connection's own"));
    }
    Ok(text.into())
}

/// A value of a header, checked.
fn header_value(text: &str) -> Result<Template, String> {
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a control character in the value of a header".to_owned());
    }
    Template::parse(text)
}

/// `more_set_headers` and `more_clear_headers`.
fn more_headers(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let (mut statuses, mut types, mut headers) = (Vec::new(), Vec::new(), Vec::new());
    let mut words = line.texts();
    while let Some(word) = words.next() {
        match word {
            "-s" => {
                let list = words.next().unwrap_or_default();
                for text in list.split_whitespace() {
                    let status = text.parse().map_err(|_| format!("invalid status \"{text}\""))?;
                    statuses.push(status);
                }
            }
            "-t" => {
                let list = words.next().unwrap_or_default();
                types.extend(list.split_whitespace().map(Box::<str>::from));
            }
            "-r" | "-a" => {
                return Err(format!("option {word} of \"{}\" is not supported", line.name));
            }
            header => headers.push(header),
        }
    }
    if headers.is_empty() {
        return Err(format!("\"{}\" names no header", line.name));
    }
    for header in headers {
        let (name, value) = match header.split_once(':') {
            Some((name, value)) if line.name == "more_set_headers" => (name, value.trim()),
            _ => (header.trim_end_matches(':'), ""),
        };
        let value = if value.is_empty() { None } else { Some(header_value(value)?) };
        let name = header_name(name.trim())?;
        let (statuses, types) = (statuses.clone(), types.clone());
        block.scope.set_headers.push(SetHeader { name, value, statuses, types });
    }
    Ok(())
}

fn add_header(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let always = match line.arg(2) {
        "" => false,
        "always" => true,
        other => return Err(format!("invalid parameter \"{other}\"")),
    };
    let (name, value) = (header_name(line.arg(0))?, header_value(line.arg(1))?);
    block.scope.add_headers.push(AddHeader { name, value, always });
    Ok(())
}

fn proxy_set_header(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let name: Box<str> = match line.arg(0) {
        // Empty is what the connection to the node has anyway.
        name if name.eq_ignore_ascii_case("connection") && line.arg(1).is_empty() => return Ok(()),
        name => header_name(name)?,
    };
    // The gateway writes these itself.
    let own = [
        ("x-real-ip", "$remote_addr"),
        ("x-forwarded-for", "$proxy_add_x_forwarded_for"),
        ("content-length", ""),
        ("expect", ""),
    ];
    match own.iter().find(|(own, _)| name.eq_ignore_ascii_case(own)) {
        Some((_, value)) if *value == line.arg(1) && !value.is_empty() => return Ok(()),
        Some(_) => return Err(format!("the gateway writes the header \"{name}\" itself")),
        None => {}
    }
    block.scope.proxy_headers.push((name, header_value(line.arg(1))?));
    Ok(())
}

/// Sets what may be said once.
fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("\"{name}\" directive is duplicate")),
    }
}

fn proxy_timeout(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let text = line.arg(0);
    let time = units::duration(&Value::from(text)).filter(|time| *time > Duration::ZERO);
    let time = time.ok_or_else(|| format!("invalid time \"{text}\""))?;
    let scope = &mut block.scope;
    let place = match line.name {
        "proxy_connect_timeout" => &mut scope.proxy_connect,
        "proxy_send_timeout" => &mut scope.proxy_send,
        _ => &mut scope.proxy_read,
    };
    once(place, line.name, time)
}

fn default_type(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let text = line.arg(0);
    if text.is_empty() || text.contains(|c: char| c.is_control()) || text.contains('$') {
        return Err(format!("invalid type \"{text}\""));
    }
    once(&mut block.scope.default_type, line.name, text.into())
}

fn body_size(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let text = line.arg(0);
    let bytes =
        units::bytes(&Value::from(text)).ok_or_else(|| format!("invalid size \"{text}\""))?;
    once(&mut block.scope.body_bytes_max, line.name, bytes)
}

fn access_log(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    match line.arg(0) {
        "off" => once(&mut block.scope.access_log, line.name, false),
        other => Err(format!(
            "\"access_log {other}\" is not supported, only \"off\": set nginx_config.http.access_log"
        )),
    }
}

fn access(_: &mut Reader, block: &mut Block, line: &Line<'_>) -> Result<(), String> {
    let network = network(line.arg(0))?;
    block.scope.clients.push(Access { allow: line.name == "allow", network });
    Ok(())
}

/// An address, a network, or `all`, which is `None`.
pub(super) fn network(text: &str) -> Result<Option<(IpAddr, u8)>, String> {
    if text == "all" {
        return Ok(None);
    }
    let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let parsed = ip.parse::<IpAddr>().ok().and_then(|ip| {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some((ip, bits))
    });
    parsed.map(Some).ok_or_else(|| format!("invalid parameter \"{text}\""))
}

fn internal(_: &mut Reader, block: &mut Block, _: &Line<'_>) -> Result<(), String> {
    block.internal = true;
    Ok(())
}
