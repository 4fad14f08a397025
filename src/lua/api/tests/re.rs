//! `host.re`

use super::{check, vm};

#[test]
fn match_returns_captures_by_number_and_name() {
    check(&[
        ("re.match('hello, 1234', '([0-9])[0-9]+')", "{'1',0='1234'}"),
        ("re.match('hello', '[0-9]')", "nil"),
        ("re.match('a', '(a)|(b)')", "{'a',false,0='a'}"),
        ("re.match('ab', '(a)(x)?(b)')", "{'a',false,'b',0='ab'}"),
        ("re.match('2024-05', '(?<year>\\\\d+)-(?<mon>\\\\d+)', 'jo').year", "'2024'"),
        ("re.match('a', '(?<n>a)|(?<m>b)').m", "false"),
        ("re.match('ab', '(?<n>a)(?<n>b)(?<n>c)?', 'D').n", "{'a','b'}"),
        ("re.match('ab', '(?<n>x)?(?<m>a)', 'D').n", "nil"),
        ("re.match(12345, '3(.)')", "{'4',0='34'}"),
        ("re.match(true, 'tr')", "{0='tr'}"),
        ("re.match(nil, 'n')", "{0='n'}"),
        ("re.match('a\\0b', 'a\\\\x00b')[0] == 'a\\0b'", "true"),
        ("local t = {x=1}; return re.match('a', 'a', '', nil, t) == t, t", "true {0='a',x=1}"),
        ("select('#', re.match('a', 'a')), select('#', re.match('a', 'b'))", "1 1"),
    ]);
}

#[test]
fn option_letters_mean_what_they_do_in_openresty() {
    check(&[
        ("re.match('ABC', 'abc', 'i')", "{0='ABC'}"),
        ("re.match('x1', '\\\\d', 'a')", "nil"),
        ("re.match('1x', '\\\\d|x', 'a')", "{0='1'}"),
        ("re.match('ab', 'a b # comment', 'ax')", "{0='ab'}"),
        ("re.match('a\\nb', 'a.b')", "nil"),
        ("re.match('a\\nb', 'a.b', 's') ~= nil", "true"),
        ("re.match('a\\nb', '^b', 'm')", "{0='b'}"),
        ("re.match('h\\195\\169', 'h(.)', 'u')[1] == '\\195\\169'", "true"),
        ("#re.match('h\\195\\169', 'h(.)')[1]", "1"),
        ("re.match('\\195\\169', '\\\\w', 'u')", "nil"),
        (
            "select(2, re.match('\\255', '.', 'u')):match('^pcre_exec%(%) failed: %-%d+$') ~= nil",
            "true",
        ),
        ("re.match('u', '\\\\u', 'J')", "{0='u'}"),
        ("re.match('A', '\\\\u0041', 'J')", "{0='A'}"),
        ("re.match('a', '[]', 'J')", "nil"),
        ("re.match('a', '[^]', 'J')", "{0='a'}"),
        ("re.match('a', 'a', 'q')", "raised: 'plugin:1: unknown flag \"q\" (flags \"q\")'"),
        ("re.match('a foobar', 'foo|(foo)bar', 'd')", "{0='foobar'}"),
        ("re.match('AB', 'a|ab', 'di')", "{0='AB'}"),
        ("re.match('aa', '(a)\\\\1', 'd')", "nil 'pcre_exec() failed: -42'"),
        ("re.match('a', 'a', 'jo')", "{0='a'}"),
    ]);
}

#[test]
fn find_returns_positions_and_honours_ctx() {
    check(&[
        ("re.find('hello, 1234', '([0-9])([0-9]+)')", "8 11"),
        ("re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, 2)", "9 11"),
        ("re.find('hello', '(l)(x)?', 'jo', nil, 2)", "nil nil"),
        ("re.find('hello', 'l', 'jo', nil, 3)", "nil nil 'nth out of bound'"),
        ("re.find('hello', 'x')", "nil"),
        ("re.find('', '')", "1 0"),
        ("local c = {pos=2}; local f, t = re.find('aaa', 'a', '', c); return f, t, c.pos", "2 2 3"),
        ("local c = {pos=0}; return re.find('1', '1', '', c)", "1 1"),
        ("local c = {pos=-5}; return re.find('1', '1', '', c)", "1 1"),
        ("local c = {pos=3}; return re.find('1', '', '', c)", "nil nil 'pcre_exec() failed: -33'"),
        ("local c = {}; re.match('1234, hi', '\\\\d+', '', c); return c.pos", "5"),
        ("local c = {pos=2}; return re.match('1234', '(\\\\d)', 'a', c)", "{'2',0='2'}"),
    ]);
}

#[test]
fn gmatch_steps_over_empty_matches() {
    let walk = "local r = {} for m, e in it do r[#r + 1] = e or m[0] end return r";
    let code = |args: &str| format!("local it = re.gmatch({args}) {walk}");
    check(&[
        (&code("'a1b2', '\\\\d'"), "{'1','2'}"),
        (&code("'abc', ''"), "{'','','',''}"),
        (&code("'baac', 'a*'"), "{'','aa','',''}"),
        (&code("'\\195\\169', '', 'u'"), "{'',''}"),
        (&code("'', 'x'"), "{}"),
        (
            "re.gmatch('a', '(')",
            "nil 'pcre2_compile() failed: missing closing parenthesis in \"(\"'",
        ),
        ("local it = re.gmatch('a', 'a'); it(); return it(), it()", "nil nil"),
    ]);
}

#[test]
fn sub_and_gsub_replace_by_template_or_function() {
    check(&[
        ("re.sub('hello, 1234', '([0-9])[0-9]', '[$0][$1]')", "'hello, [12][1]34' 1"),
        ("re.gsub('a1b2', '(\\\\d)', '<${1}0>')", "'a<10>b<20>' 2"),
        ("re.gsub('abc', 'b', '$$')", "'a$c' 1"),
        ("re.gsub('abc', 'b', '$9')", "'ac' 1"),
        ("re.gsub('abc', '', '-')", "'-a-b-c-' 4"),
        ("re.gsub('aaa', 'b*', '-')", "'-a-a-a-' 4"),
        ("re.gsub('abc', 'x', 'y')", "'abc' 0"),
        ("re.gsub('abc', 'b', '$')", "nil nil 'failed to compile the replacement template'"),
        ("re.gsub('abc', 'b', '${1')", "nil nil 'failed to compile the replacement template'"),
        ("re.gsub('abc', 'b', '${1a}')", "nil nil 'failed to compile the replacement template'"),
        ("re.gsub('abc', 'b', '$name')", "nil nil 'failed to compile the replacement template'"),
        (
            "re.gsub('abc', '(', 'y')",
            "nil nil 'pcre2_compile() failed: missing closing parenthesis in \"(\"'",
        ),
        ("re.gsub('abc', 'b', 5)", "'a5c' 1"),
        ("re.gsub('a1b2', '\\\\d', function(m) return m[0] * 2 end)", "'a2b4' 2"),
        ("re.sub('a1b2', '\\\\d', function(m) return '' end)", "'ab2' 1"),
        ("re.gsub('abc', 'b', function() error('x', 0) end)", "raised: 'x'"),
        ("re.gsub('ab', '.', function(m) return (re.gsub(m[0], '.', '[$0]')) end)", "'[a][b]' 2"),
        ("re.gsub('h\\195\\169', '', '|', 'u') == '|h|\\195\\169|'", "true"),
        ("re.gsub('abc', '(?<=b)', '|')", "'ab|c' 1"),
    ]);
}

#[test]
fn split_keeps_first_groups_and_drops_empty_tails() {
    check(&[
        ("re.split('a,b,c,d', ',')", "{'a','b','c','d'}"),
        ("re.split('a,b,,', ',')", "{'a','b'}"),
        ("re.split(',a', ',')", "{'','a'}"),
        ("re.split('a,b', '(,)')", "{'a',',','b'}"),
        ("re.split('abcd', '')", "{'a','b','c','d'}"),
        ("re.split('a,b,c,d', ',', 'jo', {pos=3})", "{'b','c','d'}"),
        ("re.split('a,b,c,d', ',', nil, nil, 2)", "{'a','b,c,d'}"),
        ("re.split('a,b,,', ',', nil, nil, 9)", "{'a','b','',''}"),
        ("re.split('', ',')", "{}"),
        ("re.split('a,b', ',', nil, nil, nil, {9, 9, 9, 9})", "{'a','b',nil,9}"),
        ("re.split('a', ',', nil, nil, nil, 3)", "raised: 'plugin:1: res is not a table'"),
        (
            "re.split('a', '(')",
            "nil 'pcre2_compile() failed: missing closing parenthesis in \"(\"'",
        ),
    ]);
}

#[test]
fn bad_patterns_are_refused_with_the_place() {
    check(&[
        ("re.compile('a+')", "true"),
        (
            "re.compile('a[z-a]b')",
            "nil 'pcre2_compile() failed: range out of order in character class in \"a[z-a]b\" at \"a]b\"'",
        ),
        ("re.compile('(?<=a+)b') == nil", "true"),
        ("re.compile(('('):rep(300) .. (')'):rep(300)) == nil", "true"),
        ("re.compile('a', 'z')", "raised: 'plugin:1: unknown flag \"z\" (flags \"z\")'"),
        (
            "re.compile({})",
            "raised: 'plugin:1: bad argument #2 to 'regex' (string expected, got table)'",
        ),
        ("re.compile('\\255', 'u') == nil", "true"),
        ("re.match('\\255', '\\255')[0] == '\\255'", "true"),
        ("re.match('x\\255', 'x[\\254\\255]')[0] == 'x\\255'", "true"),
        ("re.match('\\255.', '\\\\Q\\255.\\\\E')[0] == '\\255.'", "true"),
        ("re.match('aXb', '(*UTF8)(?i)x')[0]", "'X'"),
    ]);
}

#[test]
fn a_hostile_pattern_ends_with_an_error() {
    check(&[
        ("re.match(('a'):rep(40), '^(a+)+$') ~= nil", "true"),
        ("re.match(('a'):rep(40) .. 'b', '^(a+)+$')", "nil 'pcre_exec() failed: -47'"),
        ("re.gsub(('a'):rep(40) .. 'b', '^(a|a)+$', '')", "nil nil 'pcre_exec() failed: -47'"),
        ("re.find(('a'):rep(40) .. 'b', '^(a+)+$')", "nil nil 'pcre_exec() failed: -47'"),
        ("re.split(('a'):rep(40) .. 'b', '^(a+)+$')", "nil 'pcre_exec() failed: -47'"),
        (
            "local it = re.gmatch(('a'):rep(40) .. 'b', '^(a+)+$') return it()",
            "nil 'pcre_exec() failed: -47'",
        ),
        // Too much for the machine code's stack, but not for the interpreter.
        ("#re.match(('ab'):rep(2000), '^(?:(a)(b))*$')[0]", "4000"),
    ]);
}

#[test]
fn the_cache_of_patterns_is_bounded() {
    let lua = vm();
    let code = "for i = 1, 3000 do assert(re.match('a' .. i, 'a' .. i .. '$')) end";
    lua.load(code).exec().unwrap();
}
