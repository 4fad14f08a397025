//! `host.json`

use super::{check, vm};

#[test]
fn encode_writes_what_cjson_writes() {
    check(&[
        ("json.encode({})", "'{}'"),
        ("json.encode({1, 2, 3})", "'[1,2,3]'"),
        ("json.encode({1, nil, 3})", "'[1,null,3]'"),
        ("json.encode({[3]=1})", "'[null,null,1]'"),
        ("json.encode({a={}})", "'{\"a\":{}}'"),
        ("json.encode({[1]=1, [1.5]=2}):len()", "15"),
        ("json.encode({[0]=1})", "'{\"0\":1}'"),
        ("json.encode({[-1]=1})", "'{\"-1\":1}'"),
        ("json.encode({[1e10]=1})", "'{\"10000000000\":1}'"),
        ("json.encode({[100]=1})", "nil 'Cannot serialise table: excessively sparse array'"),
        ("json.encode('a/b')", "'\"a\\/b\"'"),
        (
            "json.encode('\"\\\\\\b\\f\\n\\r\\t\\0\\127')",
            "'\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u007f\"'",
        ),
        ("json.encode('\\255') == '\"\\255\"'", "true"),
        ("json.encode(true), json.encode(nil), json.encode(json.null)", "'true' 'null' 'null'"),
        ("json.encode(json.empty_array)", "'[]'"),
        ("json.encode(setmetatable({}, json.empty_array_mt))", "'[]'"),
        ("json.encode(setmetatable({a=1}, json.empty_array_mt))", "'[]'"),
        ("json.encode(setmetatable({}, json.array_mt))", "'[]'"),
        ("json.encode(setmetatable({1, x=2}, json.array_mt))", "'[1]'"),
        (
            "json.encode(setmetatable({}, {__len=function() return 2 end, __index=function(_, k) return k end}))",
            "'[1,2]'",
        ),
        ("json.encode(print)", "nil 'Cannot serialise function: type not supported'"),
        (
            "json.encode({{coroutine.create(print)}})",
            "nil 'Cannot serialise thread: type not supported'",
        ),
        (
            "json.encode(host.crypto.hasher('md5'))",
            "nil 'Cannot serialise userdata: type not supported'",
        ),
        (
            "json.encode({[true]=1})",
            "nil 'Cannot serialise boolean: table key must be a number or string'",
        ),
        (
            "json.encode({a=1, [print]=1})",
            "nil 'Cannot serialise function: table key must be a number or string'",
        ),
        ("select('#', json.encode(1))", "1"),
        (
            "json.encode({b=1, a={d=1, c=2}, [3]=1}, {sort_keys=true})",
            "'{\"3\":1,\"a\":{\"c\":2,\"d\":1},\"b\":1}'",
        ),
        ("json.encode({1, {2}}, {max_depth=1})", "nil 'Cannot serialise, excessive nesting (2)'"),
    ]);
}

#[test]
fn numbers_have_fourteen_digits() {
    check(&[
        ("json.encode(1)", "'1'"),
        ("json.encode(-0.0)", "'-0'"),
        ("json.encode(0.1)", "'0.1'"),
        ("json.encode(0.1 + 0.2)", "'0.3'"),
        ("json.encode(1 / 3)", "'0.33333333333333'"),
        ("json.encode(99999999999999)", "'99999999999999'"),
        ("json.encode(1e14)", "'1e+14'"),
        ("json.encode(123456789012345)", "'1.2345678901234e+14'"),
        ("json.encode(2 ^ 53)", "'9.007199254741e+15'"),
        ("json.encode(1e-5)", "'1e-05'"),
        ("json.encode(0.00012345)", "'0.00012345'"),
        ("json.encode(1e100)", "'1e+100'"),
        ("json.encode(5e-324)", "'4.9406564584125e-324'"),
        ("json.encode(-1.5e300)", "'-1.5e+300'"),
        ("json.encode(0 / 0)", "nil 'Cannot serialise number: must not be NaN or Infinity'"),
        ("json.encode({1 / 0})", "nil 'Cannot serialise number: must not be NaN or Infinity'"),
        ("json.encode(1 / 3, {encode_number_precision=3})", "'0.333'"),
        ("json.encode(123456.789, {encode_number_precision=2})", "'1.2e+05'"),
    ]);
}

#[test]
fn deep_and_cyclic_tables_end_at_the_limit() {
    let nest = |depth: usize| format!("local d = {{}} for i = 2, {depth} do d = {{d}} end return ");
    let named = "local d = {} for i = 2, 1000 do d = {a=d} end return #json.encode(d)";
    check(&[
        (&(nest(1000) + "#json.encode(d)"), "2000"),
        (&(nest(1001) + "json.encode(d)"), "nil 'Cannot serialise, excessive nesting (1001)'"),
        (named, "5996"),
        (
            "local t = {} t.t = t return json.encode(t)",
            "nil 'Cannot serialise, excessive nesting (1001)'",
        ),
        (
            "local t = {} t[1] = t return json.encode(t)",
            "nil 'Cannot serialise, excessive nesting (1001)'",
        ),
        ("#json.encode(json.decode(('['):rep(1000) .. (']'):rep(1000)))", "2000"),
        (
            "json.decode(('['):rep(1001))",
            "nil 'Found too many nested data structures (1001) at character 1001'",
        ),
        (
            "json.decode(('{\"a\":'):rep(1001))",
            "nil 'Found too many nested data structures (1001) at character 5001'",
        ),
        ("json.decode(('['):rep(1e6)) == nil", "true"),
    ]);
}

#[test]
fn nesting_takes_little_native_stack() {
    let run = || {
        let lua = vm();
        lua.load(
            "local d, e = {}, {} for i = 2, 1000 do d, e = {d}, {a = e, [1] = 1} end
             assert(json.encode(d)) assert(json.encode(e))
             assert(json.decode(('['):rep(1000) .. (']'):rep(1000)))",
        )
        .exec()
        .unwrap();
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn decode_reads_what_cjson_reads() {
    check(&[
        ("json.decode('{\"a\":[1,2.5,{\"b\":null}],\"c\":true}')", "{a={1,2.5,{b=null}},c=true}"),
        ("json.decode('null') == json.null", "true"),
        ("json.decode(' [ ] ')", "{}"),
        (
            "json.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\\\\/\\\\n\"') == '\\195\\169\\240\\159\\152\\128/\\n'",
            "true",
        ),
        ("json.decode('\"\\255\"') == '\\255'", "true"),
        ("json.decode('{\"a\":1,\"a\":2}')", "{a=2}"),
        ("json.decode('{\"k\\\\n\":\"v\\\\t\"}')", "{k\n='v\t'}"),
        ("json.decode('0x1F'), json.decode('01'), json.decode('+1')", "31 1 1"),
        ("json.decode('-0x10'), json.decode('0x1.8p3')", "-16 12"),
        ("json.decode('inf'), json.decode('-Infinity')", "inf -inf"),
        ("json.decode('1e3'), json.decode('1.'), json.decode('-0')", "1000 1 0"),
        ("json.decode('9007199254740993')", "9.007199254741e+15"),
        ("json.decode('12345678901234567890')", "1.2345678901235e+19"),
        ("json.decode('1e400')", "inf"),
        ("json.decode('1\\0garbage')", "nil 'JSON parser does not support UTF-16 or UTF-32'"),
        ("json.decode('12\\0garbage')", "12"),
        (
            "json.decode('\\239\\187\\1911')",
            "nil 'Expected value but found invalid token at character 1'",
        ),
        ("json.decode(12)", "12"),
        (
            "json.decode({})",
            "raised: 'plugin:1: bad argument #1 to 'decode' (string expected, got table)'",
        ),
        ("select('#', json.decode('1'))", "1"),
    ]);
}

#[test]
fn decode_says_what_it_expected_and_where() {
    check(&[
        ("json.decode('')", "nil 'Expected value but found T_END at character 1'"),
        ("json.decode('tru')", "nil 'Expected value but found invalid token at character 1'"),
        ("json.decode('[1,]')", "nil 'Expected value but found T_ARR_END at character 4'"),
        (
            "json.decode('[1 2]')",
            "nil 'Expected comma or array end but found T_INTEGER at character 4'",
        ),
        (
            "json.decode('[1.5 2.5]')",
            "nil 'Expected comma or array end but found T_NUMBER at character 6'",
        ),
        ("json.decode('{\"a\"}')", "nil 'Expected colon but found T_OBJ_END at character 5'"),
        (
            "json.decode('{\"a\":1,}')",
            "nil 'Expected object key string but found T_OBJ_END at character 8'",
        ),
        (
            "json.decode('{a:1}')",
            "nil 'Expected object key string but found invalid token at character 2'",
        ),
        (
            "json.decode('{\"a\":1 \"b\":2}')",
            "nil 'Expected comma or object end but found T_STRING at character 8'",
        ),
        ("json.decode('1 2')", "nil 'Expected the end but found T_INTEGER at character 3'"),
        (
            "json.decode('\"a')",
            "nil 'Expected value but found unexpected end of string at character 3'",
        ),
        (
            "json.decode('\"\\\\x\"')",
            "nil 'Expected value but found invalid escape code at character 2'",
        ),
        (
            "json.decode('\"\\\\ud83d\"')",
            "nil 'Expected value but found invalid unicode escape code at character 2'",
        ),
        (
            "json.decode('\"\\\\ude00\"')",
            "nil 'Expected value but found invalid unicode escape code at character 2'",
        ),
        ("json.decode('-')", "nil 'Expected value but found invalid number at character 1'"),
        ("json.decode(':')", "nil 'Expected value but found T_COLON at character 1'"),
        ("json.decode('/*x*/1')", "nil 'Expected value but found invalid token at character 1'"),
    ]);
}

#[test]
fn an_instance_has_settings_of_its_own() {
    let with =
        |set: &str, call: &str| format!("local i = json.instance() i.set({set}) return i.{call}");
    check(&[
        (&with("'encode_escape_forward_slash', false", "encode('/')"), "'\"/\"'"),
        ("json.encode('/')", "'\"\\/\"'"),
        (&with("'encode_empty_table_as_object', false", "encode({{}, a=nil})"), "'[[]]'"),
        (&with("'encode_sparse_array', true", "encode({[100]=1})"), "'{\"100\":1}'"),
        (
            &with("'encode_invalid_numbers', true", "encode({1/0, -1/0, 0/0})"),
            "'[Infinity,-Infinity,NaN]'",
        ),
        (&with("'encode_invalid_numbers', 'null'", "encode({1/0})"), "'[null]'"),
        (&with("'encode_skip_unsupported_value_types', true", "encode({1, print, 2})"), "'[1,2]'"),
        (
            &with("'encode_indent', '  '", "encode({1, {a=2}})"),
            "'[\n  1,\n  {\n    \"a\": 2\n  }\n]'",
        ),
        (&with("'decode_array_with_array_mt', true", "encode(i.decode('[]'))"), "'[]'"),
        (
            &with("'decode_invalid_numbers', false", "decode('0x1F')"),
            "nil 'Expected value but found invalid number at character 1'",
        ),
        (&with("'decode_allow_comment', true", "decode('/*x*/1//y')"), "1"),
        (
            &with("'decode_allow_comment', true", "decode('/*')"),
            "nil 'Expected value but found unclosed multi-line comment at character 3'",
        ),
        (
            &with("'decode_max_depth', 1", "decode('[[1]]')"),
            "nil 'Found too many nested data structures (2) at character 2'",
        ),
        ("json.instance().set('encode_sparse_array')", "false 2 10"),
        ("json.instance().set('encode_max_depth')", "1000"),
        (
            "json.instance().set('encode_number_precision', 0)",
            "raised: 'plugin:1: bad argument #1 to 'encode_number_precision' (expected integer between 1 and 16)'",
        ),
        (
            "json.instance().set('encode_invalid_numbers', 'x')",
            "raised: 'plugin:1: bad argument #1 to 'encode_invalid_numbers' (invalid option)'",
        ),
        (
            "json.instance().set('nonsense')",
            "raised: 'plugin:1: bad argument #1 to 'set' (unknown setting)'",
        ),
        ("json.instance({sort_keys=true}).encode({c=1, b=2, a=3})", "'{\"a\":3,\"b\":2,\"c\":1}'"),
    ]);
}
