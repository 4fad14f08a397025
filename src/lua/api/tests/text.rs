//! `host.uri`, `host.time` and `host.crypto`

use super::check;

#[test]
fn escape_follows_the_type() {
    check(&[
        ("uri.escape('a b&c=d/?#~!*')", "'a%20b%26c%3Dd%2F%3F%23~!*'"),
        ("uri.escape('a b&c=d/?#%', 0)", "'a%20b&c=d/%3F%23%25'"),
        ("uri.escape('a+b c', 1)", "'a%2Bb%20c'"),
        ("uri.escape('\\195\\169')", "'%C3%A9'"),
        ("uri.escape('\"', 3), uri.escape('#', 4), uri.escape('\\127', 5)", "'%22' '#' '\u{7f}'"),
        ("uri.escape('a:b', 7), uri.escape('a\\tb\\n', 8)", "'a%3Ab' 'a\tb%0A'"),
        (
            "uri.escape(nil), uri.escape(false), uri.escape(12), uri.escape(true)",
            "'' '' '12' 'true'",
        ),
        ("uri.escape('a', 9)", "raised: 'plugin:1: \"type\" 9 out of range'"),
        ("uri.escape('a', -1)", "raised: 'plugin:1: \"type\" -1 out of range'"),
        ("uri.escape('a', 'x')", "raised: 'plugin:1: \"type\" is not a number'"),
    ]);
}

#[test]
fn unescape_leaves_what_is_no_escape() {
    check(&[
        ("uri.unescape('a%20b+c%2')", "'a b c%2'"),
        ("uri.unescape('%%41%zz%')", "'%A%zz%'"),
        ("uri.unescape('%00') == '\\0'", "true"),
        ("uri.unescape('?a%3Fb')", "'?a?b'"),
        ("uri.unescape('%E4%BD%A0') == '\\228\\189\\160'", "true"),
        ("uri.unescape(nil), uri.unescape(5)", "'' '5'"),
    ]);
}

#[test]
fn query_strings_go_both_ways() {
    check(&[
        ("uri.decode_args('a=1&b=2')", "{a='1',b='2'}"),
        ("uri.decode_args('a=1&a&a=3')", "{a={'1',true,'3'}}"),
        ("uri.decode_args('a')", "{a=true}"),
        ("uri.decode_args('a=')", "{a=''}"),
        ("uri.decode_args('=1&&b==c=')", "{b='=c='}"),
        ("uri.decode_args('%61+b=%20+')", "{a b='  '}"),
        ("uri.decode_args('')", "{}"),
        ("uri.decode_args('a=1&b=2', 1)", "{a='1'} 'truncated'"),
        ("uri.decode_args('a=1&', 1)", "{a='1'} 'truncated'"),
        ("uri.decode_args('a=1', 1)", "{a='1'}"),
        ("uri.decode_args('a&b&c', 0)", "{a=true,b=true,c=true}"),
        ("select(2, uri.decode_args(('a=1&'):rep(101)))", "'truncated'"),
        ("#uri.decode_args(('a=1&'):rep(101)).a", "100"),
        ("#uri.decode_args(('a=1&'):rep(50000), 0).a", "50000"),
        (
            "uri.decode_args(nil)",
            "raised: 'plugin:1: bad argument #1 to 'decode_args' (string expected, got nil)'",
        ),
        (
            "uri.decode_args('a', {})",
            "raised: 'plugin:1: bad argument #2 to 'decode_args' (number expected, got table)'",
        ),
        ("uri.encode_args({a=1})", "'a=1'"),
        ("uri.encode_args({a=true}), uri.encode_args({a=false}), uri.encode_args({})", "'a' '' ''"),
        ("uri.encode_args({a={1, 'x y', true, false}})", "'a=1&a=x%20y&a'"),
        ("uri.encode_args({['a b']='&='})", "'a%20b=%26%3D'"),
        ("uri.encode_args({a=1e15})", "'a=1e%2B15'"),
        (
            "uri.encode_args({'x'})",
            "raised: 'plugin:1: attempt to use a non-string key in the \"args\" option table'",
        ),
        (
            "uri.encode_args({a=print})",
            "raised: 'plugin:1: attempt to use function as query arg value'",
        ),
        (
            "uri.encode_args({a={{}}})",
            "raised: 'plugin:1: attempt to use table as query arg value'",
        ),
        (
            "uri.encode_args('x')",
            "raised: 'plugin:1: bad argument #1 to 'encode_args' (table expected, got string)'",
        ),
    ]);
}

#[test]
fn http_dates_go_both_ways() {
    check(&[
        ("time.http_time(0)", "'Thu, 01 Jan 1970 00:00:00 GMT'"),
        ("time.http_time(951782400)", "'Tue, 29 Feb 2000 00:00:00 GMT'"),
        ("time.http_time(1709164799.9)", "'Wed, 28 Feb 2024 23:59:59 GMT'"),
        ("time.http_time(-1)", "'Thu, 01 Jan 1970 00:00:00 GMT'"),
        ("time.http_time(253402300799)", "'Fri, 31 Dec 9999 23:59:59 GMT'"),
        ("time.cookie_time(1547178471)", "'Fri, 11-Jan-19 03:47:51 GMT'"),
        ("time.cookie_time(2145916800)", "'Fri, 01-Jan-2038 00:00:00 GMT'"),
        ("time.http_time('1')", "raised: 'plugin:1: number argument only'"),
        ("time.parse_http_time('Thu, 18 Nov 2010 11:27:35 GMT')", "1290079655"),
        ("time.parse_http_time('Sunday, 06-Nov-94 08:49:37 GMT')", "784111777"),
        ("time.parse_http_time('Sun Nov  6 08:49:37 1994')", "784111777"),
        ("time.parse_http_time('Thu, 18-Nov-69 11:27:35 GMT')", "3151999655"),
        ("time.parse_http_time('Thu, 29 Feb 2012 11:27:35 GMT')", "1330514855"),
        ("time.parse_http_time('Thu, 29 Feb 1900 11:27:35 GMT')", "nil"),
        ("time.parse_http_time('Thu, 31 Apr 2010 11:27:35 GMT')", "nil"),
        ("time.parse_http_time('Thu, 18 Nov 2010 24:00:00 GMT')", "nil"),
        ("time.parse_http_time('Thu, 18 Nov 2010')", "nil"),
        ("time.parse_http_time('')", "nil"),
        ("time.parse_http_time(('x'):rep(1e5))", "nil"),
        ("time.parse_http_time(5)", "raised: 'plugin:1: string argument only'"),
        (
            "for s = 0, 4e9, 12345677 do assert(time.parse_http_time(time.http_time(s)) == s) end return 1",
            "1",
        ),
    ]);
}

#[test]
fn clocks_agree_with_each_other() {
    check(&[
        ("time.now() - time.time() < 2 and time.now() >= os.time()", "true"),
        ("(time.now() * 1000) % 1 < 1e-3 or (time.now() * 1000) % 1 > 0.999", "true"),
        ("time.time() % 1, time.update()", "0"),
        ("time.localtime():match('^%d+%-%d%d%-%d%d %d%d:%d%d:%d%d$') ~= nil", "true"),
        ("time.today() == time.localtime():sub(1, 10)", "true"),
        ("time.utctime():sub(1, 15) == os.date('!%Y-%m-%d %H:%M'):sub(1, 15)", "true"),
    ]);
}

#[test]
fn digests_are_right() {
    let hex = |code: &str| {
        format!("(({code}):gsub('.', function(c) return ('%02x'):format(c:byte()) end))")
    };
    check(&[
        ("crypto.md5('hello')", "'5d41402abc4b2a76b9719d911017c592'"),
        ("crypto.md5(nil) == crypto.md5('')", "true"),
        (&hex("crypto.md5_bin('hello')"), "'5d41402abc4b2a76b9719d911017c592'"),
        (&hex("crypto.sha1_bin('hello')"), "'aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d'"),
        (&hex("crypto.hmac_sha1('key', 'text')"), "'369e2959eb49450338b212748f77d8ded74847bb'"),
        (
            &hex("crypto.digest('sha256', 'abc')"),
            "'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
        ),
        (
            "#crypto.digest('sha224', ''), #crypto.digest('sha384', ''), #crypto.digest('sha512', '')",
            "28 48 64",
        ),
        ("crypto.digest('sha3', '')", "nil 'unknown digest \"sha3\"'"),
        (
            &hex("crypto.hmac('sha256', 'key', 'The quick brown fox jumps over the lazy dog')"),
            "'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8'",
        ),
        ("crypto.hmac('x', '', '')", "nil 'unknown digest \"x\"'"),
        ("#crypto.hmac('sha512', ('k'):rep(1000), '')", "64"),
        (
            "local h = crypto.hasher('sha256') h:update('a') h:update('bc') return h:final() == crypto.digest('sha256', 'abc'), h:final() == h:final()",
            "true true",
        ),
        (
            "local h = crypto.hasher('md5') h:update('x') h:reset() h:update('hello') return h:final() == crypto.md5_bin('hello')",
            "true",
        ),
        ("crypto.hasher('x')", "nil 'unknown digest \"x\"'"),
        ("crypto.crc32('hello')", "907060870"),
    ]);
}

#[test]
fn base64_is_lenient_as_in_nginx() {
    check(&[
        ("crypto.base64_encode('a'), crypto.base64_encode('a', true)", "'YQ==' 'YQ'"),
        (
            "crypto.base64_encode('a', 1)",
            "raised: 'plugin:1: bad no_padding: boolean expected, got number'",
        ),
        (
            "crypto.base64_decode('YQ=='), crypto.base64_decode('YQ'), crypto.base64_decode('YQ=')",
            "'a' 'a' 'a'",
        ),
        ("crypto.base64_decode('YR=='), crypto.base64_decode('YQ==YQ==')", "'a' 'a'"),
        (
            "crypto.base64_decode('Y'), crypto.base64_decode('Y Q'), crypto.base64_decode('-_')",
            "nil nil nil",
        ),
        ("crypto.base64_decode('') == '', crypto.base64_decode('====') == ''", "true true"),
        ("crypto.base64_decode(nil)", "raised: 'plugin:1: string argument only'"),
        ("crypto.base64url_encode('\\251\\255')", "'-_8'"),
        (
            "crypto.base64url_decode('-_8') == '\\251\\255', crypto.base64url_decode('+/8')",
            "true nil",
        ),
    ]);
}

#[test]
fn random_things_have_their_form() {
    check(&[
        ("#crypto.random_bytes(16), #crypto.random_bytes(0)", "16 0"),
        ("crypto.random_bytes(16) ~= crypto.random_bytes(16)", "true"),
        (
            "crypto.random_bytes(1e9)",
            "raised: 'plugin:1: bad argument #1 to 'random_bytes' (number between 0 and 1048576 expected)'",
        ),
        (
            "crypto.random_bytes(-1) == 1",
            "raised: 'plugin:1: bad argument #1 to 'random_bytes' (number between 0 and 1048576 expected)'",
        ),
        (
            "crypto.uuid_v4():match('^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$') ~= nil, #crypto.uuid_v4()",
            "true 36",
        ),
        (
            "crypto.uuid_v7():match('^%x+%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x+$') ~= nil, #crypto.uuid_v7()",
            "true 36",
        ),
        (
            "math.abs(tonumber((crypto.uuid_v7():gsub('%-', ''):sub(1, 12)), 16) / 1000 - time.now()) < 5",
            "true",
        ),
    ]);
}
