--- The global `ngx` table, as plugins written for OpenResty know it.
--
-- Requiring this module sets the global, adds the table functions that OpenResty's
-- LuaJIT has and stock LuaJIT lacks, and returns the table.
-- @module moongate.ngx
local const = require("moongate.api.const")
local host = require("moongate.host")
local location = require("moongate.api.location")
local logging = require("moongate.logging")
local req = require("moongate.api.req")
local resp = require("moongate.api.resp")
local needs_access = require("moongate.api.context").needs_access
local socket = require("moongate.socket")
local text = require("moongate.api.text")

local emit = logging.emit
local error = error
local pairs = pairs
local rawset = rawset
local select = select
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type
local var_get = host.var_get
local var_set = host.ngx_var_set

local NGX_LUA_VERSION = 10028
local NGINX_VERSION = 1027001

local ngx = {
    null = host.json.null,
    arg = resp.arg,
    header = resp.header,
    print = resp.print,
    say = resp.say,
    flush = resp.flush,
    exit = resp.exit,
    redirect = resp.redirect,
    send_headers = resp.send_headers,
    req = req,
    resp = { get_headers = resp.get_headers },
    get_phase = host.phase,
    exec = location.exec,
    run_worker_thread = require("moongate.aside").run,
    location = { capture = location.capture, capture_multi = location.capture_multi },
}

for name, value in pairs(const) do
    ngx[name] = value
end
for name, value in pairs(text) do
    ngx[name] = value
end


local function checked_level(...)
    local level = tonumber((...))
    if not level then
        local got = select("#", ...) == 0 and "no value" or type((...))
        error("bad argument #1 to 'log' (number expected, got " .. got .. ")", 3)
    end
    if level < 0 or level > 8 then
        error("bad argument #1 to 'log' (bad log level: " .. level .. ")", 3)
    end
    return level
end


function ngx.log(...)
    local level = checked_level(...)
    if level > logging.level then
        return
    end
    emit(level, 2, select(2, ...))
end


function ngx.eof()
    needs_access(2)
    return host.eof()
end


--- Runs a function as a light thread when the client goes away. Nobody has to switch that on.
function ngx.on_abort(callback)
    needs_access(2)
    return host.on_abort(callback)
end


function ngx.sleep(...)
    if select("#", ...) ~= 1 then
        error("attempt to pass " .. select("#", ...) .. " arguments, but accepted 1", 2)
    end
    local seconds = tonumber((...))
    if not seconds then
        error("bad argument #1 to 'sleep' (number expected, got " .. type((...)) .. ")", 2)
    end
    if seconds < 0 then
        error("invalid sleep duration \"" .. seconds * 1000 .. "\"", 2)
    end
    host.sleep(seconds)
end


local function bad_name()
    error("bad variable name", 3)
end


-- Captures of a location's regular expression, or of the last `rewrite`: no route has one.
local function capture(name)
    if type(name) ~= "number" then
        bad_name()
    end
    return host.var_capture(name)
end


ngx.var = setmetatable({}, {
    __index = function(_, name)
        if type(name) ~= "string" then
            return capture(name)
        end
        return var_get(name)
    end,
    __newindex = function(_, name, value)
        if type(name) ~= "string" then
            bad_name()
        end
        if value ~= nil then
            value = tostring(value)
        end
        var_set(name, value)
    end,
})

ngx.re = {
    match = host.re.match,
    find = host.re.find,
    gmatch = host.re.gmatch,
    sub = host.re.sub,
    gsub = host.re.gsub,
}

-- A zone's object is fetched once per VM and kept.
ngx.shared = setmetatable({}, {
    __index = function(shared, name)
        local dict = host.dict.get(name)
        if dict ~= nil then
            rawset(shared, name, dict)
        end
        return dict
    end,
})

ngx.thread = require("moongate.api.thread")

ngx.worker = {
    exiting = host.exiting,
    pid = host.pid,
    id = host.worker_id,
    count = host.worker_count,
    pids = function()
        return { host.pid() }
    end,
}

ngx.config = {
    subsystem = "http",
    debug = false,
    ngx_lua_version = NGX_LUA_VERSION,
    nginx_version = NGINX_VERSION,
    prefix = function()
        local prefix = host.prefix()
        return prefix:sub(-1) == "/" and prefix or prefix .. "/"
    end,
    nginx_configure = function()
        return ""
    end,
}


local function timer(name, every, ...)
    local count = select("#", ...)
    if count < 2 then
        error("expecting at least 2 arguments but got " .. count, 3)
    end
    local given, callback = ...
    local delay = tonumber(given)
    if not delay then
        error("bad argument #1 to '" .. name .. "' (number expected, got " .. type(given) .. ")",
              3)
    end
    if delay < 0 then
        error("invalid delay: " .. delay, 3)
    end
    if every and delay == 0 then
        error("delay cannot be zero", 3)
    end
    if type(callback) ~= "function" then
        error("bad argument #2 to '" .. name .. "' (Lua function expected)", 3)
    end
    local ok, err = host.timer_at(delay, callback, every, select(3, ...))
    if not ok then
        return nil, err
    end
    return 1
end


ngx.timer = {
    at = function(...)
        return timer("at", false, ...)
    end,
    every = function(...)
        return timer("every", true, ...)
    end,
    running_count = function()
        local running = host.timer_counts()
        return running
    end,
    pending_count = function()
        local _, pending = host.timer_counts()
        return pending
    end,
}

ngx.socket = {
    tcp = socket.tcp,
    stream = socket.tcp,
    udp = socket.udp,
    connect = function(...)
        local sock, err = socket.tcp()
        if not sock then
            return nil, err
        end
        local ok
        ok, err = sock:connect(...)
        if not ok then
            return nil, err
        end
        return sock
    end,
}

local getters = {
    ctx = host.ngx_ctx,
    status = host.resp_status,
    headers_sent = host.headers_sent,
    is_subrequest = function()
        local _, inside = host.req_place()
        return inside
    end,
}

local setters = {
    status = function(status)
        if type(status) ~= "number" then
            status = tonumber(status) or error("bad status: number expected", 3)
        end
        host.resp_set_status(status)
    end,
    ctx = function(new)
        if type(new) ~= "table" then
            error("ctx should be a table while getting a " .. type(new), 3)
        end
        host.set_ngx_ctx(new)
    end,
}

setmetatable(ngx, {
    __index = function(_, name)
        local get = getters[name]
        if get then
            return get()
        end
    end,
    __newindex = function(t, name, value)
        local set = setters[name]
        if set then
            return set(value)
        end
        rawset(t, name, value)
    end,
})

local function install_table_functions()
    for _, name in ipairs({ "new", "clear", "nkeys", "isempty", "isarray", "clone" }) do
        rawset(table, name, require("table." .. name))
    end
end

install_table_functions()
rawset(_G, "ngx", ngx)
rawset(_G, "ndk", { set_var = {
    set_escape_uri = text.escape_uri,
    set_unescape_uri = text.unescape_uri,
    set_quote_sql_str = text.quote_sql_str,
    set_md5 = text.md5,
} })

return ngx
