//! Tests of the pure host functions, called from Lua as plugins call them.
//!
//! Expected results of `re`, `uri`, `time`, `json` and `crypto` are what nginx with the Lua
//! module (0.10.23, PCRE2 semantics where they differ) and OpenResty's cjson gave.

mod json;
mod keys;
mod misc;
mod re;
mod state;
mod text;

use std::sync::Arc;

use mlua::Lua;

use super::{ApiDeps, register};
use crate::{
    health,
    shared::{dicts::Dicts, metrics::Registry},
};

/// Prints results as Lua would write them, tables with sorted keys.
const SHOW: &str = r##"
    local function show(value)
        if type(value) == "string" then
            return "'" .. value .. "'"
        elseif type(value) == "table" then
            local parts, len = {}, #value
            for index = 1, len do parts[index] = show(value[index]) end
            local named = {}
            for key, item in pairs(value) do
                if type(key) ~= "number" or key < 1 or key > len then
                    named[#named + 1] = tostring(key) .. "=" .. show(item)
                end
            end
            table.sort(named)
            for _, part in ipairs(named) do parts[#parts + 1] = part end
            return "{" .. table.concat(parts, ",") .. "}"
        elseif value == host.json.null then
            return "null"
        end
        return tostring(value)
    end
    local function all(ok, ...)
        local parts = {}
        for index = 1, select("#", ...) do parts[index] = show((select(index, ...))) end
        if ok then return table.concat(parts, " ") end
        local why = tostring((...)):gsub("\nstack traceback.*", ""):gsub("^runtime error: ", "")
        return "raised: " .. show(why)
    end
    function pass(...) return ... end
    -- Calls are not made as tail calls, which would hide the line of the caller.
    function results(code)
        local before, last = code:match("^(.*)return (.*)$")
        local chunk = loadstring("return pass(" .. code .. ")", "=plugin")
            or loadstring((before or "") .. "return pass(" .. (last or "") .. ")", "=plugin")
            or assert(loadstring(code, "=plugin"))
        return (all(pcall(chunk)))
    end
    re, json, crypto, uri, time = host.re, host.json, host.crypto, host.uri, host.time
"##;

/// A VM with the host functions in the global `host`.
fn vm() -> Lua {
    let lua = Lua::new();
    let host = lua.create_table().unwrap();
    let deps = ApiDeps {
        dicts: Arc::new(Dicts::new([("test", 64 << 10)])),
        metrics: Arc::new(Registry::new("apisix_", 1)),
        health: Arc::new(health::Registry::off()),
        worker: 0,
    };
    register(&lua, &host, &deps).unwrap();
    lua.globals().set("host", host).unwrap();
    lua.load(SHOW).exec().unwrap();
    lua
}

/// Runs each chunk and compares what it returns.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    let lua = vm();
    let results: mlua::Function = lua.globals().get("results").unwrap();
    let mut wrong = String::new();
    for (code, expected) in cases {
        let got = results.call::<mlua::LuaString>(*code).unwrap().to_string_lossy();
        if got != *expected {
            wrong.push_str(&format!("\n{code}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
