//! The merged tree of `config.yaml` to typed settings.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::{
    Severity, discovery, keys,
    local::{
        AccessLog, Escape, Format, Listen, Local, LogBounds, LogLevel, Memory, Named,
        PluginMissing, Problems, Reload, RouterKind, Watchdog, WorkerCount,
    },
    provider::{Provider, Role},
    snippet::{self, Snippets},
    units,
    upstream::Timeout,
    yaml::DocumentLimits,
};

const UPSTREAM_STATUS: &str = "apisix.show_upstream_status_in_response_header";

/// Reads every setting; what is wrong goes to `problems` and leaves a placeholder.
pub(super) fn read(raw: Arc<Value>, problems: &mut Problems<'_>) -> Local {
    let mut from = Reader { tree: &raw, problems };
    let snippets = snippets(&mut from);
    let said = snippets.as_deref();
    Local {
        node_listen: node_listen(&mut from),
        workers: workers(&mut from),
        client_header_timeout: from.time("nginx_config.http.client_header_timeout"),
        client_body_timeout: from.time("nginx_config.http.client_body_timeout"),
        send_timeout: from.time("nginx_config.http.send_timeout"),
        keepalive_timeout: from.time("nginx_config.http.keepalive_timeout"),
        keepalive_requests: from.number("nginx_config.http.keepalive_requests"),
        client_max_body_size: from.bytes("nginx_config.http.client_max_body_size"),
        client_body_buffer_size: from.size("nginx_config.http.client_body_buffer_size"),
        large_client_header_buffers: header_buffers(&mut from),
        underscores_in_headers: from.flag("nginx_config.http.underscores_in_headers"),
        real_ip_header: from.text("nginx_config.http.real_ip_header"),
        real_ip_from: from.texts("nginx_config.http.real_ip_from"),
        real_ip_recursive: from.flag("nginx_config.http.real_ip_recursive"),
        charset: from.text("nginx_config.http.charset"),
        upstream_keepalive: from.count("nginx_config.http.upstream.keepalive"),
        upstream_keepalive_requests: from.number("nginx_config.http.upstream.keepalive_requests"),
        upstream_keepalive_timeout: from.time("nginx_config.http.upstream.keepalive_timeout"),
        worker_connections: from.count("nginx_config.event.worker_connections"),
        worker_rlimit_nofile: from.number("nginx_config.worker_rlimit_nofile"),
        worker_shutdown_timeout: from.time("nginx_config.worker_shutdown_timeout"),
        shutdown_delay: from.time("nginx_config.shutdown_delay"),
        max_pending_timers: from.count("nginx_config.max_pending_timers"),
        max_running_timers: from.count("nginx_config.max_running_timers"),
        access_log: access_log(&mut from),
        error_log: from.text("nginx_config.error_log"),
        error_log_level: log_level(&mut from),
        router_http: router(&mut from),
        delete_uri_tail_slash: from.flag("apisix.delete_uri_tail_slash"),
        normalize_uri_like_servlet: from.flag("apisix.normalize_uri_like_servlet"),
        max_post_args_readable_size: from.number("apisix.max_post_args_readable_size"),
        enable_server_tokens: from.flag("apisix.enable_server_tokens"),
        show_upstream_status_in_response_header: from.flag(UPSTREAM_STATUS),
        status: from.address("apisix.status", Ipv4Addr::LOCALHOST, 7085),
        control: control(&mut from),
        admin: from.address("deployment.admin.admin_listen", Ipv4Addr::UNSPECIFIED, 9180),
        enable_admin: from.flag("apisix.enable_admin"),
        trusted_addresses: from.addresses("apisix.trusted_addresses"),
        dns_resolver: dns_resolver(&mut from, said),
        dns_resolver_valid: dns_valid(&mut from),
        discovery_dns: discovery_dns(&mut from),
        resolver_timeout: from.time("apisix.resolver_timeout"),
        enable_resolv_search_opt: from.flag("apisix.enable_resolv_search_opt"),
        extra_lua_path: from.templates("apisix.extra_lua_path", said.map(|s| &s.lua_path)),
        extra_lua_cpath: from.templates("apisix.extra_lua_cpath", said.map(|s| &s.lua_cpath)),
        lua_module_hook: hook(&mut from),
        snippets: snippets.clone(),
        plugins: from.texts("plugins"),
        plugin_attr: from.subtree("plugin_attr"),
        shared_dicts: shared_dicts(&mut from, said),
        role: role(&mut from),
        provider: provider(&mut from),
        named: Named::default(),
        standalone: standalone(&mut from),
        plugin_missing: plugin_missing(&mut from, "moongate.plugin_missing"),
        plugin_missing_by_name: missing_by_name(&mut from),
        readiness_strict: from.flag("moongate.readiness_strict"),
        proxy_replay_buffer: from.size("moongate.proxy_replay_buffer"),
        mirror_timeout: mirror_timeout(&mut from),
        reload: reload(&mut from),
        watchdog: watchdog(&mut from),
        memory: memory(&mut from),
        log: log_bounds(&mut from),
        limits: DocumentLimits::default(),
        raw: Arc::clone(&raw),
    }
}

struct Reader<'r, 'f> {
    tree: &'r Value,
    problems: &'r mut Problems<'f>,
}

impl<'r> Reader<'r, '_> {
    fn get(&self, path: &str) -> Option<&'r Value> {
        keys::at(self.tree, path).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, path: &str, expected: &str) {
        let got = self.get(path).map_or_else(|| "nothing".to_owned(), Value::to_string);
        self.problems.add(Severity::Error, path, format!("{path} must be {expected}, not {got}"));
    }

    /// The value at `path` if `read` understands it.
    fn read<T>(
        &mut self,
        path: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(path).and_then(read);
        if value.is_none() {
            self.wrong(path, expected);
        }
        value
    }

    fn flag(&mut self, path: &str) -> bool {
        let read = |value: &Value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "on" || text == "true" => Some(true),
            Value::String(text) if text == "off" || text == "false" => Some(false),
            _ => None,
        };
        self.read(path, "true or false", read).unwrap_or_default()
    }

    fn time(&mut self, path: &str) -> Duration {
        self.read(path, "a time such as 60s", units::duration).unwrap_or_default()
    }

    fn bytes(&mut self, path: &str) -> u64 {
        self.read(path, "a size such as 16k", units::bytes).unwrap_or_default()
    }

    fn size(&mut self, path: &str) -> usize {
        usize::try_from(self.bytes(path)).unwrap_or(usize::MAX)
    }

    fn number(&mut self, path: &str) -> u64 {
        let read = |value: &Value| match value {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        };
        self.read(path, "a whole number", read).unwrap_or_default()
    }

    fn count(&mut self, path: &str) -> usize {
        usize::try_from(self.number(path)).unwrap_or(usize::MAX)
    }

    fn text(&mut self, path: &str) -> String {
        self.read(path, "text", |value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// A list of texts; nothing is an empty one, a single text a list of one.
    fn texts(&mut self, path: &str) -> Vec<String> {
        let read = |value: &Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(list) => {
                list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Value::Object(map) if map.is_empty() => Some(Vec::new()),
            _ => None,
        };
        match self.get(path) {
            None => Vec::new(),
            Some(_) => self.read(path, "a list of texts", read).unwrap_or_default(),
        }
    }

    /// A list of addresses or networks; `None` if there is none.
    fn addresses(&mut self, path: &str) -> Option<Vec<String>> {
        self.get(path)?;
        let list = self.texts(path);
        if let Some(bad) = list.iter().find(|text| !is_network(text)) {
            let text = format!("{path} must hold addresses or networks, not \"{bad}\"");
            self.problems.add(Severity::Error, path, text);
        }
        Some(list)
    }

    /// `ip` and `port` below `path`.
    fn address(&mut self, path: &str, ip: Ipv4Addr, port: u16) -> (IpAddr, u16) {
        let ip = self.ip(&format!("{path}.ip"), IpAddr::V4(ip));
        (ip, self.port(&format!("{path}.port"), port))
    }

    /// Templates of a path, then `more` of them.
    fn templates(&mut self, path: &str, more: Option<&Vec<String>>) -> Vec<String> {
        let text = if self.get(path).is_some() { self.text(path) } else { String::new() };
        let own = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        own.map(str::to_owned).chain(more.into_iter().flatten().cloned()).collect()
    }

    fn ip(&mut self, path: &str, default: IpAddr) -> IpAddr {
        if self.get(path).is_none() {
            return default;
        }
        self.read(path, "an IP address", ip).unwrap_or(default)
    }

    fn port(&mut self, path: &str, default: u16) -> u16 {
        if self.get(path).is_none() {
            return default;
        }
        self.read(path, "a port", port).unwrap_or(default)
    }

    fn subtree(&self, path: &str) -> Arc<Value> {
        Arc::new(self.get(path).cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())))
    }
}

fn ip(value: &Value) -> Option<IpAddr> {
    let text = value.as_str()?;
    text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
}

fn port(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().and_then(|port| u16::try_from(port).ok()),
    }
    .filter(|port| *port > 0)
}

fn is_network(text: &str) -> bool {
    let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    match ip.parse::<IpAddr>() {
        Ok(ip) => bits.is_none_or(|bits| {
            bits.parse::<u8>().is_ok_and(|bits| bits <= if ip.is_ipv4() { 32 } else { 128 })
        }),
        Err(_) => false,
    }
}

fn node_listen(from: &mut Reader<'_, '_>) -> Vec<Listen> {
    const PATH: &str = "apisix.node_listen";
    let ipv6 = from.flag("apisix.enable_ipv6");
    let http2 = from.flag("apisix.enable_http2");
    let entries = match from.get(PATH) {
        Some(Value::Array(list)) => list.clone(),
        Some(other) => vec![other.clone()],
        None => Vec::new(),
    };
    let mut listens = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let number = match entry {
            Value::Object(map) => map.get("port").map_or(Some(9080), port),
            entry => port(entry),
        };
        let address = match entry.get("ip") {
            None | Some(Value::Null) => Some(None),
            Some(value) => ip(value).map(Some),
        };
        let (Some(port), Some(address)) = (number, address) else {
            let path = format!("{PATH}.{at}");
            from.wrong(&path, "a port, or a mapping of ip and port");
            continue;
        };
        let enable_http2 = entry.get("enable_http2").and_then(Value::as_bool).unwrap_or(http2);
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ip = address.unwrap_or(any);
        listens.push(Listen { ip, port, enable_http2, optional: false });
        if address.is_none() && ipv6 {
            let ip = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            listens.push(Listen { ip, port, enable_http2, optional: true });
        }
    }
    if entries.is_empty() {
        from.wrong(PATH, "a port or a list of ports");
    }
    listens
}

fn control(from: &mut Reader<'_, '_>) -> Option<(IpAddr, u16)> {
    let enabled = from.flag("apisix.enable_control");
    enabled.then(|| from.address("apisix.control", Ipv4Addr::LOCALHOST, 9090))
}

fn dns_valid(from: &mut Reader<'_, '_>) -> Option<Duration> {
    const PATH: &str = "apisix.dns_resolver_valid";
    from.get(PATH).is_some().then(|| from.time(PATH))
}

fn standalone(from: &mut Reader<'_, '_>) -> Format {
    match provider(from) {
        Some(Provider::File(format)) => format,
        _ => Format::Yaml,
    }
}

fn role(from: &mut Reader<'_, '_>) -> Role {
    // One that there is not was refused when the tree was completed.
    let name = from.get("deployment.role").and_then(Value::as_str);
    name.and_then(Role::from_name).unwrap_or_default()
}

fn provider(from: &mut Reader<'_, '_>) -> Option<Provider> {
    Provider::from_name(from.get("deployment.config_provider")?.as_str()?)
}

fn memory(from: &mut Reader<'_, '_>) -> Memory {
    Memory {
        resume_bytes_max: from.size("moongate.memory.resume_max"),
        vm_bytes_max: from.size("moongate.memory.vm_max"),
    }
}

fn workers(from: &mut Reader<'_, '_>) -> WorkerCount {
    const PATH: &str = "nginx_config.worker_processes";
    if from.get("apisix.enable_dev_mode") == Some(&Value::Bool(true)) {
        return WorkerCount::Fixed(1);
    }
    let read = |value: &Value| match value {
        Value::String(text) if text == "auto" => Some(WorkerCount::Auto),
        Value::String(text) => text.parse().ok().filter(|n| *n > 0).map(WorkerCount::Fixed),
        value => value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0)
            .map(WorkerCount::Fixed),
    };
    from.read(PATH, "auto or a number above 0", read).unwrap_or(WorkerCount::Auto)
}

fn header_buffers(from: &mut Reader<'_, '_>) -> (usize, usize) {
    let read = |value: &Value| {
        let (number, size) = value.as_str()?.trim().split_once(' ')?;
        let size = units::bytes(&Value::from(size.trim()))?;
        let number = number.parse().ok().filter(|n| *n > 0)?;
        Some((number, usize::try_from(size).ok().filter(|n| *n > 0)?))
    };
    let path = "nginx_config.http.large_client_header_buffers";
    from.read(path, "a number and a size such as \"4 8k\"", read).unwrap_or((4, 8192))
}

fn access_log(from: &mut Reader<'_, '_>) -> AccessLog {
    const ESCAPE: &str = "nginx_config.http.access_log_format_escape";
    let escape = match from.text(ESCAPE).as_str() {
        "default" => Escape::Default,
        "json" => Escape::Json,
        "none" => Escape::None,
        _ => {
            from.wrong(ESCAPE, "default, json or none");
            Escape::Default
        }
    };
    let path = from.text("nginx_config.http.access_log");
    AccessLog {
        enabled: from.flag("nginx_config.http.enable_access_log") && path != "off",
        path,
        format: from.text("nginx_config.http.access_log_format").trim_end().to_owned(),
        escape,
        buffer_bytes: from.size("nginx_config.http.access_log_buffer"),
    }
}

fn log_level(from: &mut Reader<'_, '_>) -> LogLevel {
    let read = |value: &Value| {
        Some(match value.as_str()? {
            "stderr" => LogLevel::Stderr,
            "emerg" => LogLevel::Emerg,
            "alert" => LogLevel::Alert,
            "crit" => LogLevel::Crit,
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "notice" => LogLevel::Notice,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            _ => return None,
        })
    };
    from.read("nginx_config.error_log_level", "one of nginx's levels", read)
        .unwrap_or(LogLevel::Warn)
}

fn router(from: &mut Reader<'_, '_>) -> RouterKind {
    let read = |value: &Value| match value.as_str()? {
        "radixtree_uri" => Some(RouterKind::Uri),
        "radixtree_uri_with_parameter" => Some(RouterKind::UriWithParameter),
        "radixtree_host_uri" => Some(RouterKind::HostUri),
        _ => None,
    };
    let expected = "radixtree_host_uri, radixtree_uri or radixtree_uri_with_parameter";
    from.read("apisix.router.http", expected, read).unwrap_or(RouterKind::HostUri)
}

fn hook(from: &mut Reader<'_, '_>) -> Option<String> {
    from.get("apisix.lua_module_hook")?;
    let read = |value: &Value| {
        let text = value.as_str()?;
        let fits = |c: char| c.is_ascii_alphabetic() || "._-".contains(c);
        (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
    };
    from.read("apisix.lua_module_hook", "a module name", read)
}

/// What the snippets say; what is wrong in them keeps the process from starting.
fn snippets(from: &mut Reader<'_, '_>) -> Option<Arc<Snippets>> {
    let paths = snippet::KEYS.map(|key| (key, format!("nginx_config.{key}")));
    for (_, path) in &paths {
        if from.get(path).is_some_and(|value| !value.is_string()) {
            from.wrong(path, "text");
        }
    }
    let text = |key: &str| {
        let path = paths.iter().find(|(known, _)| *known == key).map(|(_, path)| path)?;
        from.get(path)?.as_str()
    };
    match snippet::read(|key| text(key).unwrap_or_default()) {
        Ok(snippets) => snippets.map(Arc::new),
        Err(wrongs) => {
            wrongs.iter().for_each(|wrong| from.problems.add_wrong(wrong));
            None
        }
    }
}

/// `apisix.dns_resolver`, or the one `resolver` of the snippets.
fn dns_resolver(from: &mut Reader<'_, '_>, snippets: Option<&Snippets>) -> Vec<String> {
    const PATH: &str = "apisix.dns_resolver";
    let own = from.texts(PATH);
    let Some((servers, place)) = snippets.and_then(|snippets| snippets.resolver.as_ref()) else {
        return own;
    };
    if !own.is_empty() && own != *servers {
        let message = format!("\"resolver\" asks others than {PATH}: there is one list for all");
        let wrong = snippet::Wrong { key: place.key, line: place.line, message };
        from.problems.add_wrong(&wrong);
    }
    servers.clone()
}

fn discovery_dns(from: &mut Reader<'_, '_>) -> Option<discovery::Dns> {
    const PATH: &str = "discovery.dns";
    match discovery::Dns::read(from.get(PATH)?) {
        Ok(dns) => Some(dns),
        Err(discovery::Wrong { key, why }) => {
            let path = if key.is_empty() { PATH.to_owned() } else { format!("{PATH}.{key}") };
            from.problems.add(Severity::Error, &path, format!("{path} {why}"));
            None
        }
    }
}

fn shared_dicts(from: &mut Reader<'_, '_>, snippets: Option<&Snippets>) -> BTreeMap<String, u64> {
    let mut dicts = BTreeMap::new();
    for path in [
        "nginx_config.meta.lua_shared_dict",
        "nginx_config.http.lua_shared_dict",
        "nginx_config.http.custom_lua_shared_dict",
    ] {
        let Some(Value::Object(map)) = from.get(path) else { continue };
        for (name, size) in map {
            match units::bytes(size).filter(|size| *size > 0) {
                Some(size) => drop(dicts.insert(name.clone(), size)),
                None => from.wrong(&format!("{path}.{name}"), "a size such as 10m"),
            }
        }
    }
    dicts.extend(snippets.into_iter().flat_map(|snippets| snippets.dicts.iter().cloned()));
    // One plugin asks for its dict by another name than the key that sizes it.
    if let Some(size) = dicts.get("cas-auth").copied() {
        dicts.entry("cas_sessions".into()).or_insert(size);
    }
    dicts
}

fn missing(value: &Value) -> Option<PluginMissing> {
    match value.as_str()? {
        "refuse" => Some(PluginMissing::Refuse),
        "skip" => Some(PluginMissing::Skip),
        _ => None,
    }
}

fn plugin_missing(from: &mut Reader<'_, '_>, path: &str) -> PluginMissing {
    from.read(path, "refuse or skip", missing).unwrap_or(PluginMissing::Refuse)
}

fn missing_by_name(from: &mut Reader<'_, '_>) -> BTreeMap<String, PluginMissing> {
    const PATH: &str = "moongate.plugin_missing_by_name";
    let Some(Value::Object(map)) = from.get(PATH) else { return BTreeMap::new() };
    let names: Vec<&String> = map.keys().collect();
    names
        .into_iter()
        .map(|name| {
            let value = map.get(name).and_then(missing);
            if value.is_none() {
                from.wrong(&format!("{PATH}.{name}"), "refuse or skip");
            }
            (name.clone(), value.unwrap_or(PluginMissing::Refuse))
        })
        .collect()
}

fn reload(from: &mut Reader<'_, '_>) -> Reload {
    Reload {
        watch: from.flag("moongate.reload.watch"),
        rollback_on_error: from.flag("moongate.reload.rollback_on_error"),
        rollback_window: from.time("moongate.reload.rollback_window"),
        generations_max: from.count("moongate.reload.generations_max"),
        vms_max: from.count("moongate.reload.vms_max"),
    }
}

/// What a key below does not say is nginx's default.
fn mirror_timeout(from: &mut Reader<'_, '_>) -> Timeout {
    let mut time = |name: &str, default: Duration| {
        let path = format!("plugin_attr.proxy-mirror.timeout.{name}");
        if from.get(&path).is_some() { from.time(&path) } else { default }
    };
    let Timeout { connect, send, read } = Timeout::default();
    Timeout {
        connect: time("connect", connect),
        send: time("send", send),
        read: time("read", read),
    }
}

fn watchdog(from: &mut Reader<'_, '_>) -> Watchdog {
    let overruns = from.number("moongate.watchdog.overruns_max");
    Watchdog {
        budget: from.time("moongate.watchdog.budget"),
        overruns_max: u32::try_from(overruns).unwrap_or(u32::MAX),
        overruns_window: from.time("moongate.watchdog.overruns_window"),
        suspend: from.time("moongate.watchdog.suspend"),
    }
}

fn log_bounds(from: &mut Reader<'_, '_>) -> LogBounds {
    LogBounds {
        queue_bytes: from.size("moongate.log.queue"),
        rotate_bytes: from.bytes("moongate.log.rotate_size"),
        total_bytes_max: from.bytes("moongate.log.total_max"),
        free_bytes_min: from.bytes("moongate.log.free_min"),
    }
}
