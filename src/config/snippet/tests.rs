//! What snippets say, and what is refused.

use super::*;

fn read_one(key: &'static str, text: &str) -> Result<Snippets, Vec<String>> {
    let found = read(|asked| if asked == key { text } else { "" });
    let told = |wrong: Wrong| format!("{}:{}: {}", wrong.key, wrong.line, wrong.message);
    match found {
        Ok(snippets) => Ok(snippets.unwrap_or_default()),
        Err(wrongs) => Err(wrongs.into_iter().map(told).collect()),
    }
}

const HTTP: &str = "http_configuration_snippet";
const SERVER: &str = "http_server_configuration_snippet";
const ROUTES: &str = "http_server_location_configuration_snippet";

fn server(text: &str) -> Snippets {
    read_one(SERVER, text).unwrap()
}

#[track_caller]
fn refused(key: &'static str, text: &str, expected: &str) {
    let told = read_one(key, text).unwrap_err();
    assert_eq!(told, [format!("{key}:{expected}")], "{text}");
}

fn inline(snippets: &Snippets, index: usize) -> &str {
    match &snippets.codes[index].source {
        Source::Inline(text) => text,
        Source::File(path) => path,
    }
}

#[test]
fn nothing_is_nothing() {
    assert!(read(|_| "").unwrap().is_none());
    assert!(read(|_| " \n\t ").unwrap().is_none());
    assert!(read(|_| "# a comment\n").unwrap().is_none());
}

#[test]
fn a_block_of_lua_ends_where_lua_says() {
    for code in [
        " ngx.say(\"}\") ",
        " ngx.say('}', \"\\\"}\") ",
        " local t = { a = { 1 } } ",
        " -- }\n ",
        " --[[ } \n } ]] ",
        " --[==[ ]] } ]==] ",
        " local s = [[ } ]] local i = t[1] ",
        " local s = [=[ ]] } ]=] ",
        " local x = t[ [[}]] ] ",
        " local a = b - c --}\n",
        "",
    ] {
        let text =
            format!("location /x {{ content_by_lua_block {{{code}}} internal; }}\nset $a b;");
        let snippets = server(&text);
        let Content::Lua(index) = snippets.gateway.locations[0].content else { panic!("{code}") };
        assert_eq!(inline(&snippets, index), code);
        assert!(snippets.gateway.locations[0].internal);
        assert_eq!(snippets.gateway.scope.rules.len(), 1);
    }
}

#[test]
fn lines_count_through_lua_and_comments() {
    let text = "# one\nlocation /x {\n  content_by_lua_block {\n    a()\n\n  }\n  bogus on;\n}\n";
    refused(SERVER, text, "7: directive \"bogus\" is not supported");
    refused(SERVER, "set $a\n  b\n  c;\n", "1: invalid number of arguments in \"set\" directive");
    refused(SERVER, "set $a \"x\ny\";\nstub;", "3: directive \"stub\" is not supported");
}

#[test]
fn a_block_without_its_end_is_refused() {
    refused(SERVER, "location /x {", "1: unexpected end, expecting \"}\"");
    refused(SERVER, "location /x {\n set $a b;\n", "3: unexpected end, expecting \"}\"");
    for code in ["\"}", "'}", "--[[ }", "[[ }", "{ }", "-- }", "\"\\"] {
        let text = format!("location /x {{ content_by_lua_block {{{code}");
        let told = read_one(SERVER, &text).unwrap_err();
        let expected = "unexpected end in content_by_lua_block: its closing \"}\" is missing";
        assert!(told[0].ends_with(expected), "{told:?}");
    }
    refused(SERVER, "set $a b", "1: unexpected end, expecting \";\" or \"}\"");
    refused(SERVER, "set $a \"b", "1: unexpected end in a quoted text");
    refused(SERVER, "set $a b; }", "1: unexpected \"}\"");
    refused(SERVER, ";", "1: unexpected \";\"");
    refused(SERVER, "{ }", "1: unexpected \"{\"");
    refused(SERVER, "set $a }", "1: unexpected \"}\"");
    refused(SERVER, "set $a \"b\"c;", "1: unexpected \"c\"");
}

#[test]
fn words_are_read_as_nginx_reads_them() {
    let text = r#"set $a 'x;{}#'; set $b "a\"b\\c\td\e"; set $c ${a}b$d.; set $e x#y; set $f "";"#;
    let snippets = server(text);
    let values: Vec<&Template> = snippets
        .gateway
        .scope
        .rules
        .iter()
        .map(|rule| match rule {
            Rule::Set(_, value) => value,
            _ => panic!("not set"),
        })
        .collect();
    let text = |text: &str| Piece::Text(text.as_bytes().into());
    assert_eq!(values[0].0, [text("x;{}#")]);
    assert_eq!(values[1].0, [text("a\"b\\c\td\\e")]);
    let var = |name: &str| Piece::Var(name.into());
    assert_eq!(values[2].0, [var("a"), text("b"), var("d"), text(".")]);
    assert_eq!(values[3].0, [text("x#y")]);
    assert!(values[4].0.is_empty());
    assert_eq!(
        Template::parse("$1a$12").unwrap().0,
        [Piece::Capture(1), text("a"), Piece::Capture(1), text("2")]
    );
    refused(SERVER, "set $a $;", "1: invalid variable name");
    refused(SERVER, "set $a ${b;", "1: the closing bracket in a variable is missing");
    refused(SERVER, "set $a ${};", "1: invalid variable name");
    refused(SERVER, "set a b;", "1: invalid variable name \"a\"");
    refused(SERVER, "set $uri /x;", "1: the variable \"uri\" cannot be set");
    refused(SERVER, "set $http_x y;", "1: the variable \"http_x\" cannot be set");
}

#[test]
fn locations_have_modifiers() {
    let snippets = server(
        "location = /a { return 200; } location /b { return 200; } location ^~ /c { return 200; }\n\
         location ~ ^/d { return 200; } location ~* ^/E { return 200; } location @f { return 200; }\n\
         location ~^/g\\.x$ { return 200; } location =/h { return 200; }",
    );
    let shown: Vec<String> = snippets
        .gateway
        .locations
        .iter()
        .map(|location| match &location.matches {
            Match::Exact(path) => format!("= {path}"),
            Match::Prefix { path, fixed } => format!("{}{path}", if *fixed { "^~ " } else { "" }),
            Match::Regex(pattern) => format!("~ {}", pattern.source),
            Match::Named(name) => format!("@{name}"),
        })
        .collect();
    let expected = ["= /a", "/b", "^~ /c", "~ ^/d", "~ ^/E", "@f", "~ ^/g\\.x$", "= /h", "/"];
    assert_eq!(shown, expected);
    assert_eq!(snippets.gateway.locations[8].content, Content::Routes);
    let at = |at: usize, path: &[u8]| match &snippets.gateway.locations[at].matches {
        Match::Regex(pattern) => pattern.captures(path).unwrap().is_some(),
        _ => false,
    };
    assert!(at(3, b"/d1") && !at(3, b"/D1") && at(4, b"/e") && at(6, b"/g.x") && !at(6, b"/gyx"));
    refused(SERVER, "location b { }", "1: location \"b\" must begin with \"/\"");
    refused(SERVER, "location =~ /b { }", "1: invalid location modifier \"=~\"");
    refused(SERVER, "location { }", "1: invalid number of arguments in \"location\" directive");
    refused(SERVER, "location /a;", "1: directive \"location\" has no opening \"{\"");
    refused(
        SERVER,
        "location ~ ( { }",
        "1: invalid regular expression \"(\": PCRE2: error compiling pattern at offset 1: missing \
         closing parenthesis",
    );
    refused(SERVER, "location /a { } location ^~ /a { }", "1: duplicate location \"/a\"");
    let told = "1: a \"location\" inside of another is not supported";
    refused(SERVER, "location /a { location /b { bogus; } }", told);
    let told = "1: location \"/\" is where the routes are: put it into \
                http_server_location_configuration_snippet";
    refused(SERVER, "location / { return 200; }", told);
}

#[test]
fn a_server_has_addresses_and_names() {
    let snippets = read_one(
        HTTP,
        "server\n{\n listen 45651 default_server; listen 127.0.0.1:80 reuseport; listen [::1]:81;\n\
         server_name _ A.example *.b.example .c.example;\n access_log off;\n\
         location /x { allow 127.0.0.1; allow 10.0.0.0/8; deny all; return 204; }\n}",
    )
    .unwrap();
    let server = &snippets.servers[0];
    let listens: Vec<String> =
        server.listens.iter().map(|l| format!("{} {}", l.addr, l.default)).collect();
    assert_eq!(listens, ["0.0.0.0:45651 true", "127.0.0.1:80 false", "[::1]:81 false"]);
    assert_eq!(
        server.names,
        [
            ServerName::Exact("_".into()),
            ServerName::Exact("a.example".into()),
            ServerName::Suffix { domain: "b.example".into(), bare: false },
            ServerName::Suffix { domain: "c.example".into(), bare: true },
        ]
    );
    let scope = &server.locations[0].scope;
    assert_eq!(scope.access_log, Some(false));
    assert_eq!(scope.clients.len(), 3);
    refused(HTTP, "server { }", "1: a \"server\" needs a \"listen\"");
    refused(HTTP, "server { listen 1; location /x {", "1: unexpected end, expecting \"}\"");
    refused(
        HTTP,
        "server { listen 443 ssl; listen 1; }",
        "1: \"listen\" with \"ssl\" is not supported",
    );
    refused(
        HTTP,
        "server { listen 1; listen unix:/x; }",
        "1: \"listen\" on a unix socket is not supported",
    );
    refused(
        HTTP,
        "server { listen 1; listen a:b; }",
        "1: \"listen\" must have an address and a port, not \"a:b\"",
    );
    refused(
        HTTP,
        "server { listen 1; listen 0; }",
        "1: invalid port in \"0\" of the \"listen\" directive",
    );
    refused(
        HTTP,
        "server { listen 1; server_name ~x; }",
        "1: \"server_name\" with \"~x\" is not supported",
    );
    refused(
        HTTP,
        "server { listen 1; server_name a.*; }",
        "1: \"server_name\" with \"a.*\" is not supported",
    );
}

#[test]
fn what_stands_elsewhere_is_refused_by_name() {
    let told = "1: \"listen\" directive is not allowed here: set apisix.node_listen";
    refused(SERVER, "listen 80;", told);
    refused(SERVER, "server { listen 1; }", "1: \"server\" directive is not allowed here");
    refused(ROUTES, "location /x { }", "1: \"location\" directive is not allowed here");
    let told = "1: \"proxy_pass\" directive is not allowed here: the routes are its content";
    refused(ROUTES, "proxy_pass http://x;", told);
    let told = "1: \"access_by_lua_block\" directive is not allowed here: the location of the \
                routes has its own, write a plugin";
    refused(ROUTES, "access_by_lua_block { x() }", told);
    refused(HTTP, "set $a b;", "1: \"set\" directive is not allowed here");
    refused("main_configuration_snippet", "set $a b;", "1: \"set\" directive is not allowed here");
    refused(
        "main_configuration_snippet",
        "daemon on;",
        "1: \"daemon on\" is not supported, only \"off\"",
    );
    let told = "1: directive \"tcp_nodelay\" is not supported: nginx's stream is not there";
    refused("stream_configuration_snippet", "tcp_nodelay off;", told);
    let told = "1: directive \"server\" is not supported: nginx's stream is not there";
    refused("stream_configuration_snippet", "server { listen 1; }", told);
    refused(
        SERVER,
        "if ($x = y) { return 403; }",
        "1: directive \"if\" is not supported: write it in rewrite_by_lua_block",
    );
    refused(
        HTTP,
        "upstream x { server 127.0.0.1; }",
        "1: directive \"upstream\" is not supported: configure an upstream object",
    );
    refused(SERVER, "set $a b { x; }", "1: directive \"set\" is not terminated by \";\"");
    refused(
        SERVER,
        "content_by_lua_block { }",
        "1: \"content_by_lua_block\" directive is not allowed here",
    );
    refused(
        SERVER,
        "rewrite_by_lua_block x;",
        "1: invalid number of arguments in \"rewrite_by_lua_block\" directive",
    );
    refused(
        SERVER,
        "rewrite_by_lua_block;",
        "1: directive \"rewrite_by_lua_block\" has no opening \"{\"",
    );
    let told = "1: directive \"content_by_lua_block2\" is not supported";
    refused(SERVER, "content_by_lua_block2 { x; }", told);
}

#[test]
fn all_that_is_wrong_is_told() {
    let told = read_one(SERVER, "a;\nlocation /x {\n b 1;\n c { d; }\n}\ne;").unwrap_err();
    let lines: Vec<&str> = told.iter().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["1", "3", "4", "6"]);
}

#[test]
fn rules_stay_in_order() {
    let snippets = server(
        "rewrite ^/a/(.*)$ /b/$1?x=1 last; rewrite ^/c /d? break; rewrite ^ https://e/ permanent;\n\
         rewrite ^ http://f; break; return 403; return 200 \"ok $1\"; return https://g;",
    );
    let rules = &snippets.gateway.scope.rules;
    let flags: Vec<String> = rules
        .iter()
        .map(|rule| match rule {
            Rule::Rewrite { flag, drop_args, .. } => format!("{flag:?} {drop_args}"),
            Rule::Return(status, text) => format!("return {status} {}", text.is_some()),
            Rule::Break => "break".to_owned(),
            Rule::Set(..) => "set".to_owned(),
        })
        .collect();
    assert_eq!(
        flags,
        [
            "Last false",
            "Break true",
            "Redirect(301) false",
            "Redirect(302) false",
            "break",
            "return 403 false",
            "return 200 true",
            "return 302 true"
        ]
    );
    refused(SERVER, "rewrite ^ /a always;", "1: invalid parameter \"always\"");
    refused(SERVER, "return abc;", "1: invalid return code \"abc\"");
    refused(SERVER, "return 99;", "1: invalid return code \"99\"");
    refused(SERVER, "return /a b;", "1: invalid return code \"/a\"");
}

#[test]
fn headers_are_set_and_added() {
    let snippets = server(
        "more_set_headers \"X-A: 1\" 'X-B:$host'; more_set_headers -s '404 500' -t text/html 'C: d';\n\
         more_clear_headers Server X-Powered-*; add_header E f always; add_header G $h;",
    );
    let set = &snippets.gateway.locations[0].scope.set_headers;
    let names: Vec<&str> = set.iter().map(|header| &*header.name).collect();
    assert_eq!(names, ["X-A", "X-B", "C", "Server", "X-Powered-*"]);
    assert_eq!(set[2].statuses, [404, 500]);
    assert_eq!(&*set[2].types[0], "text/html");
    assert!(set[1].value.is_some() && set[3].value.is_none());
    assert_eq!(snippets.gateway.scope.add_headers.len(), 2);
    assert!(snippets.gateway.scope.add_headers[0].always);
    refused(SERVER, "add_header \"a b\" c;", "1: invalid header name \"a b\"");
    refused(SERVER, "add_header a \"b\\nc\";", "1: a control character in the value of a header");
    refused(SERVER, "more_set_headers -s 404;", "1: \"more_set_headers\" names no header");
    refused(SERVER, "more_set_headers -s x 'a: b';", "1: invalid status \"x\"");
    refused(
        SERVER,
        "add_header Connection close;",
        "1: the header \"Connection\" is the connection's own",
    );
}

#[test]
fn a_location_has_one_content() {
    let snippets = server(
        "location /a { proxy_pass http://127.0.0.1:9090/v1/; proxy_read_timeout 5s; }\n\
         location /b { proxy_pass https://[::1]; } location ~ /c { proxy_pass http://a.b:81; }\n\
         location /d { content_by_lua_file lua/x.lua; }",
    );
    let contents: Vec<&Content> =
        snippets.gateway.locations.iter().map(|location| &location.content).collect();
    let proxy = |https, host: &str, port, uri: Option<&str>| {
        Content::Proxy(Proxy { https, host: host.into(), port, uri: uri.map(Into::into) })
    };
    assert_eq!(*contents[0], proxy(false, "127.0.0.1", 9090, Some("/v1/")));
    assert_eq!(*contents[1], proxy(true, "::1", 443, None));
    assert_eq!(*contents[2], proxy(false, "a.b", 81, None));
    assert_eq!(snippets.codes[0].source, Source::File("lua/x.lua".into()));
    for (text, expected) in [
        (
            "proxy_pass http://$host;",
            "\"proxy_pass\" with variables is not supported: it takes a fixed address",
        ),
        ("proxy_pass a:80;", "invalid URL prefix in \"a:80\""),
        ("proxy_pass http://;", "invalid host or port in \"http://\""),
        ("proxy_pass http://a:0;", "invalid host or port in \"http://a:0\""),
        ("proxy_pass http://[x]:1;", "invalid host or port in \"http://[x]:1\""),
        ("proxy_pass http://unix:/x;", "\"proxy_pass\" to a unix socket is not supported"),
        (
            "proxy_pass http://a; proxy_pass http://b;",
            "\"proxy_pass\" directive is duplicate: the location has its content",
        ),
        (
            "proxy_pass http://a; content_by_lua_block { }",
            "\"content_by_lua_block\" directive is duplicate: the location has its content",
        ),
        ("content_by_lua_file $x.lua;", "\"content_by_lua_file\" with variables is not supported"),
        ("log_by_lua_block { } log_by_lua_file x;", "\"log_by_lua_file\" directive is duplicate"),
    ] {
        refused(SERVER, &format!("location /x {{ {text} }}"), &format!("1: {expected}"));
    }
    let told = "1: \"proxy_pass\" cannot have URI part in location given by regular expression, or \
                inside named location";
    refused(SERVER, "location ~ /x { proxy_pass http://a/; }", told);
}

#[test]
fn what_is_around_a_location_holds_in_it() {
    let texts = [
        (
            HTTP,
            "header_filter_by_lua_block { h() } more_set_headers 'A: 1'; log_by_lua_block { l() }",
        ),
        (
            SERVER,
            "rewrite_by_lua_block { s() } add_header B 2; more_set_headers 'C: 3'; set $x y;\n\
                  location /in { rewrite_by_lua_block { i() } add_header D 4; return 200; }",
        ),
        (ROUTES, "more_set_headers 'E: 5';"),
    ];
    let text = |key: &str| texts.iter().find(|(known, _)| *known == key).map_or("", |(_, t)| *t);
    let snippets = read(text).unwrap().unwrap();
    let [own, routes] = &snippets.gateway.locations[..] else { panic!("two locations") };
    assert_eq!(inline(&snippets, own.scope.rewrite.unwrap()).trim(), "i()");
    assert_eq!(inline(&snippets, own.scope.header_filter.unwrap()).trim(), "h()");
    assert_eq!(inline(&snippets, routes.scope.rewrite.unwrap()).trim(), "s()");
    assert!(routes.scope.header_filter.is_none() && routes.scope.log.is_none());
    let names = |scope: &Scope| -> Vec<String> {
        let set = scope.set_headers.iter().map(|header| header.name.to_string());
        set.chain(scope.add_headers.iter().map(|header| header.name.to_string())).collect()
    };
    assert_eq!(names(&own.scope), ["A", "C", "D"]);
    assert_eq!(names(&routes.scope), ["A", "C", "E", "B"]);
    assert_eq!(own.scope.rules.len(), 1);
}

#[test]
fn what_belongs_to_the_process() {
    let snippets = read_one("main_configuration_snippet", "env A; env B=c=d; daemon off;").unwrap();
    let env = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    assert_eq!(snippets.env, [env("A", None), env("B", Some("c=d"))]);
    let snippets = read_one(
        HTTP,
        "lua_shared_dict a 10m; lua_package_path \"/x/?.lua;;\"; resolver 10.0.0.1 [::1] valid=5s;",
    );
    assert!(snippets.is_err(), "an address in brackets is none here");
    let snippets = read_one(
        HTTP,
        "lua_shared_dict a 10m; lua_package_path \"/x/?.lua;;\"; resolver 10.0.0.1 ::1 valid=5s;\n\
         init_by_lua_block { a() } init_worker_by_lua_block { b() } init_by_lua_file c.lua;",
    )
    .unwrap();
    assert_eq!(snippets.dicts, [("a".to_owned(), 10 << 20)]);
    assert_eq!(snippets.lua_path, ["/x/?.lua"]);
    assert_eq!(snippets.resolver.unwrap().0, ["10.0.0.1", "::1"]);
    assert_eq!((snippets.init, snippets.init_worker), (vec![0, 2], vec![1]));
    refused(HTTP, "lua_shared_dict a 1k;", "1: invalid lua shared dict size \"1k\": at least 8k");
    refused(HTTP, "lua_shared_dict a x;", "1: invalid lua shared dict size \"x\": at least 8k");
    let told = "1: lua_shared_dict \"a\" is already defined";
    refused(HTTP, "lua_shared_dict a 1m; lua_shared_dict a 1m;", told);
    let told = "2: another \"resolver\" than in nginx_config.http_configuration_snippet:1: there is \
                one for all";
    refused(HTTP, "resolver 1.1.1.1;\nresolver 8.8.8.8;", told);
}

#[test]
fn nothing_is_without_a_bound() {
    let long = "a".repeat(5000);
    refused(SERVER, &format!("set $a {long};"), "1: a word is longer than 4096 bytes");
    let many = format!("server_name {};", "a ".repeat(300));
    refused(SERVER, &many, "1: more than 256 words in one directive");
    let large = " ".repeat(BYTES_MAX + 1) + "set $a b;";
    refused(SERVER, &large, "1: a snippet is longer than 1048576 bytes");
    let deep = "x {".repeat(100_000);
    let told = read_one(SERVER, &deep).unwrap_err();
    assert_eq!(told.len(), 2, "the first is unknown, and has no end: {told:?}");
    let flood = "bogus;".repeat(21_000);
    assert_eq!(read_one(SERVER, &flood).unwrap_err().len(), 50);
    let variables = "$a".repeat(200);
    refused(SERVER, &format!("set $a {variables};"), "1: more than 128 variables in one text");
}

#[test]
fn a_request_finds_its_server_and_location() {
    let texts = [
        (
            HTTP,
            "server { listen 81; location /a { return 200; } }\n\
             server { listen 81; server_name b.test *.c.test .d.test; location /b { return 200; } }\n\
             server { listen 127.0.0.1:81 default_server; location /c { return 200; } }",
        ),
        (SERVER, "location = /x { return 200; } location ~ ^/(?<n>y)(z)?$ { return 200; }"),
    ];
    let mut local = crate::config::Local::defaults(&|_| None).unwrap();
    assert!(Sites::of(&local).unwrap().is_none());
    let text = |key: &str| texts.iter().find(|(known, _)| *known == key).map_or("", |(_, t)| *t);
    local.snippets = read(text).unwrap().map(std::sync::Arc::new);
    let sites = Sites::of(&local).unwrap().unwrap();
    let prefix = |addr: &str, host: &str| {
        let site = sites.find(addr.parse().unwrap(), host.as_bytes()).unwrap();
        let found = ["/a", "/b", "/c"].map(|path| site.find(path.as_bytes()).unwrap().is_some());
        let gateway = std::rc::Rc::ptr_eq(site, sites.gateway().unwrap());
        if gateway { None } else { found.iter().position(|found| *found) }
    };
    assert_eq!(prefix("10.0.0.1:81", "any.test"), Some(0));
    for host in ["b.test", "a.c.test", "a.b.c.test", "d.test", "a.d.test"] {
        assert_eq!(prefix("10.0.0.1:81", host), Some(1), "{host}");
    }
    for host in ["c.test", "xd.test", ".c.test", "b.test.x"] {
        assert_eq!(prefix("10.0.0.1:81", host), Some(0), "{host}");
    }
    assert_eq!(prefix("127.0.0.1:81", "b.test"), Some(2));
    assert_eq!(prefix("10.0.0.1:9080", "b.test"), None);
    let gateway = sites.gateway().unwrap();
    let (spot, captured) = gateway.find(b"/yz").unwrap().unwrap();
    let captured = captured.unwrap();
    assert!(matches!(spot.matches, Match::Regex(_)));
    let bytes = |text: &str| Box::<[u8]>::from(text.as_bytes());
    assert_eq!(captured.numbered, [Some(bytes("y")), Some(bytes("z"))]);
    assert_eq!(captured.named, [(Box::<str>::from("n"), bytes("y"))]);
    let (spot, _) = gateway.find(b"/y/").unwrap().unwrap();
    assert_eq!(spot.content, Content::Routes);
    let (_, captured) = gateway.find(b"/y").unwrap().unwrap();
    assert_eq!(captured.unwrap().numbered, [Some(bytes("y")), None]);
}
