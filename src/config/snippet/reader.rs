//! Walks through the snippets, one directive after another.

use super::{
    BYTES_MAX, Wrong, directives, hints,
    lexer::{Broken, End, Item, Lexer, Word},
    model::{Code, Content, Listen, Location, Match, Place, Scope, Server, ServerName, Snippets},
};

/// Directives in all snippets together.
const DIRECTIVES_MAX: usize = 20_000;

/// Problems that are told.
const WRONGS_MAX: usize = 50;

/// Where a directive stands, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level(pub(super) u8);

impl Level {
    /// Outside of `http`.
    pub(super) const MAIN: Self = Self(1);
    /// Inside of it.
    pub(super) const HTTP: Self = Self(1 << 1);
    /// In a `server` of the snippet's own.
    pub(super) const SERVER: Self = Self(1 << 2);
    /// In a server that the gateway has anyway.
    pub(super) const GATEWAY: Self = Self(1 << 3);
    /// In a `location`.
    pub(super) const LOCATION: Self = Self(1 << 4);
    /// In the location `/` of the gateway.
    pub(super) const ROUTES: Self = Self(1 << 5);
    /// In the `stream` of nginx.
    const STREAM: Self = Self(0);

    pub(super) fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

/// What the directives of one block have said.
#[derive(Default)]
pub(super) struct Block {
    pub(super) scope: Scope,
    pub(super) listens: Vec<Listen>,
    pub(super) names: Vec<ServerName>,
    pub(super) locations: Vec<Location>,
    pub(super) internal: bool,
    pub(super) content: Option<Content>,
    /// `Some` in a location.
    pub(super) matches: Option<Match>,
}

impl Block {
    fn into_server(self) -> Server {
        Server {
            listens: self.listens,
            names: self.names,
            scope: self.scope,
            locations: self.locations,
        }
    }
}

/// One directive, as those who read it see it.
pub(super) struct Line<'l> {
    pub(super) name: &'l str,
    pub(super) args: &'l [Word],
    pub(super) place: Place,
    /// The Lua of a `*_by_lua_block`.
    pub(super) lua: Option<&'l str>,
}

impl Line<'_> {
    pub(super) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", |word| &word.text)
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(|word| &*word.text)
    }
}

/// Reads snippets, one key after the other.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) out: Snippets,
    wrongs: Vec<Wrong>,
    directives: usize,
    /// What stands in `http`, for all servers.
    http: Scope,
    gateway: Block,
    routes: Block,
    admin: Option<Block>,
    servers: Vec<Block>,
}

impl Reader {
    /// Reads the snippet of `key`.
    pub(super) fn key(&mut self, key: &'static str, text: &str) {
        if text.len() > BYTES_MAX {
            return self.wrong(key, 1, format!("a snippet is longer than {BYTES_MAX} bytes"));
        }
        let level = match key {
            "main_configuration_snippet" => Level::MAIN,
            "http_configuration_snippet" | "http_end_configuration_snippet" => Level::HTTP,
            "http_server_configuration_snippet" | "http_admin_configuration_snippet" => {
                Level::GATEWAY
            }
            "http_server_location_configuration_snippet" => Level::ROUTES,
            _ => Level::STREAM,
        };
        let mut block = match key {
            "http_configuration_snippet" | "http_end_configuration_snippet" => {
                Block { scope: std::mem::take(&mut self.http), ..Block::default() }
            }
            _ => Block::default(),
        };
        let mut lexer = Lexer::new(text);
        if let Err(Broken { line, why }) = self.directives(key, level, &mut lexer, &mut block) {
            self.wrong(key, line, why);
        }
        match key {
            "http_configuration_snippet" | "http_end_configuration_snippet" => {
                self.http = block.scope;
            }
            "http_server_configuration_snippet" => self.gateway = block,
            "http_server_location_configuration_snippet" => self.routes = block,
            "http_admin_configuration_snippet" if !text.trim().is_empty() => {
                self.admin = Some(block);
            }
            _ => {}
        }
    }

    fn wrong(&mut self, key: &'static str, line: usize, message: String) {
        if self.wrongs.len() < WRONGS_MAX {
            self.wrongs.push(Wrong { key, line, message });
        }
    }

    /// Directives up to the end of the text, or in a block up to its `}`.
    fn directives(
        &mut self,
        key: &'static str,
        level: Level,
        lexer: &mut Lexer<'_>,
        block: &mut Block,
    ) -> Result<(), Broken> {
        let inner = block.matches.is_some() || level == Level::SERVER;
        loop {
            let (words, line, end) = match lexer.next()? {
                Item::Over if inner => {
                    let why = "unexpected end, expecting \"}\"".to_owned();
                    return Err(Broken { line: lexer.line(), why });
                }
                Item::Close { line } if !inner => {
                    return Err(Broken { line, why: "unexpected \"}\"".to_owned() });
                }
                Item::Over | Item::Close { .. } => return Ok(()),
                Item::Directive { words, line, end } => (words, line, end),
            };
            self.directives += 1;
            if self.directives > DIRECTIVES_MAX {
                let why = format!("more than {DIRECTIVES_MAX} directives");
                return Err(Broken { line, why });
            }
            let Some((name, args)) = words.split_first() else { continue };
            let place = Place { key, line };
            let lua = if let End::Lua(lua) = end { Some(lua) } else { None };
            let line_of = Line { name: &name.text, args, place, lua };
            if end != End::Block {
                if let Err(message) = self.simple(level, &line_of, block) {
                    self.wrong(key, line, message);
                }
                continue;
            }
            match self.open(level, &line_of) {
                Ok((mut inside, inner_level)) => {
                    self.directives(key, inner_level, lexer, &mut inside)?;
                    if let Err(message) = self.close(&line_of, inside, block) {
                        self.wrong(key, line, message);
                    }
                }
                Err(message) => {
                    self.wrong(key, line, message);
                    skip_block(lexer)?;
                }
            }
        }
    }

    fn simple(&mut self, level: Level, line: &Line<'_>, block: &mut Block) -> Result<(), String> {
        let name = line.name;
        if matches!(name, "server" | "location") && level != Level::STREAM {
            return Err(format!("directive \"{name}\" has no opening \"{{\""));
        }
        let Some(directive) = directives::find(name) else { return Err(unknown(name)) };
        if !directive.levels.any(level) {
            return Err(not_here(name, level));
        }
        let (least, most) = directive.args;
        if !(least..=most).contains(&line.args.len()) {
            return Err(format!("invalid number of arguments in \"{name}\" directive"));
        }
        if line.lua.is_some() != name.ends_with("_by_lua_block") {
            return Err(format!("directive \"{name}\" has no opening \"{{\""));
        }
        (directive.read)(self, block, line)
    }

    /// Begins the block of `line`.
    fn open(&self, level: Level, line: &Line<'_>) -> Result<(Block, Level), String> {
        match line.name {
            "server" if level == Level::HTTP && line.args.is_empty() => {
                Ok((Block::default(), Level::SERVER))
            }
            "location" if level.any(Level::SERVER) || level.any(Level::GATEWAY) => {
                let matches = Some(super::server::matches(line)?);
                Ok((Block { matches, ..Block::default() }, Level::LOCATION))
            }
            "location" if level == Level::LOCATION => {
                Err("a \"location\" inside of another is not supported".to_owned())
            }
            name @ ("server" | "location") => Err(not_here(name, level)),
            name => Err(match directives::find(name) {
                Some(_) => format!("directive \"{name}\" is not terminated by \";\""),
                None => unknown(name),
            }),
        }
    }

    /// Ends it, and adds it to the one around.
    fn close(&mut self, line: &Line<'_>, inside: Block, block: &mut Block) -> Result<(), String> {
        match inside.matches {
            Some(matches) => {
                super::server::check_location(&matches, &block.locations)?;
                block.locations.push(Location {
                    place: line.place,
                    matches,
                    internal: inside.internal,
                    scope: inside.scope,
                    content: inside.content.unwrap_or(Content::None),
                });
            }
            None if inside.listens.is_empty() => {
                return Err("a \"server\" needs a \"listen\"".to_owned());
            }
            None => self.servers.push(inside),
        }
        Ok(())
    }

    /// Keeps code; its index.
    pub(super) fn keep(&mut self, code: Code) -> usize {
        self.out.codes.push(code);
        self.out.codes.len() - 1
    }

    /// Puts together what all snippets said.
    pub(super) fn finish(mut self) -> Result<Option<Snippets>, Vec<Wrong>> {
        let routes_place = Place { key: "http_server_location_configuration_snippet", line: 1 };
        let routes = Location {
            place: routes_place,
            matches: Match::Prefix { path: "/".into(), fixed: false },
            internal: false,
            scope: std::mem::take(&mut self.routes.scope),
            content: Content::Routes,
        };
        for location in &self.gateway.locations {
            if super::server::same(&location.matches, &routes.matches) {
                let why = "location \"/\" is where the routes are: put it into \
                           http_server_location_configuration_snippet"
                    .to_owned();
                self.wrongs.push(Wrong {
                    key: location.place.key,
                    line: location.place.line,
                    message: why,
                });
            }
        }
        self.gateway.locations.push(routes);
        if !self.wrongs.is_empty() {
            return Err(self.wrongs);
        }
        if self.directives == 0 {
            return Ok(None);
        }
        let mut gateway = self.gateway.into_server();
        let mut admin = self.admin.map(Block::into_server);
        let mut servers: Vec<Server> = self.servers.into_iter().map(Block::into_server).collect();
        for server in servers.iter_mut().chain(&mut admin).chain([&mut gateway]) {
            server.scope.inherit(&self.http);
            for location in &mut server.locations {
                location.scope.inherit(&server.scope);
                if location.content == Content::Routes {
                    // APISIX has its own here, which hide those from around.
                    let scope = &mut location.scope;
                    (scope.access, scope.header_filter) = (None, None);
                    (scope.body_filter, scope.log) = (None, None);
                }
            }
        }
        Ok(Some(Snippets { gateway, admin, servers, ..self.out }))
    }
}

fn unknown(name: &str) -> String {
    let hint = hints::of(name).map(|hint| format!(": {hint}")).unwrap_or_default();
    format!("directive \"{name}\" is not supported{hint}")
}

fn not_here(name: &str, level: Level) -> String {
    if level == Level::STREAM {
        return format!("directive \"{name}\" is not supported: nginx's stream is not there");
    }
    let why = match (name, level) {
        ("listen", Level::GATEWAY) => ": set apisix.node_listen",
        ("server_name", Level::GATEWAY) => ": a host belongs to a route",
        ("content_by_lua_block" | "content_by_lua_file" | "proxy_pass", Level::ROUTES) => {
            ": the routes are its content"
        }
        (name, Level::ROUTES) if name.contains("_by_lua") => {
            ": the location of the routes has its own, write a plugin"
        }
        _ => "",
    };
    format!("\"{name}\" directive is not allowed here{why}")
}

/// Steps over a block nobody understands.
fn skip_block(lexer: &mut Lexer<'_>) -> Result<(), Broken> {
    let mut depth = 1_usize;
    while depth > 0 {
        match lexer.next()? {
            Item::Over => {
                let why = "unexpected end, expecting \"}\"".to_owned();
                return Err(Broken { line: lexer.line(), why });
            }
            Item::Close { .. } => depth -= 1,
            Item::Directive { end: End::Block, .. } => depth += 1,
            Item::Directive { .. } => {}
        }
    }
    Ok(())
}
