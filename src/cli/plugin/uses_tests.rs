//! Tests of `uses`.

use super::*;

/// Names as `module/field.field@lines`, and modules as `module@lines`, `?` if optional.
fn shown(source: &str) -> (Vec<String>, Vec<String>) {
    let found = uses(source);
    let mark = |needed: &Needed| if needed.optional { "?" } else { "" };
    let names = found.names.iter().map(|(name, needed)| {
        let module = name.module.as_deref().unwrap_or("_G");
        format!("{module}/{}{}@{:?}", name.fields.join("."), mark(needed), needed.lines)
    });
    let modules = found
        .modules
        .iter()
        .map(|(module, required)| format!("{module}{}@{:?}", mark(required), required.lines));
    (names.collect(), modules.collect())
}

#[track_caller]
fn check(source: &str, names: &[&str], modules: &[&str]) {
    let (found, required) = shown(source);
    assert_eq!(found, names, "names of {source}");
    assert_eq!(required, modules, "modules of {source}");
}

#[test]
fn aliases_lead_to_modules_and_globals() {
    check(
        "local core = require(\"apisix.core\")
local ngx_re = ngx.re
local t, log = ngx.time, core.log
local gsub = ngx_re.gsub
log.warn(t(), gsub)
core.response.exit(200)
local send = require 'resty.http'.new
send:x()",
        &[
            "_G/ngx.re@{2}",
            "_G/ngx.re.gsub@{4, 5}",
            "_G/ngx.time@{3, 5}",
            "apisix.core/log@{3}",
            "apisix.core/log.warn@{5}",
            "apisix.core/response.exit@{6}",
            "resty.http/new@{7}",
            "resty.http/new.x@{8}",
        ],
        &["apisix.core@{1}", "resty.http@{7}"],
    );
}

#[test]
fn a_scope_hides_what_is_outside() {
    check(
        "local core = require('apisix.core')
local function f(core) return core.a end
for core in pairs({}) do core.b() end
if x then local core = 1; core.c() elseif core.d then core.e() else core.f() end
repeat local core = {} until core.g
function M:h(a) return self.i, core.j end
return core.k",
        &[
            "apisix.core/d?@{4}",
            "apisix.core/e@{4}",
            "apisix.core/f@{4}",
            "apisix.core/j@{6}",
            "apisix.core/k@{7}",
        ],
        &["apisix.core@{1}"],
    );
}

#[test]
fn require_by_its_own_name_or_another_is_require() {
    check(
        "local require, want, try = require, require, pcall
local a = require('a')
local ok, b = try(want, 'b')
a.x(b.y)
want 'c'",
        &["a/x@{4}", "b/y@{4}"],
        &["a@{2}", "b?@{3}", "c@{5}"],
    );
}

#[test]
fn assignments_end_what_is_known() {
    check(
        "local core, lib = require('apisix.core')
core.a()
core = other
core.b()
local late
late = require('x.y')
late.c()
late = nil
late.d()
local first, second = f(ngx.e), ngx.g
second.h()
first, second = second.i, first
second.j()
if core.k == 1 then lib.l() end",
        &[
            "_G/ngx.e@{10}",
            "_G/ngx.g@{10}",
            "_G/ngx.g.h@{11}",
            "_G/ngx.g.i@{12}",
            "apisix.core/a@{2}",
            "x.y/c@{7}",
        ],
        &["apisix.core@{1}", "x.y@{6}"],
    );
}

#[test]
fn what_is_assigned_to_is_no_use_but_what_leads_there_is() {
    check(
        "function ngx.own(a) return a.b end
function ngx.re:own() return self.c end
ngx.set, ngx.too = 1, ngx.other
ngx.list[ngx.at] = ngx.own
x = { ngx.set, ngx.too, key = ngx.value, ngx = 1 }
repeat local ngx = f() until ngx.hidden or g { ngx.hidden } ngx.seen()
ngx.re.own()",
        &[
            "_G/ngx.at@{4}",
            "_G/ngx.list@{4}",
            "_G/ngx.other@{3}",
            "_G/ngx.seen@{6}",
            "_G/ngx.value@{5}",
        ],
        &[],
    );
}

#[test]
fn what_is_computed_is_not_followed() {
    check(
        "local a = require('x' .. y)
local b = ngx.foo or {}
b.bar()
local c = ngx.baz()
c.x()
pcall(require, 'e.' .. f)
local d = ngx[y].z",
        &["_G/ngx.baz@{4}", "_G/ngx.foo?@{2}"],
        &[],
    );
}

#[test]
fn pcall_makes_a_module_optional() {
    check(
        "local ok, lib = pcall(require, 'a.b')
lib.x()
pcall(require, 'c')
require 'c'",
        &["a.b/x@{2}"],
        &["a.b?@{1}", "c@{3, 4}"],
    );
}

#[test]
fn a_name_that_is_tested_is_optional() {
    check(
        "local f = ngx.f\nif f then f() end\nlocal x = ngx.g and ngx.g()\nngx.h()",
        &["_G/ngx.f?@{1, 2}", "_G/ngx.g?@{3}", "_G/ngx.h@{4}"],
        &[],
    );
}

#[test]
fn what_a_source_sets_itself_is_no_use() {
    check("ngx.mine = 1\nngx.mine()\nt = { ngx = ngx.say, ngx.say }", &["_G/ngx.say@{3}"], &[]);
}

#[test]
fn keys_in_brackets_and_methods_count() {
    check(
        "local d = ngx.shared['zone-a']\nd:get(1)\nngx.shared.b:incr()\nfoo.ngx.bar()",
        &[
            "_G/foo.ngx.bar@{4}",
            "_G/ngx.shared.b.incr@{3}",
            "_G/ngx.shared.zone-a@{1}",
            "_G/ngx.shared.zone-a.get@{2}",
        ],
        &[],
    );
}

#[test]
fn any_start_of_a_source_is_walked_to_its_end() {
    let source = "local a, b = require('x').y, pcall(require, 'z') for i in f() do end end end \
                  function M.f(a, ...) return a[\"b\"]:c() end local function";
    for end in 0..=source.len() {
        uses(&source[..end]);
    }
}

#[test]
fn a_source_deeper_than_lua_takes_ends_the_walk_and_nothing_else() {
    uses(&"local f = function() ".repeat(10_000));
    uses(&"repeat until ".repeat(10_000));
    uses(&"x[".repeat(10_000));
}
