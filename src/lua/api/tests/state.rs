//! `host.dict` and `host.metrics`

use super::check;

const DICT: &str = "local d = host.dict.get('test') d:flush_all() ";

#[test]
fn a_dict_returns_what_openresty_returns() {
    let with = |code: &str| format!("{DICT} {code}");
    check(&[
        ("host.dict.get('test') == host.dict.get('test'), host.dict.get('nowhere')", "true nil"),
        (&with("return d:set('a', 'x')"), "true nil false"),
        (&with("d:set('a', 'x') return d:get('a')"), "'x'"),
        (&with("d:set('a', 'x', 0, 7) return d:get('a')"), "'x' 7"),
        (&with("d:set('a', 1.5) return d:get('a')"), "1.5"),
        (&with("d:set('a', false) return d:get('a')"), "false"),
        (&with("d:set('a', 'x\\0y') return #d:get('a')"), "3"),
        (&with("return select('#', d:get('none')), d:get('none')"), "1 nil"),
        (&with("d:set(5, 'x') return d:get('5')"), "'x'"),
        (&with("d:set(true, 'x') return d:get('true')"), "'x'"),
        (&with("return d:get(nil)"), "nil 'nil key'"),
        (&with("return d:set(nil, 1)"), "nil 'nil key'"),
        (&with("return d:get('')"), "nil 'empty key'"),
        (&with("return d:get(('k'):rep(65536))"), "nil 'key too long'"),
        (&with("return d:set('a', {})"), "nil 'bad value type'"),
        (&with("return d:set('a', 1, -1)"), "raised: 'plugin:1: bad \"exptime\" argument'"),
        (&with("return d:add('a', 1), d:add('a', 2)"), "true false 'exists' false"),
        (&with("return d:replace('a', 1)"), "false 'not found' false"),
        (&with("d:set('a', 1) return d:safe_add('a', 1)"), "false 'exists' false"),
        (&with("d:set('a', 1) return d:delete('a'), d:get('a')"), "true nil"),
        (&with("d:set('a', 1) d:set('a', nil) return d:get('a')"), "nil"),
        (&with("return d:safe_set('a', ('x'):rep(1e6))"), "false 'no memory' false"),
    ]);
}

#[test]
fn counters_and_lifetimes_work() {
    let with = |code: &str| format!("{DICT} {code}");
    check(&[
        (&with("return d:incr('a', 1)"), "nil 'not found'"),
        (&with("return d:incr('a', 1, 10)"), "11 nil false"),
        (&with("d:incr('a', 1, 10) return d:incr('a', 2)"), "13"),
        (&with("d:set('a', 'x') return d:incr('a', 1)"), "nil 'not a number'"),
        (&with("return d:incr('a', '2', '3')"), "5 nil false"),
        (
            &with("return d:incr('a', {})"),
            "raised: 'plugin:1: bad value arg: number expected, got table'",
        ),
        (
            &with("return d:incr('a', 1, {})"),
            "raised: 'plugin:1: bad init arg: number expected, got table'",
        ),
        (&with("return d:incr('a', 1, 0, -1)"), "raised: 'plugin:1: bad \"init_ttl\" argument'"),
        (
            &with("return d:incr('a', 1, nil, 1)"),
            "raised: 'plugin:1: must provide \"init\" when providing \"init_ttl\"'",
        ),
        (&with("d:incr('a', 1, 0, 100) local t = d:ttl('a') return t > 99 and t <= 100"), "true"),
        (&with("d:set('a', 1) return d:ttl('a'), d:ttl('b')"), "0 nil 'not found'"),
        (
            &with("d:set('a', 1) return d:expire('a', 50), d:ttl('a') > 49, d:expire('b', 1)"),
            "true true nil 'not found'",
        ),
        (&with("return d:expire('a')"), "raised: 'plugin:1: bad \"exptime\" argument'"),
        (
            &with(
                "d:set('a', 1, 0.001) local e = time.now() + 0.02 while time.now() < e do end return d:get('a')",
            ),
            "nil",
        ),
        (
            &with(
                "d:set('a', 1, 0.001) local e = time.now() + 0.02 while time.now() < e do end return d:get_stale('a')",
            ),
            "1 nil true",
        ),
        (&with("d:set('a', 1, 0, 3) return d:get_stale('a')"), "1 3 false"),
    ]);
}

#[test]
fn a_count_tells_the_lifetime_too() {
    let with = |code: &str| format!("{DICT} {code}");
    check(&[
        (&with("return host.dict.count(d, 'a', 2, 1, 60)"), "3 60"),
        (
            &with(
                "host.dict.count(d, 'a', 1, 0, 60) local v, t = host.dict.count(d, 'a', 1, 0, 9)
                 return v, t > 59 and t <= 60",
            ),
            "2 true",
        ),
        (&with("d:set('a', 1) return host.dict.count(d, 'a', 1)"), "2 0"),
        (&with("return host.dict.count(d, 'a', 1)"), "nil 'not found'"),
        (&with("return host.dict.count(d, '', 1)"), "nil 'empty key'"),
    ]);
}

#[test]
fn a_method_takes_only_its_own_objects() {
    let raised = "raised: 'plugin:1: bad \"zone\" argument'";
    let get = |what: &str| format!("{DICT} return d.get({what}, 'a')");
    check(&[
        (&get("{1}"), raised),
        (&get("nil"), raised),
        (&get("newproxy(true)"), raised),
        (&get("io.stdout"), raised),
        (&get("host.metrics.counter('own', '')"), raised),
        (&format!("{DICT} return getmetatable(d)"), "false"),
    ]);
}

#[test]
fn lists_and_upkeep_work() {
    let with = |code: &str| format!("{DICT} {code}");
    check(&[
        (
            &with(
                "return d:lpush('l', 'a'), d:rpush('l', 2), d:llen('l'), d:lpop('l'), d:rpop('l'), d:lpop('l')",
            ),
            "1 2 2 'a' 2 nil",
        ),
        (&with("d:set('a', 1) return d:lpush('a', 1)"), "nil 'value not a list'"),
        (&with("d:lpush('l', 1) return d:get('l')"), "nil 'value is a list'"),
        (&with("return d:lpush('l', {})"), "nil 'bad value type'"),
        (&with("return d:llen(nil)"), "nil 'nil key'"),
        (
            &with(
                "d:set('a', 1) d:set('b', 1) local k = d:get_keys() table.sort(k) return k, #d:get_keys(1)",
            ),
            "{'a','b'} 1",
        ),
        (
            &with("d:set('a', 1) d:flush_all() return d:get('a'), d:flush_expired() >= 1"),
            "nil true",
        ),
        (
            "host.dict.get('test'):capacity(), host.dict.get('test'):free_space() <= 65536",
            "65536 true",
        ),
        (
            "host.dict.get({})",
            "raised: 'plugin:1: bad argument #1 to 'get' (string expected, got table)'",
        ),
    ]);
}

#[test]
fn metrics_are_counted_and_rendered() {
    check(&[
        (
            "local c = host.metrics.counter('hits', 'Hits', {'code'})
             c:inc(1, {200}) c:inc(2, {'200'}) c:inc(nil, {'404'})
             return host.metrics.render():match('apisix_hits{code=\"200\"} (%d+)'),
                 host.metrics.render():match('apisix_hits{code=\"404\"} (%d+)')",
            "'3' '1'",
        ),
        (
            "local g = host.metrics.gauge('g', 'G') g:set(5) g:dec(2) return host.metrics.render():match('\\napisix_g (%S+)')",
            "'3'",
        ),
        (
            "local h = host.metrics.histogram('h', 'H', {}, {1, 2}) h:observe(1.5) return host.metrics.render():match('apisix_h_bucket{le=\"2\"} (%d+)')",
            "'1'",
        ),
        (
            "local c = host.metrics.counter('x', 'X', {'a'}) return c:inc(1, {}) == nil, c:inc(-1, {'v'}) == nil",
            "true true",
        ),
        (
            "local c = host.metrics.counter('y', 'Y', {'a'}) c:inc(1, {'v'}) c:del({'v'}) return host.metrics.render():find('apisix_y{') == nil",
            "true",
        ),
        (
            "local c = host.metrics.counter('z', 'Z') c:inc(1) c:reset() return host.metrics.render():find('\\napisix_z ') == nil",
            "true",
        ),
        (
            "local c = host.metrics.counter('b', 'B', {'code'})
             local h = host.metrics.histogram('bh', 'BH', {}, {1, 2})
             local b = host.metrics.bundle(c, {200}, h, {}, c, {'404'})
             b:add(1, 1.5, nil) b:add(2, nil, 5) c:del({'200'}) b:add(4)
             local text = host.metrics.render()
             return text:match('apisix_b{code=\"200\"} (%d+)'),
                 text:match('apisix_b{code=\"404\"} (%d+)'), text:match('apisix_bh_count (%d+)')",
            "'4' '5' '1'",
        ),
        (
            "host.metrics.bundle({}, {})",
            "raised: 'plugin:1: bad argument #1 to 'bundle' (object expected, got table)'",
        ),
        ("host.metrics.counter('bad name', '') == nil", "true"),
        (
            "host.metrics.counter('w', ''):inc({})",
            "raised: 'plugin:1: metric value is not a number'",
        ),
    ]);
}
