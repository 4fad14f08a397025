//! Plugin code that changes while it serves.

use std::fs;

use crate::harness::{Gateway, Prefix, ask};

/// A plugin that answers with `word`.
fn plugin(word: &str) -> String {
    format!(
        "return {{ version = 1, priority = 10, schema = {{}},
    access = function() return 200, \"{word}\" end }}\n"
    )
}

fn gateway(plugins: &str) -> Gateway {
    let prefix = Prefix::new(&format!("moongate: {{add_plugins: [{plugins}]}}"));
    prefix.objects("routes: [{id: 1, uri: /*, plugins: {mine: {}}}]");
    prefix.write("plugins/mine.lua", &plugin("first"));
    prefix.start()
}

/// Status and body of `PUT /v1/plugins/reload`.
fn reload(gateway: &Gateway) -> (u16, String) {
    let request = "PUT /v1/plugins/reload HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    let (status, _, body) = ask(gateway.prefix.control, request).unwrap();
    (status, body)
}

#[test]
fn a_saved_plugin_serves_and_a_broken_one_does_not() {
    let gateway = gateway("mine");
    gateway.comes("/", 200, "first");
    gateway.prefix.write("plugins/mine.lua", &plugin("second"));
    gateway.comes("/", 200, "second");
    gateway.prefix.write("plugins/mine.lua", "return {\n  version = = 1 }");
    gateway.logs("plugin reload refused, the old code serves on");
    let (status, reason) = reload(&gateway);
    assert_eq!(status, 400);
    assert!(reason.contains("mine.lua:2: unexpected symbol"), "{reason}");
    assert_eq!(gateway.get("/"), (200, "second".to_owned()));
    gateway.prefix.write("plugins/mine.lua", &plugin("third"));
    gateway.comes("/", 200, "third");
    assert_eq!(reload(&gateway), (200, "done".to_owned()));
}

#[test]
fn a_schema_that_refuses_a_stored_conf_is_refused() {
    let gateway = gateway("mine");
    let strict = plugin("strict").replace("schema = {}", "schema = {required = {\"x\"}}");
    gateway.prefix.write("plugins/mine.lua", &strict);
    let (status, reason) = reload(&gateway);
    assert_eq!(status, 400);
    assert!(reason.contains("routes [1] would be refused"), "{reason}");
    assert_eq!(gateway.get("/"), (200, "first".to_owned()));
}

#[test]
fn a_part_of_a_plugin_changes_alone() {
    let gateway = gateway("mine");
    gateway.prefix.write("plugins/mine/word.lua", "return 'part one'");
    let whole = "local word = require('apisix.plugins.mine.word')\n\
                 return { version = 1, priority = 10, schema = {}, \
                 access = function() return 200, word end }";
    gateway.prefix.write("plugins/mine.lua", whole);
    gateway.comes("/", 200, "part one");
    gateway.prefix.write("plugins/mine/word.lua", "return 'part two'");
    gateway.comes("/", 200, "part two");
}

#[test]
fn a_plugin_that_is_listed_and_gone_refuses_its_route() {
    let gateway = gateway("mine, absent");
    gateway.comes("/", 200, "first");
    gateway.logs("plugin absent does not load");
    gateway.prefix.objects(
        "routes:\n  - {id: 1, uri: /*, plugins: {mine: {}}}\n  - {id: 2, uri: /x, plugins: {absent: {}}}",
    );
    gateway.logs("routes [2] is refused");
    gateway.comes("/y", 200, "first");
}

#[test]
fn code_that_raises_is_rolled_back() {
    let gateway = gateway("mine");
    let raising = "return { version = 1, priority = 10, schema = {},\n\
                   access = function() error('new trouble') end }";
    gateway.prefix.write("plugins/mine.lua", raising);
    gateway.comes("/", 500, "");
    gateway.comes("/", 200, "first");
    gateway.logs("is rolled back to");
    gateway.logs("mine.lua:2: new trouble");
    assert_eq!(fs::read_to_string(gateway.prefix.path.join("plugins/mine.lua")).unwrap(), raising);
}

#[test]
fn the_end_of_old_code_leaves_the_dicts_of_its_successor_alone() {
    let prefix = Prefix::new(
        "moongate: {add_plugins: [mine], reload: {rollback_window: 1s}}
nginx_config: {worker_processes: 2, http: {custom_lua_shared_dict: {mine: 1m}}}",
    );
    prefix.objects("routes: [{id: 1, uri: /*, plugins: {mine: {}}}]");
    let keeps = |version: &str| {
        format!(
            "local dict = ngx.shared.mine
return {{ version = 1, priority = 10, schema = {{}},
    init = function() dict:set('a', '{version}') dict:set('b', 'too') end,
    destroy = function()
        dict:delete('a') dict:flush_all() dict:incr('ends', 1, 0)
    end,
    access = function()
        return 200, table.concat({{ dict:get('a') or '-', dict:get('b') or '-',
                                    dict:get('ends') or 0 }}, ' ')
    end }}\n"
        )
    };
    prefix.write("plugins/mine.lua", &keeps("first"));
    let gateway = prefix.start();
    gateway.comes("/", 200, "first too 0");
    gateway.prefix.write("plugins/mine.lua", &keeps("second"));
    // What `destroy` writes arrives, once for each worker; what it deletes stays.
    gateway.comes("/", 200, "second too 2");
}

#[test]
fn code_that_serves_again_has_its_timers() {
    let prefix =
        Prefix::new("moongate: {add_plugins: [mine]}\nnginx_config: {worker_processes: 1}");
    prefix.objects("routes: [{id: 1, uri: /*, plugins: {mine: {}}}]");
    let polls = |access: &str| {
        format!(
            "local polls = 0
local function poll(premature)
    if not premature then polls = polls + 1 ngx.timer.at(0.05, poll) end
end
return {{ version = 1, priority = 10, schema = {{}},
    init = function() ngx.timer.at(0.05, poll) end,
    access = function(_, ctx)
        if ctx.var.uri == '/reset' then polls = 0 return 200, 'reset' end
        {access}
    end }}\n"
        )
    };
    prefix.write("plugins/mine.lua", &polls("return 200, polls > 2 and 'polls' or 'waits'"));
    let gateway = prefix.start();
    gateway.comes("/", 200, "polls");
    let raises = "if ctx.var.uri == '/bad' then error('new trouble') end return 200, 'new'";
    gateway.prefix.write("plugins/mine.lua", &polls(raises));
    gateway.comes("/", 200, "new");
    gateway.comes("/bad", 500, "");
    gateway.logs("is rolled back to");
    assert_eq!(gateway.get("/reset"), (200, "reset".to_owned()));
    gateway.comes("/", 200, "polls");
}

#[test]
fn the_file_names_the_plugin() {
    let gateway = gateway("mine");
    let other = plugin("renamed").replace("version = 1", "version = 1, name = 'other'");
    gateway.prefix.write("plugins/mine.lua", &other);
    gateway.comes("/", 200, "renamed");
}
