//! Tests of `moongate plugin`, through a real VM.

use std::{
    env, fs, process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

/// A prefix of its own, removed at the end.
struct Prefix(PathBuf);

impl Prefix {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("moongate-plugin-{}-{count}", process::id()));
        fs::create_dir_all(path.join("plugins")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join("plugins").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn options(&self) -> Options {
        Options { prefix: self.0.clone(), config: None, takeover: false, demo: false }
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // Left behind, it only takes room in /tmp.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is found in a plugin `x` with this body, without the path.
fn found(body: &str) -> Vec<String> {
    let prefix = Prefix::new();
    let file = prefix.write("x.lua", body);
    found_in(&prefix, &file)
}

fn found_in(prefix: &Prefix, file: &Path) -> Vec<String> {
    let named = [identify(file).unwrap()];
    let (vm, _) = control::checking_plugins(&prefix.options(), &named).unwrap();
    let directory = format!("{}/plugins/", prefix.0.canonicalize().unwrap().display());
    report::findings(&vm, &named[0].0, file)
        .unwrap()
        .iter()
        .map(|finding| finding.to_string().replace(&directory, ""))
        .collect()
}

const GOOD: &str = "return { version = 1, priority = 77, schema = {}, access = function() end }";

#[test]
fn the_template_works_as_it_is() {
    let prefix = Prefix::new();
    new(&prefix.0, "my-plugin").unwrap();
    let file = prefix.0.join("plugins/my-plugin.lua");
    check(&prefix.options(), std::slice::from_ref(&file)).unwrap();
    assert_eq!(
        found_in(&prefix, &file),
        [
            "my-plugin.lua: plugin my-plugin, version 0.1, priority 11500: access, header_filter",
            "my-plugin.lua: ok"
        ]
    );
    assert!(new(&prefix.0, "my-plugin").unwrap_err().contains("exists"));
    for name in ["", "My", "../x", "1x", "a b", "a.lua"] {
        assert!(new(&prefix.0, name).unwrap_err().contains("no plugin name"), "{name}");
    }
}

#[test]
fn a_good_plugin_is_ok() {
    assert_eq!(found(GOOD), ["x.lua: plugin x, version 1, priority 77: access", "x.lua: ok"]);
}

#[test]
fn everything_missing_is_told_with_its_line() {
    let body = "local core = require('apisix.core')
local lib = require('no.such.module')
local ok, maybe = pcall(require, 'no.such.option')
local function f()
    core.no_such()
    core.log.warn('x', core.request.no_such_either)
    core.pubsub.new()
    ngx.no_such(ngx.var.anything, ngx.ctx.anything, ngx.shared.nothing)
    core.no_such()
end
return { version = 1, priority = 77, schema = {} }";
    assert_eq!(
        found(body),
        [
            "x.lua: error: does not load: x.lua:2: module 'no.such.module' not found",
            "x.lua:2: error: moongate has no module no.such.module",
            "x.lua:3: moongate has no module no.such.option; the plugin may do without",
            "x.lua:8: error: moongate has no ngx.no_such",
            "x.lua:8: error: moongate has no ngx.shared.nothing \
             (nginx_config.http.custom_lua_shared_dict)",
            "x.lua:5: error: moongate has no core.no_such (also in 9)",
            "x.lua:7: error: core.pubsub.new is not supported by moongate: only upstreams of scheme \
             kafka need it, and there are none",
            "x.lua:6: error: moongate has no core.request.no_such_either",
        ]
    );
}

#[test]
fn a_clash_is_told_and_is_no_error() {
    let lines = found("return { version = 1, priority = 2500, schema = {} }");
    assert_eq!(lines[0], "x.lua: plugin x, version 1, priority 2500: no phase");
    assert!(lines[1].starts_with("x.lua: priority 2500 is that of key-auth too"), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "x.lua: ok");
}

#[test]
fn shape_and_schema_are_checked() {
    assert_eq!(
        found("return { version = 1, schema = {} }"),
        ["x.lua: error: does not load: field priority is missing"]
    );
    let lines = found("return { version = 1, priority = 1, schema = {type = 'no-type'} }");
    assert!(lines[1].starts_with("x.lua: error: schema: "), "{lines:?}");
    let lines = found("return {\n  version = = 1 }");
    assert!(lines[0].contains("x.lua:2: unexpected symbol near '='"), "{lines:?}");
    let lines = found("while true do end");
    assert!(lines[0].contains("time budget exceeded"), "{lines:?}");
}

#[test]
fn files_that_a_plugin_brings_along_are_checked_too() {
    let prefix = Prefix::new();
    prefix.write("x/part.lua", "return { f = function()\n return ngx.no_such() end }");
    let file = prefix.write(
        "x.lua",
        "local part = require('apisix.plugins.x.part')\nlocal f = part.anything\n\
         return { version = 1, priority = 77, schema = {} }",
    );
    assert_eq!(found_in(&prefix, &file)[1..], ["x/part.lua:2: error: moongate has no ngx.no_such"]);
    assert_eq!(check(&prefix.options(), &[file]).unwrap_err(), "1 problem");
}

#[test]
fn our_own_plugins_lack_nothing() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .collect();
    files.sort();
    assert!(files.len() >= 30);
    check(&Prefix::new().options(), &files).unwrap();
}

#[test]
fn only_lua_files_are_plugins() {
    let prefix = Prefix::new();
    let text = prefix.write("x.txt", "");
    assert!(identify(&text).unwrap_err().contains("a plugin is a .lua file"));
    assert!(identify(Path::new("/no/such.lua")).is_err());
    let init = prefix.write("y/init.lua", "");
    assert_eq!(identify(&init).unwrap().0, "y");
}

#[test]
fn what_lies_beside_a_checked_plugin_is_found() {
    let prefix = Prefix::new();
    prefix.write("../elsewhere/shared/part.lua", "return { f = function() end }");
    let file = prefix.write(
        "../elsewhere/x.lua",
        "local part = require('apisix.plugins.shared.part')\nlocal f = part.f\n\
         return { version = 1, priority = 77, schema = {}, access = f }",
    );
    let lines = found_in(&prefix, &file);
    assert!(lines.last().unwrap().ends_with("x.lua: ok"), "{lines:?}");
}
