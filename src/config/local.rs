//! `conf/config.yaml`: what this process is told about itself.
//!
//! The user's file is merged over `defaults`, placeholders are replaced, every key
//! is reviewed against `keys`, and `settings` turns the tree into the
//! typed [`Local`]. All problems of a file are reported at once, not the first alone.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::{
    Problem, Severity, defaults, discovery,
    env::{self, Env},
    keys,
    provider::{Provider, Role},
    settings,
    snippet::{self, Snippets},
    upstream::Timeout,
    yaml::{self, DocumentLimits},
};

/// One address to accept clients on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// Whether HTTP/2 by preface is spoken beside HTTP/1.
    pub enable_http2: bool,
    /// The address was not asked for by name: a host without IPv6 goes without it.
    pub optional: bool,
}

/// `worker_processes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    /// One per effective CPU.
    Auto,
    /// This many.
    Fixed(usize),
}

/// How access log variables are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// `\xHH` for quotes, backslashes and control bytes.
    Default,
    /// As JSON strings.
    Json,
    /// Not at all.
    None,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Whether anything is logged.
    pub enabled: bool,
    /// File, relative to the prefix; `off` turns it off.
    pub path: String,
    /// nginx's format text.
    pub format: String,
    /// Escaping of variables.
    pub escape: Escape,
    /// Buffered bytes before a write.
    pub buffer_bytes: usize,
}

/// Severity of the error log, as nginx orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are nginx's")]
pub enum LogLevel {
    Stderr = 0,
    Emerg = 1,
    Alert = 2,
    Crit = 3,
    Error = 4,
    Warn = 5,
    Notice = 6,
    Info = 7,
    Debug = 8,
}

/// Which router matches routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterKind {
    /// By URI, host as a condition.
    Uri,
    /// By URI with `:name` and `*name`, host as a condition.
    UriWithParameter,
    /// By host, then URI.
    HostUri,
}

/// Format of the standalone file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `apisix.yaml`.
    Yaml,
    /// `apisix.json`.
    Json,
}

/// What happens to an object whose plugin is in the list but not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginMissing {
    /// The object is refused, or its routes answer 503.
    Refuse,
    /// The object works without the plugin.
    Skip,
}

/// `moongate.reload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// Whether plugin folders are watched.
    pub watch: bool,
    /// Whether a young generation that raises new errors is replaced by its predecessor.
    pub rollback_on_error: bool,
    /// How long a generation is young.
    pub rollback_window: Duration,
    /// Old plugin generations kept alive per worker.
    pub generations_max: usize,
    /// Old Lua VMs kept alive per worker.
    pub vms_max: usize,
}

/// `moongate.watchdog`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// Time one resume of Lua may take.
    pub budget: Duration,
    /// Overruns within the window after which a plugin is suspended on its route.
    pub overruns_max: u32,
    /// The window.
    pub overruns_window: Duration,
    /// How long it stays suspended.
    pub suspend: Duration,
}

/// `moongate.memory`, per Lua VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that one resume may add.
    pub resume_bytes_max: usize,
    /// Bytes above which the VM is collected, then replaced.
    pub vm_bytes_max: usize,
}

/// `moongate.log`: bounds of all log files together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBounds {
    /// Bytes waiting to be written; what comes beyond is dropped and counted.
    pub queue_bytes: usize,
    /// Bytes after which a file is rotated.
    pub rotate_bytes: u64,
    /// Bytes of current and rotated files together.
    pub total_bytes_max: u64,
    /// Free bytes of the disk below which the access log pauses.
    pub free_bytes_min: u64,
}

/// What somebody said, and not the defaults: it decides what is chosen where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Named {
    /// `deployment.etcd.host`
    pub etcd: bool,
    /// Anything about the Admin API.
    pub admin: bool,
}

/// Everything `config.yaml` says, typed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the names and units of their keys")]
pub struct Local {
    pub node_listen: Vec<Listen>,
    pub workers: WorkerCount,
    pub client_header_timeout: Duration,
    pub client_body_timeout: Duration,
    pub send_timeout: Duration,
    pub keepalive_timeout: Duration,
    pub keepalive_requests: u64,
    /// Bytes; 0 is without bound.
    pub client_max_body_size: u64,
    /// Bytes of a buffered request body in memory; what is larger goes to a file.
    pub client_body_buffer_size: usize,
    /// Number and bytes of each.
    pub large_client_header_buffers: (usize, usize),
    pub underscores_in_headers: bool,
    pub real_ip_header: String,
    pub real_ip_from: Vec<String>,
    pub real_ip_recursive: bool,
    pub charset: String,
    pub upstream_keepalive: usize,
    pub upstream_keepalive_requests: u64,
    pub upstream_keepalive_timeout: Duration,
    pub worker_connections: usize,
    pub worker_rlimit_nofile: u64,
    pub worker_shutdown_timeout: Duration,
    pub shutdown_delay: Duration,
    pub max_pending_timers: usize,
    pub max_running_timers: usize,
    pub access_log: AccessLog,
    /// File, relative to the prefix.
    pub error_log: String,
    pub error_log_level: LogLevel,
    pub router_http: RouterKind,
    pub delete_uri_tail_slash: bool,
    pub normalize_uri_like_servlet: bool,
    /// MiB of a body that `post_arg.*` conditions read; 0 is without bound.
    pub max_post_args_readable_size: u64,
    pub enable_server_tokens: bool,
    pub show_upstream_status_in_response_header: bool,
    pub status: (IpAddr, u16),
    /// `None` when `enable_control` is off.
    pub control: Option<(IpAddr, u16)>,
    pub admin: (IpAddr, u16),
    pub enable_admin: bool,
    /// `None` when nothing is configured, which APISIX treats differently from an empty list.
    pub trusted_addresses: Option<Vec<String>>,
    pub dns_resolver: Vec<String>,
    pub dns_resolver_valid: Option<Duration>,
    /// `discovery.dns`, if services are looked up there.
    pub discovery_dns: Option<discovery::Dns>,
    pub resolver_timeout: Duration,
    pub enable_resolv_search_opt: bool,
    /// Templates with `?`, in order.
    pub extra_lua_path: Vec<String>,
    pub extra_lua_cpath: Vec<String>,
    pub lua_module_hook: Option<String>,
    /// What the snippets say, if they say anything.
    pub snippets: Option<Arc<Snippets>>,
    pub plugins: Vec<String>,
    pub plugin_attr: Arc<Value>,
    /// Names and bytes of all `ngx.shared` dicts of the HTTP side.
    pub shared_dicts: BTreeMap<String, u64>,
    pub role: Role,
    /// What `config_provider` says; `None`: nothing.
    pub provider: Option<Provider>,
    pub named: Named,
    /// Of the standalone file, where that is the provider.
    pub standalone: Format,
    pub plugin_missing: PluginMissing,
    pub plugin_missing_by_name: BTreeMap<String, PluginMissing>,
    pub readiness_strict: bool,
    /// Bytes of a request body kept so that a retry can send them again.
    pub proxy_replay_buffer: usize,
    /// Of requests that go to a second server too: `plugin_attr.proxy-mirror.timeout`.
    pub mirror_timeout: Timeout,
    pub reload: Reload,
    pub watchdog: Watchdog,
    pub memory: Memory,
    pub log: LogBounds,
    /// Bounds of configuration documents.
    pub limits: DocumentLimits,
    /// The whole merged tree, for `core.config.local_conf()`.
    pub raw: Arc<Value>,
}

impl Local {
    /// Sets what is the provider, where nobody said it.
    pub fn set_provider(&mut self, provider: Provider) {
        self.provider = Some(provider);
        if let Provider::File(format) = provider {
            self.standalone = format;
        }
        let mut raw = (*self.raw).clone();
        if let Some(Value::Object(deployment)) = raw.get_mut("deployment") {
            deployment.insert("config_provider".into(), provider.to_string().into());
        }
        self.raw = Arc::new(raw);
    }

    /// What a missing plugin means for objects that configure it.
    #[must_use]
    pub fn missing(&self, plugin: &str) -> PluginMissing {
        self.plugin_missing_by_name.get(plugin).copied().unwrap_or(self.plugin_missing)
    }

    /// Built-in defaults, as with an empty file.
    ///
    /// # Errors
    ///
    /// Problems that environment variables bring in.
    pub fn defaults(env: Env<'_>) -> Result<Self, Vec<Problem>> {
        parse("", "config.yaml", env).map(|loaded| loaded.local)
    }
}

/// A file that was understood.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub local: Local,
    /// Unknown and unsupported keys.
    pub warnings: Vec<Problem>,
}

/// Path of `config.yaml`, or `config-<profile>.yaml` when `APISIX_PROFILE` is set.
#[must_use]
pub fn path(prefix: &Path, env: Env<'_>) -> PathBuf {
    profiled(prefix, "config", "yaml", env)
}

/// Path of `apisix.yaml` or `apisix.json`, with the profile in its name when one is set.
#[must_use]
pub fn standalone_path(prefix: &Path, format: Format, env: Env<'_>) -> PathBuf {
    let extension = if format == Format::Yaml { "yaml" } else { "json" };
    profiled(prefix, "apisix", extension, env)
}

fn profiled(prefix: &Path, name: &str, extension: &str, env: Env<'_>) -> PathBuf {
    let profile = env("APISIX_PROFILE").filter(|profile| !profile.is_empty());
    let name = profile.map_or_else(|| name.to_owned(), |profile| format!("{name}-{profile}"));
    prefix.join("conf").join(format!("{name}.{extension}"))
}

/// Reads a `config.yaml`.
///
/// # Errors
///
/// All problems of the file, warnings among them.
pub fn load(path: &Path, env: Env<'_>) -> Result<Loaded, Vec<Problem>> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &file, env),
        Err(error) => Err(vec![Problem::error(&file, None, format!("cannot be read: {error}"))]),
    }
}

/// Reads the text of a `config.yaml`; `file` names it in problems.
///
/// # Errors
///
/// All problems of the text, warnings among them.
pub fn parse(text: &str, file: &str, env: Env<'_>) -> Result<Loaded, Vec<Problem>> {
    let limits = DocumentLimits::default();
    let document =
        yaml::parse(text, &limits, limits.levels_max).map_err(|error| vec![error.into_in(file)])?;
    let mut tree = defaults::tree().map_err(|error| vec![error.into_in("defaults")])?;
    let mut problems = Problems { file, text, lines: &document.lines, list: Vec::new() };
    let mut user = document.value;
    env::tree(&mut user, env, &mut |path, text| problems.add(Severity::Error, path, text));
    let named = keys::at(&user, "deployment.etcd.host").is_some_and(|host| !host.is_null());
    let admin_named = ["apisix.enable_admin", "deployment.admin"]
        .into_iter()
        .any(|path| keys::at(&user, path).is_some_and(|value| !value.is_null()));
    match user {
        Value::Null => {}
        Value::Object(_) => {
            keys::review(&user, &tree, &mut |path, text| {
                problems.add(Severity::Warning, path, text);
            });
            merge(&mut tree, user, "", &mut problems);
        }
        _ => problems.add(Severity::Error, "", "expected a mapping of sections".into()),
    }
    let etcd_named = named || env("APISIX_DEPLOYMENT_ETCD_HOST").is_some();
    complete(&mut tree, env, &mut problems);
    add_plugins(&mut tree, &mut problems);
    let mut local = settings::read(Arc::new(tree), &mut problems);
    local.named = Named { etcd: etcd_named, admin: admin_named };
    let list = problems.list;
    if list.iter().any(|problem| problem.severity == Severity::Error) {
        Err(list)
    } else {
        Ok(Loaded { local, warnings: list })
    }
}

/// The keys whose change from `old` to `new` takes effect only at a restart.
#[must_use]
pub fn restart_keys(old: &Local, new: &Local) -> Vec<String> {
    keys::needing_restart(&old.raw, &new.raw)
}

/// Collects what is wrong, with the line of the key or of its nearest parent.
pub(super) struct Problems<'f> {
    file: &'f str,
    text: &'f str,
    lines: &'f HashMap<String, usize>,
    list: Vec<Problem>,
}

impl Problems<'_> {
    pub(super) fn add(&mut self, severity: Severity, path: &str, message: String) {
        self.add_at(severity, self.line(path), message);
    }

    /// What is wrong with a snippet.
    pub(super) fn add_wrong(&mut self, wrong: &snippet::Wrong) {
        let path = format!("nginx_config.{}", wrong.key);
        let key = self.line(&path);
        // Below a key that ends in `|` the lines of the file are those of the snippet.
        let begin = |line: usize| self.text.lines().nth(line.saturating_sub(1));
        let literal = key.and_then(begin).is_some_and(|line| {
            line.trim_end()
                .trim_end_matches(['-', '+'])
                .trim_end_matches(char::is_numeric)
                .ends_with('|')
        });
        let line = key.map(|key| if literal { key + wrong.line } else { key });
        let message = format!("{path}:{}: {}", wrong.line, wrong.message);
        self.add_at(Severity::Error, line, message);
    }

    /// The line of the key, or of its nearest parent.
    fn line(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            (path, _) = path.rsplit_once('.')?;
        }
    }

    fn add_at(&mut self, severity: Severity, line: Option<usize>, message: String) {
        let file = self.file.to_owned();
        self.list.push(Problem { severity, file, line, object: None, message });
    }
}

/// Lays `user` over `base`: mappings merge, lists and scalars replace, null removes.
fn merge(base: &mut Value, user: Value, path: &str, problems: &mut Problems<'_>) {
    let (Value::Object(base), Value::Object(user)) = (base, user) else { return };
    for (key, value) in user {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (base.get_mut(&key), value) {
            // An empty section in a file says nothing; below that, null takes a default away.
            (Some(Value::Object(_)), Value::Null) if !path.contains('.') => {}
            (_, Value::Null) => drop(base.shift_remove(&key)),
            (Some(old @ Value::Object(_)), value @ Value::Object(_)) => {
                merge(old, value, &path, problems);
            }
            (Some(old), value) if same_kind(old, &value) || may_change_kind(&path) => *old = value,
            (Some(old), value) => {
                let text = format!(
                    "failed to merge, path[{}] expect: {}, but got: {}",
                    path.replace('.', "->"),
                    lua_type(old),
                    lua_type(&value)
                );
                problems.add(Severity::Error, &path, text);
            }
            (None, value) => drop(base.insert(key, value)),
        }
    }
}

fn same_kind(old: &Value, new: &Value) -> bool {
    lua_type(old) == lua_type(new) && old.is_array() == new.is_array()
        || old.is_null()
        || matches!((old, new), (Value::Object(old), Value::Array(_)) if old.is_empty())
        || matches!((old, new), (_, Value::Array(new)) if new.is_empty() && old.is_object())
}

/// Keys that APISIX lets be written as another type.
fn may_change_kind(path: &str) -> bool {
    path.starts_with("nginx_config.")
        || path.starts_with("moongate.")
        || matches!(
            path,
            "apisix.node_listen" | "apisix.data_encryption.keyring" | "apisix.resolver_timeout"
        )
}

fn lua_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// What APISIX derives after the merge: the provider in one place, if one is said, the role's
/// consequences, and the two reserved variables.
fn complete(tree: &mut Value, env: Env<'_>, problems: &mut Problems<'_>) {
    let role = keys::at(tree, "deployment.role").and_then(Value::as_str).unwrap_or("traditional");
    let role = if env("APISIX_STAND_ALONE").as_deref() == Some("true") {
        "data_plane".to_owned()
    } else {
        role.to_owned()
    };
    let path = format!("deployment.role_{role}.config_provider");
    let said = keys::at(tree, &path).and_then(Value::as_str).map(str::to_owned);
    check_role(&role, (&path, said.as_deref()), problems);
    if let Some(deployment) = tree.get_mut("deployment").and_then(Value::as_object_mut) {
        deployment.insert("config_provider".into(), said.map_or(Value::Null, Value::String));
        deployment.insert("role".into(), role.as_str().into());
        let hosts = env("APISIX_DEPLOYMENT_ETCD_HOST")
            .and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok());
        if let (Some(hosts), Some(Value::Object(etcd))) = (hosts, deployment.get_mut("etcd")) {
            etcd.insert("host".into(), hosts.into());
        }
    }
    let admin = match Role::from_name(&role) {
        Some(Role::ControlPlane) => true,
        Some(Role::DataPlane) => false,
        Some(Role::Traditional) | None => return,
    };
    if let Some(apisix) = tree.get_mut("apisix").and_then(Value::as_object_mut) {
        apisix.insert("enable_admin".into(), Value::Bool(admin));
    }
}

/// Whether there is such a role, and whether it may have the provider that is said at `path`.
fn check_role(name: &str, (path, said): (&str, Option<&str>), problems: &mut Problems<'_>) {
    let Some(role) = Role::from_name(name) else {
        let text = format!(
            "deployment.role must be traditional, data_plane or control_plane, not \"{name}\""
        );
        return problems.add(Severity::Error, "deployment.role", text);
    };
    let good = |said| Provider::from_name(said).is_some_and(|provider| role.may_have(provider));
    if let Some(said) = said.filter(|said| !good(said)) {
        let text = format!("{path} must be {}, not \"{said}\"", role.providers());
        problems.add(Severity::Error, path, text);
    }
}

/// `moongate.add_plugins` joins `plugins`: naming one plugin must not mean naming all.
fn add_plugins(tree: &mut Value, problems: &mut Problems<'_>) {
    const KEY: &str = "moongate.add_plugins";
    let more = match keys::at(tree, KEY).cloned() {
        Some(Value::Array(more)) if more.iter().all(Value::is_string) => more,
        None | Some(Value::Null) => return,
        Some(other) => {
            let text = format!("{KEY} must be a list of plugin names, not {other}");
            return problems.add(Severity::Error, KEY, text);
        }
    };
    if let Some(Value::Array(list)) = tree.get_mut("plugins") {
        for name in more {
            if !list.contains(&name) {
                list.push(name);
            }
        }
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
