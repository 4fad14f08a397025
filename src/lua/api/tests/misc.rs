//! `host.schema`, `host.expr`, `host.ip`, `host.deflate` and the conversions

use mlua::Value;
use serde_json::{Value as Json, json};

use super::{check, vm};
use crate::lua::api::convert::{from_lua, to_lua};

const SCHEMA: &str = "local s = {type='object', required={'n'}, additionalProperties=false,
    properties={n={type='integer', minimum=1}, k={type='string', minLength=3},
    d={type='string', default='x'}, l={type='array', items={type='string'}, default={'a'}},
    o={type='object', properties={p={type='number', default=2}}}}} ";

#[test]
fn a_schema_checks_and_fills_in_defaults() {
    let with = |conf: &str| {
        format!(
            "{SCHEMA} local c = {conf} local ok, err = host.schema.check(s, c) return ok, err, c"
        )
    };
    check(&[
        (&with("{n=1}"), "true nil {d='x',l={'a'},n=1}"),
        (&with("{n=1, l={}, o={}}"), "true nil {d='x',l={},n=1,o={p=2}}"),
        (&with("{n=1, d='y', o={p=3}}"), "true nil {d='y',l={'a'},n=1,o={p=3}}"),
        (&with("{n=1, k='$secret://v/1/k'}"), "true nil {d='x',k='$secret://v/1/k',l={'a'},n=1}"),
        (&with("{n=1, k='$env://A'}"), "true nil {d='x',k='$env://A',l={'a'},n=1}"),
        (&format!("{SCHEMA} return (host.schema.check(s, {{n=1, attached=print}}))"), "true"),
        (&format!("{SCHEMA} return (host.schema.check(s, {{n='x'}}))"), "false"),
        (&format!("{SCHEMA} return (host.schema.check(s, {{}}))"), "false"),
        (&format!("{SCHEMA} return (host.schema.check(s, {{n=1, z=1}}))"), "false"),
        (&format!("{SCHEMA} return (host.schema.check(s, {{n=1, k='ab'}}))"), "false"),
        (
            &format!(
                "{SCHEMA} return (host.schema.check(s, {{n=1, k='$x'}}, {{skip_secrets=false}}))"
            ),
            "false",
        ),
        (
            &format!(
                "{SCHEMA} return (host.schema.check(s, {{n=1, k='$env://'}}, {{skip_secrets=false}}))"
            ),
            "true",
        ),
        ("host.schema.check(true, {})", "true nil"),
        ("(host.schema.check(false, {}))", "false"),
        ("(host.schema.check({type='nonsense'}, {}))", "false"),
        ("host.schema.check('x', {})", "raised: 'plugin:1: schema must be a table, got string'"),
        ("local c = {} c.c = c return (host.schema.check({type='object'}, c))", "false"),
        ("host.schema.check({type='string'}, 'abc')", "true nil"),
        ("(host.schema.check({type='null'}, json.null))", "true"),
        (
            "(host.schema.check({type='array'}, {})), (host.schema.check({type='object'}, {}))",
            "true true",
        ),
        (
            "local c = {l={{}, {}}} host.schema.check({properties={l={items={properties={a={default=1}}}}}}, c) return c",
            "{l={{a=1},{a=1}}}",
        ),
    ]);
}

#[test]
fn a_schema_is_compiled_once_and_forgotten_with_its_table() {
    let lua = vm();
    lua.load(
        "local s = {type='object', properties={a={type='string'}}}
         assert(host.schema.check(s, {a='x'}))
         s.properties.a.type = 'number'
         assert(host.schema.check(s, {a='x'}))
         local weak = setmetatable({s}, {__mode='v'})
         s = nil collectgarbage() collectgarbage()
         assert(weak[1] == nil)",
    )
    .exec()
    .unwrap();
}

#[test]
fn a_default_array_stays_an_array() {
    check(&[(
        "local c = {} host.schema.check({properties={l={type='array', default=setmetatable({}, json.array_mt)}}}, c)
         return json.encode(c)",
        "'{\"l\":[]}'",
    )]);
}

#[test]
fn expressions_read_lua_tables() {
    let eval =
        |rule: &str, vars: &str| format!("return assert(host.expr.new({rule})):eval({vars})");
    check(&[
        (&eval("{{'a', '==', 'x'}}", "{a='x'}"), "true"),
        (&eval("{{'a', '==', 'x'}}", "{a='y'}"), "false"),
        (&eval("{{'a', '==', 'x'}}", "{}"), "false"),
        (&eval("{{'n', '>', 3}}", "{n=5}"), "true"),
        (&eval("{{'n', '>', 3}}", "{n='5'}"), "true"),
        (&eval("{{'a', '~~', '^x+$'}}", "{a='xx'}"), "true"),
        (&eval("{{'a', 'in', {'p', 'q'}}}", "{a='q'}"), "true"),
        (&eval("{{'a', 'has', 'q'}}", "{a={'p', 'q'}}"), "true"),
        (&eval("{'OR', {'a', '==', '1'}, {'b', '==', '2'}}", "{b='2'}"), "true"),
        (&eval("{{'a', '!', '==', 'x'}}", "{a='y'}"), "true"),
        (&eval("{}", "{}"), "true"),
        (
            &eval(
                "{{'a', '==', 'lazy'}}",
                "setmetatable({}, {__index=function(_, k) return k == 'a' and 'lazy' end})",
            ),
            "true",
        ),
        (
            &eval(
                "{{'a', '==', 'x'}}",
                "setmetatable({}, {__index=function() error('broken', 0) end})",
            ),
            "raised: 'broken'",
        ),
        (
            &eval("{{'a', '==', 'x'}}", "nil"),
            "raised: 'plugin:1: bad argument #1 to 'eval' (table expected)'",
        ),
        ("host.expr.new({{'a', 'xx', 'b'}}) == nil", "true"),
        ("host.expr.new(nil) == nil", "true"),
    ]);
}

#[test]
fn addresses_match_networks() {
    check(&[
        (
            "local m = host.ip.matcher({'10.0.0.0/8', '::1', '192.168.1.1'}) return m:match('10.1.2.3'), m:match('::1'), m:match('192.168.1.2')",
            "true true false",
        ),
        (
            "local m = host.ip.matcher({'10.0.0.0/8'}) return m:match('x')",
            "false 'invalid ip address, not ipv4 and ipv6'",
        ),
        (
            "local m = host.ip.matcher({'10.0.0.0/8'}) return (m:match_bin('\\10\\1\\2\\3')), (m:match_bin('abc'))",
            "true false",
        ),
        ("host.ip.matcher({'10.0.0.0/33'})", "nil 'invalid ip address: 10.0.0.0/33'"),
        ("host.ip.matcher('x')", "raised: 'plugin:1: missing valid ip argument'"),
        (
            "host.ip.parse_ipv4('1.2.3.4'), host.ip.parse_ipv4('255.255.255.255'), host.ip.parse_ipv4('x')",
            "16909060 4294967295 false",
        ),
        (
            "host.ip.parse_ipv4(nil), host.ip.parse_ipv6(nil), host.ip.parse_ipv6('1.2.3.4')",
            "false false false",
        ),
        ("host.ip.parse_ipv6('[2001:db8::1]')", "{536939960,0,0,1}"),
    ]);
}

#[test]
fn compressed_texts_go_both_ways_within_a_bound() {
    check(&[
        ("host.deflate.inflate_gzip(host.deflate.gzip('hello'))", "'hello'"),
        ("host.deflate.inflate_deflate(host.deflate.deflate('hello', 9))", "'hello'"),
        ("host.deflate.inflate_deflate(host.deflate.deflate('hello'):sub(3, -5))", "'hello'"),
        (
            "host.deflate.inflate_gzip(host.deflate.gzip(('a'):rep(1e6)), 1000)",
            "nil 'inflated to more than 1000 bytes'",
        ),
        ("#host.deflate.inflate_gzip(host.deflate.gzip(('a'):rep(1000)), 1000)", "1000"),
        ("host.deflate.inflate_gzip('hello') == nil", "true"),
        ("host.deflate.inflate_gzip(host.deflate.gzip('hello'):sub(1, 12)) == nil", "true"),
        (
            "host.deflate.inflate_gzip(nil)",
            "raised: 'plugin:1: bad argument #1 to 'inflate_gzip' (string expected, got nil)'",
        ),
    ]);
}

#[test]
fn values_survive_the_way_into_lua_and_back() {
    let lua = vm();
    let value = json!({"a": [1, 2.5, "x", null, true, []], "o": {"p": {"q": [[]]}}, "n": -7});
    let there = to_lua(&lua, &value).unwrap();
    assert_eq!(from_lua(&lua, &there).unwrap(), value);
}

#[test]
fn tables_become_arrays_only_if_they_are_sequences() {
    let lua = vm();
    let convert = |code: &str| from_lua(&lua, &lua.load(code).eval::<Value>().unwrap()).unwrap();
    assert_eq!(convert("{1, 2}"), json!([1, 2]));
    assert_eq!(convert("{}"), json!({}));
    assert_eq!(convert("setmetatable({}, host.json.array_mt)"), json!([]));
    assert_eq!(convert("{1, nil, 3}"), json!({"1": 1, "3": 3}));
    assert_eq!(convert("{1, a=2}"), json!({"1": 1, "a": 2}));
    assert_eq!(convert("{f=print, x=1, t=coroutine.create(print)}"), json!({"x": 1}));
    assert_eq!(convert("{print, 1}"), json!([null, 1]));
    assert_eq!(convert("{[1.5]=1, [true]=2}"), json!({"1.5": 1}));
    assert_eq!(convert("1e300"), json!(1e300));
    assert_eq!(convert("0/0"), Json::Null);
    assert_eq!(convert("host.json.null"), Json::Null);
    assert_eq!(convert("'\\255'"), json!("\u{fffd}"));
}

#[test]
fn cycles_and_depth_are_refused() {
    let lua = vm();
    let fails = |code: &str| {
        from_lua(&lua, &lua.load(code).eval::<Value>().unwrap()).unwrap_err().to_string()
    };
    let cycle = "local t = {} t.t = t return t";
    assert!(fails(cycle).contains("nested too deeply"));
    let wide = "local t = {} for i = 1, 10 do t[i] = t end return t";
    assert!(fails(wide).contains("nested too deeply"));
    let mut deep = Json::Null;
    for _ in 0..300 {
        deep = Json::Array(vec![deep]);
    }
    assert!(to_lua(&lua, &deep).is_err());
}
