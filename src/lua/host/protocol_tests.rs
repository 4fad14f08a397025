//! `core.protocol` and `core.upstream`, with the protocol of [`crate::codec::testing`].

use std::{rc::Rc, sync::Arc};

use crate::{
    config::{
        Snapshot,
        check::{PluginChecker, Recheck, SchemaType, Verdict, apply},
        local::Format,
        source::file,
        yaml::DocumentLimits,
    },
    exchange::Exchange,
    lua::{
        Vm,
        host::socket::tests::Bench,
        raw::current::Phase,
        slot,
        task::{self, Finish},
    },
};

const PRELUDE: &str = r##"
    local core = require("apisix.core")
    local ctx = {}
    local function show(...)
        local t = {}
        for i = 1, select("#", ...) do t[i] = tostring((select(i, ...))) end
        return table.concat(t, "|")
    end
    local function new(...)
        return core.protocol.new("text", ...)
    end
    local function set(opts)
        opts.dialect = opts.dialect or assert(new())
        return show(core.upstream.set_protocol(ctx, "text", opts))
    end
    core.ctx.set_vars_meta(ctx)
    T = T or core.transcode.new({
        protocol = "text",
        properties = { level = { type = "number", default = 1 } },
        options = function(conf) return { level = conf.level, bad = conf.bad } end,
    })
    local function check(conf)
        return show(T:check_schema(conf))
    end
    local function access(conf)
        local ok, err = T:check_schema(conf)
        if not ok then return err end
        local status, body = T:access(conf, ctx)
        return show(status, body and body.message)
    end
"##;

/// Runs `code` as a plugin of a request would; its first result.
async fn run(vm: &Rc<Vm>, x: &mut Exchange, code: &str) -> String {
    let core = &vm.core;
    let chunk = core.lua().load(format!("{PRELUDE}{code}")).into_function().unwrap();
    let co = core.coroutine();
    co.push_ref(&core.keep(chunk).unwrap());
    slot::of(x).vm = Some(Rc::clone(vm));
    match task::run(core, co, 0, Some(x), Phase::Access).await {
        Finish::Returned(co) => {
            let text = co.str(1).map(|text| String::from_utf8_lossy(&text).into_owned());
            core.recycle(co);
            text.unwrap_or_else(|| "(no string)".to_owned())
        }
        Finish::Exited(code) => format!("exit {code}"),
        Finish::Failed(failure) => format!("error: {}", failure.message),
    }
}

/// The text of the call that was left in `x`.
fn left(x: &Exchange) -> String {
    let mut frame = Vec::new();
    match &x.upstream.asked {
        Some(asked) => asked.call.write(7, &mut frame),
        None => return String::new(),
    }
    String::from_utf8_lossy(&frame[8..]).into_owned()
}

/// A request for `path` with a body of this type.
fn request(path: &str, kind: &str, body: &'static str) -> Exchange {
    let mut x = Exchange::default();
    x.path.extend_from_slice(path.as_bytes());
    x.method.extend_from_slice(b"POST");
    x.head.fields.add("Content-Type", kind).unwrap();
    x.head.fields.add("X-Id", "7").unwrap();
    x.body.present = true;
    x.body.held = Some(bytes::Bytes::from_static(body.as_bytes()));
    x
}

/// What `code` returns, and the text of the call it left.
async fn asked(code: &str) -> (String, String) {
    let bench = Bench::new().await;
    let mut x = request("/", "", "");
    let result = run(&bench.vm, &mut x, code).await;
    let text = left(&x);
    Vm::detach(&mut x);
    (result, text)
}

#[track_caller]
fn check(code: &str, result: &str, call: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = tokio::task::LocalSet::new().block_on(&runtime, asked(code));
    assert_eq!((found.0.as_str(), found.1.as_str()), (result, call), "of {code}");
}

#[test]
fn a_call_is_made_of_what_the_plugin_gives() {
    check(
        r#"return set({ service = "A.B", ["function"] = "f", body = '{"a":1}', timeout = 1.5,
                        metadata = { ["x-id"] = "7" }, dialect = new({ level = 3 }) })"#,
        "true",
        r#"A.B f {"a":1} ["x-id=7"] 1.5s {"level":3}"#,
    );
    check("return set({})", "true", "- -  [] 60s {}");
    check(
        r#"return set({ args = { a = { "1", "2" } } }) .. set({ args = { b = true } })"#,
        "truetrue",
        r#"- - [("b", "")] [] 60s {}"#,
    );
    // Nothing of an earlier call stays.
    check(
        r#"set({ metadata = { a = 1, b = 2, c = 3 } }) return set({ metadata = { d = 4 } })"#,
        "true",
        r#"- -  ["d=4"] 60s {}"#,
    );
    check(r#"set({}) return show(core.upstream.set_protocol(ctx, "http"))"#, "true", "");
}

#[test]
fn what_is_wrong_is_told_with_a_status() {
    check(
        r#"return show(core.upstream.set_protocol(ctx, "teletext", {}))"#,
        r#"nil|unknown protocol "teletext": there are http, text|500"#,
        "",
    );
    check(
        r#"return show(core.upstream.set_protocol(ctx, "text", { dialect = {} }))"#,
        "nil|opts.dialect is missing: core.protocol.new makes one, once for a conf|500",
        "",
    );
    check(
        "return set({ timeout = -1 })",
        "nil|opts.timeout: expected seconds up to 86400, got -1|500",
        "",
    );
    check("return set({ body = 'refuse' })", "nil|a.b[1]: int expected|400", "");
    check(
        r#"return set({ ["function"] = "g", dialect = new({}, {{ name = "m", text = "f" }}) })"#,
        "nil|no function g|404",
        "",
    );
    check(r#"return set({ args = { a = "\255" } })"#, "nil|a: not valid UTF-8|400", "");
    check(r#"return set({ service = "\255" })"#, "nil|the service: not valid UTF-8|400", "");
    check(
        "return show(core.upstream.set_protocol(nil, 'http'))",
        "nil|missing argument ctx|500",
        "",
    );
}

#[test]
fn a_dialect_that_cannot_be_says_why() {
    check("return show(new({ bad = 1 }))", "nil|bad: 1 is never right", "");
    check(
        r#"return show(new({}, {{ name = "main", text = "f\na b" }}))"#,
        "nil|main:2:1: a space",
        "",
    );
    check(
        r#"return show(new({}, { "text" }))"#,
        "nil|sources: expected a list of { name, text }",
        "",
    );
    check(
        r#"return show(core.protocol.new("x"))"#,
        r#"nil|unknown protocol "x": there are http, text"#,
        "",
    );
    check(r#"return table.concat(core.protocol.names(), " ")"#, "text", "");
}

#[test]
fn the_upstream_of_the_request_says_how_long_it_may_take() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let bench = Bench::new().await;
        let mut x = Exchange::default();
        let conf = serde_json::json!({
            "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 }, "timeout": { "read": 3 }
        });
        let upstream = crate::config::upstream::Upstream::read(&conf, None).unwrap();
        x.upstream.chosen = Some(Arc::clone(&upstream));
        assert_eq!(run(&bench.vm, &mut x, "return set({})").await, "true");
        let asked = x.upstream.asked.clone().unwrap();
        let mut frame = Vec::new();
        asked.call.write(1, &mut frame);
        assert!(String::from_utf8_lossy(&frame).contains(" 3s "));
        assert_eq!(asked.timeout, None, "whatever node is picked");
        Vm::detach(&mut x);
    });
}

/// Runs `test` as a worker runs.
fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// One access of a transcoder: what it returns, and the call it left.
#[track_caller]
fn transcodes(conf: &str, mut x: Exchange, result: &str, call: &str) {
    worker(async {
        let bench = Bench::new().await;
        let found = run(&bench.vm, &mut x, &format!("return access({conf})")).await;
        assert_eq!((found.as_str(), left(&x).as_str()), (result, call), "of {conf}");
        Vm::detach(&mut x);
    });
}

#[test]
fn a_transcoder_takes_what_the_conf_does_not_name_from_the_path() {
    let json = |path: &str| request(path, "application/json", r#"{"a":1}"#);
    transcodes("{}", json("/json/A.B/f"), "nil|nil", r#"A.B f {"a":1} [] 60s {"level":1}"#);
    transcodes(r#"{ service = "C" }"#, json("/f"), "nil|nil", r#"C f {"a":1} [] 60s {"level":1}"#);
    transcodes(
        r#"{ ["function"] = "g", level = 2 }"#,
        json("/x/D"),
        "nil|nil",
        r#"D g {"a":1} [] 60s {"level":2}"#,
    );
    transcodes(
        r#"{ service = "S", ["function"] = "$http_x_id", timeout = 2,
             request_headers = { "X-Id", "X-Other" } }"#,
        json("/"),
        "nil|nil",
        r#"S 7 {"a":1} ["x-id=7"] 2s {"level":1}"#,
    );
    transcodes(
        r#"{ metadata = { x = "$http_x_id!" } }"#,
        json("/S/f"),
        "nil|nil",
        r#"S f {"a":1} ["x=7!"] 60s {"level":1}"#,
    );
    transcodes("{}", json("/"), "404|the path names no function", "");
}

#[test]
fn a_transcoder_takes_arguments_from_body_form_or_query() {
    transcodes(
        "{}",
        request("/S/f", "application/x-www-form-urlencoded", "a=1%20b"),
        "nil|nil",
        r#"S f [("a", "1 b")] [] 60s {"level":1}"#,
    );
    let mut x = request("/S/f", "", "");
    x.args.extend_from_slice(b"q=%41");
    transcodes("{}", x, "nil|nil", r#"S f [("q", "A")] [] 60s {"level":1}"#);
    transcodes("{}", request("/S/f", "", ""), "nil|nil", r#"S f  [] 60s {"level":1}"#);
    transcodes("{}", request("/S/f", "text/plain", "refuse"), "400|a.b[1]: int expected", "");
    transcodes(
        "{ max_body_size = 3 }",
        request("/S/f", "text/plain", "1234"),
        "413|request size 4 is greater than the maximum size 3 allowed",
        "",
    );
}

#[test]
fn a_transcoder_checks_its_conf() {
    check("return check({ bad = true })", "false|bad: true is never right", "");
    check("return check({ idl = 'f\\na b' })", "false|idl:2:1: a space", "");
    check(
        "return check({ idl = 'f', proto_id = 'p' })",
        "false|idl and proto_id are both there: one of them is enough",
        "",
    );
    check("return check({ proto_id = { 'p', 1 } })", "true", "");
    check(
        "return access({ proto_id = 'p' })",
        "503|the interface description of this route is not usable",
        "",
    );
}

/// Accepts everything: what a worker meets may have been stored by others.
struct Any;

impl PluginChecker for Any {
    fn check(&mut self, _: &str, _: SchemaType, _: &mut serde_json::Value) -> Verdict {
        Verdict::Ok
    }
}

/// Checks what is stored, as the control thread does.
struct Checks;

impl PluginChecker for Checks {
    fn check(&mut self, _: &str, _: SchemaType, _: &mut serde_json::Value) -> Verdict {
        Verdict::Ok
    }

    fn check_interface(&mut self, name: &str, text: &str) -> Result<(), String> {
        crate::codec::registry::check(
            &[crate::codec::testing::TEXT],
            &crate::codec::registry::Source { name, text: text.as_bytes() },
        )
    }
}

/// The objects after these files came, by id.
fn protos(before: &Snapshot, files: &[(&str, &str)], checker: &mut dyn PluginChecker) -> Snapshot {
    let files: Vec<_> =
        files.iter().map(|(id, text)| serde_json::json!({ "id": id, "content": text })).collect();
    let root = serde_json::json!({ "protos": files });
    let limits = DocumentLimits::default();
    let document = file::parse(&root.to_string(), Format::Json, &limits, &|_| None).unwrap();
    apply(before, document, checker, Recheck::Changed).snapshot
}

#[test]
fn a_stored_description_is_read_again_when_it_changes_and_not_when_it_is_no_good() {
    worker(async {
        let bench = Bench::new().await;
        let code = r#"
            if not CONF then
                CONF = { proto_id = "main.any", service = "S" }
                assert(T:check_schema(CONF))
            end
            local status, body = T:access(CONF, ctx)
            return show(status, body and body.message) .. "|" .. check({ proto_id = "main.any" })
        "#;
        let mut snapshot = Snapshot::default();
        let versions: [(&[(&str, &str)], &str); 5] = [
            (&[("main.any", "f")], "nil|nil|true"),
            (&[("main.any", "f"), ("other", "x")], "nil|nil|true"),
            // No good: the one before stays, and no new conf may have it.
            (&[("main.any", "a b")], "nil|nil|false|main.any:1:1: a space"),
            (&[("main.any", "g")], "404|no function f|true"),
            (&[], "404|no function f|true"),
        ];
        for (files, expected) in versions {
            snapshot = protos(&snapshot, files, &mut Any);
            *bench.vm.core.env.snapshot.borrow_mut() = Arc::new(snapshot.clone());
            let mut x = request("/f", "application/json", "{}");
            x.snapshot = Some(Rc::new(Arc::new(snapshot.clone())));
            assert_eq!(run(&bench.vm, &mut x, code).await, expected, "with {files:?}");
            Vm::detach(&mut x);
        }
    });
}

#[test]
fn a_stored_description_whose_language_is_known_is_checked_when_it_is_stored() {
    let files = [("a.text", "f\na b"), ("b.text", "f")];
    let snapshot = protos(&Snapshot::default(), &files, &mut Checks);
    assert_eq!(snapshot.protos.len(), 1);
    let refusals: Vec<_> = snapshot.refusals.iter().map(|refusal| &refusal.reason).collect();
    assert_eq!(refusals, ["a.text:2:1: a space"]);
}
