//! What snippets say, typed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{pattern::Pattern, template::Template};

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Key of `nginx_config`.
    pub key: &'static str,
    /// Line within the snippet, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "nginx_config.{}:{}", self.key, self.line)
    }
}

/// Where Lua code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It stands in the snippet.
    Inline(Arc<str>),
    /// A file, relative to the prefix.
    File(String),
}

/// A piece of Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The directive without `_block` and `_file`, such as `content_by_lua`.
    pub directive: &'static str,
    /// Where it stands.
    pub place: Place,
    /// The code.
    pub source: Source,
}

/// How a rule of the rewrite phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The rules behind go on.
    Next,
    /// `last`: a location is looked for again.
    Last,
    /// `break`: the location stays.
    Break,
    /// `redirect`, `permanent`: this status.
    Redirect(u16),
}

/// A directive of the rewrite phase. They run in the order they are written.
#[derive(Debug, Clone)]
pub enum Rule {
    /// `set`: the variable's name without `$`.
    Set(Box<str>, Template),
    /// `rewrite`.
    Rewrite {
        /// Matched with the path.
        pattern: Pattern,
        /// The new path, with arguments behind `?`.
        to: Template,
        /// The new arguments come instead of the old ones: it ended with `?`.
        drop_args: bool,
        /// What comes then.
        flag: Flag,
    },
    /// `return`: status, and the text or the address to go to.
    Return(u16, Option<Template>),
    /// `break`.
    Break,
}

/// A header that `more_set_headers` sets or `more_clear_headers` takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHeader {
    /// Its name; for taking away with `*` at the end, too.
    pub name: Box<str>,
    /// Its value; `None` takes it away.
    pub value: Option<Template>,
    /// Only for these statuses; any if empty.
    pub statuses: Vec<u16>,
    /// Only for these content types; any if empty.
    pub types: Vec<Box<str>>,
}

/// A header that `add_header` adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddHeader {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    pub value: Template,
    /// Also where the status tells of a failure.
    pub always: bool,
}

/// One `allow` or `deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whether who matches may pass.
    pub allow: bool,
    /// Address and bits; `None` is `all`.
    pub network: Option<(std::net::IpAddr, u8)>,
}

/// What holds in a location. What it does not say itself it has from around it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The rewrite phase; each level has its own.
    pub rules: Vec<Rule>,
    /// Index into [`Snippets::codes`], as below.
    pub rewrite: Option<usize>,
    /// `access_by_lua`.
    pub access: Option<usize>,
    /// `header_filter_by_lua`.
    pub header_filter: Option<usize>,
    /// `body_filter_by_lua`.
    pub body_filter: Option<usize>,
    /// `log_by_lua`.
    pub log: Option<usize>,
    /// In their order.
    pub set_headers: Vec<SetHeader>,
    /// In their order.
    pub add_headers: Vec<AddHeader>,
    /// The first that matches decides.
    pub clients: Vec<Access>,
    /// Content type of what is said without one.
    pub default_type: Option<Box<str>>,
    /// Bytes of a request's body; 0 is any.
    pub body_bytes_max: Option<u64>,
    /// `false` where `access_log off` is said.
    pub access_log: Option<bool>,
    /// Headers of the request to `proxy_pass`.
    pub proxy_headers: Vec<(Box<str>, Template)>,
    /// Time for connecting to it.
    pub proxy_connect: Option<Duration>,
    /// Time between two writes to it.
    pub proxy_send: Option<Duration>,
    /// Time between two reads from it.
    pub proxy_read: Option<Duration>,
}

impl Scope {
    /// Takes from `outer` what is not said here.
    pub(super) fn inherit(&mut self, outer: &Self) {
        self.rewrite = self.rewrite.or(outer.rewrite);
        self.access = self.access.or(outer.access);
        self.header_filter = self.header_filter.or(outer.header_filter);
        self.body_filter = self.body_filter.or(outer.body_filter);
        self.log = self.log.or(outer.log);
        // Those of headers-more add up.
        self.set_headers.splice(0..0, outer.set_headers.iter().cloned());
        let lend = |own: &mut Vec<_>, outer: &Vec<_>| {
            if own.is_empty() {
                own.clone_from(outer);
            }
        };
        lend(&mut self.add_headers, &outer.add_headers);
        if self.clients.is_empty() {
            self.clients.clone_from(&outer.clients);
        }
        if self.proxy_headers.is_empty() {
            self.proxy_headers.clone_from(&outer.proxy_headers);
        }
        if self.default_type.is_none() {
            self.default_type.clone_from(&outer.default_type);
        }
        self.body_bytes_max = self.body_bytes_max.or(outer.body_bytes_max);
        self.access_log = self.access_log.or(outer.access_log);
        self.proxy_connect = self.proxy_connect.or(outer.proxy_connect);
        self.proxy_send = self.proxy_send.or(outer.proxy_send);
        self.proxy_read = self.proxy_read.or(outer.proxy_read);
    }
}

/// Which requests a location takes.
#[derive(Debug, Clone)]
pub enum Match {
    /// `=`: this path.
    Exact(Box<str>),
    /// Paths that begin with it; the longest wins.
    Prefix {
        /// The beginning.
        path: Box<str>,
        /// `^~`: no expression is tried then.
        fixed: bool,
    },
    /// `~`, `~*`: the first that matches.
    Regex(Pattern),
    /// `@name`: only by its name.
    Named(Box<str>),
}

/// The fixed address of a `proxy_pass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Whether it speaks TLS.
    pub https: bool,
    /// Name or address.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// What stands in place of the location's path, with arguments.
    pub uri: Option<Box<str>>,
}

/// Who answers in a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nobody but its rules.
    None,
    /// `content_by_lua`: index into [`Snippets::codes`].
    Lua(usize),
    /// `proxy_pass`.
    Proxy(Proxy),
    /// The routes: the location `/` of the gateway itself.
    Routes,
}

/// One location.
#[derive(Debug, Clone)]
pub struct Location {
    /// Where it stands.
    pub place: Place,
    /// Which requests it takes.
    pub matches: Match,
    /// Whether clients cannot reach it.
    pub internal: bool,
    /// What holds in it.
    pub scope: Scope,
    /// Who answers.
    pub content: Content,
}

/// An address of a `listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub addr: SocketAddr,
    /// Whether names that no server has come here.
    pub default: bool,
}

/// One of a `server_name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// This name.
    Exact(Box<str>),
    /// Names that end with it, a dot in front; the name itself too if `bare`.
    Suffix {
        /// Without the dot.
        domain: Box<str>,
        /// `.example.com` is `example.com`, too.
        bare: bool,
    },
}

/// One server: the gateway's own, or another.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Where it listens; the gateway's own servers have that from elsewhere.
    pub listens: Vec<Listen>,
    /// Its names.
    pub names: Vec<ServerName>,
    /// What holds outside of its locations; its rules run for every request.
    pub scope: Scope,
    /// Its locations.
    pub locations: Vec<Location>,
}

/// Everything that the snippets say.
#[derive(Debug, Clone, Default)]
pub struct Snippets {
    /// `env`: names, and the value where one is given.
    pub env: Vec<(String, Option<String>)>,
    /// `lua_shared_dict`: names and bytes.
    pub dicts: Vec<(String, u64)>,
    /// Templates in front of Lua's own.
    pub lua_path: Vec<String>,
    /// The same for modules in C.
    pub lua_cpath: Vec<String>,
    /// `resolver`: addresses, and where it stands.
    pub resolver: Option<(Vec<String>, Place)>,
    /// `init_by_lua`, in their order.
    pub init: Vec<usize>,
    /// `init_worker_by_lua`, in their order.
    pub init_worker: Vec<usize>,
    /// All Lua code.
    pub codes: Vec<Code>,
    /// The server of the routes, among its locations the routes themselves.
    pub gateway: Server,
    /// The server of the Admin API, if anything is said of it.
    pub admin: Option<Server>,
    /// Other servers.
    pub servers: Vec<Server>,
}
