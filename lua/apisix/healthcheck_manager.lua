--- `apisix.healthcheck_manager`: whether nodes may be used, as their health checks found.
--
-- Nodes are watched in Rust, by one thread for all workers: those of routes, services and
-- upstreams from the moment they are configured, those of a plugin's own upstreams (the plugin
-- has `construct_upstream`) from the first `fetch_checker`.
-- @module apisix.healthcheck_manager
local config_util = require("apisix.core.config_util")
local host = require("moongate.host")
local jsonpath = require("jsonpath")
local log = require("apisix.core.log")
local resource = require("apisix.resource")

local match = string.match
local next = next
local pairs = pairs
local pcall = pcall
local rawget = rawget
local require = require
local setmetatable = setmetatable
local timer_at = ngx.timer.at
local tonumber = tonumber
local tostring = tostring

local _M = {}

-- Resource path -> { version, checker } of plugins' upstreams.
local made = {}

-- Seconds between two looks for parts of confs that are gone.
local SWEEP = 1
local sweeping = false


local Checker = {}

-- Counts of a checker change behind its back, so that these two are looked up each time.
local mt = {
    __index = function(self, name)
        if name == "status_ver" then
            return host.health_turns(rawget(self, "held"))
        end
        return Checker[name]
    end,
}


local function checker_of(held, path)
    return setmetatable({ held = held, name = "upstream#" .. path, dead = false }, mt)
end


--- Whether a node gets traffic.
-- @tparam string ip
-- @tparam number port
-- @tparam[opt] string hostname
-- @treturn boolean|nil
-- @treturn nil|string "target not found"
function Checker:get_target_status(ip, port, hostname)
    return host.health_status(self.held, ip, tonumber(port), hostname)
end


--- Sets the state of a node and clears its counts.
function Checker:set_target_status(ip, port, hostname, is_healthy)
    host.health_force(self.held, ip, tonumber(port), hostname, is_healthy)
    return true
end


--- Counts an answer's status; `check` is "passive" or "active".
function Checker:report_http_status(ip, port, hostname, status, check)
    host.health_report(self.held, ip, tonumber(port), hostname, tonumber(status) or 0,
                       check == "active")
    return true
end


--- Counts a connection that failed.
function Checker:report_tcp_failure(ip, port, hostname, _, check)
    host.health_report(self.held, ip, tonumber(port), hostname, "tcp", check == "active")
    return true
end


--- Counts an answer that did not come.
function Checker:report_timeout(ip, port, hostname, check)
    host.health_report(self.held, ip, tonumber(port), hostname, "timeout", check == "active")
    return true
end


--- Counts a success.
function Checker:report_success(ip, port, hostname, check)
    host.health_report(self.held, ip, tonumber(port), hostname, "success", check == "active")
    return true
end


-- The plugin behind "...#plugins['name']...".
local function plugin_of(path)
    local rest = match(path, "#(.+)$")
    return rest and (match(rest, "^plugins%[['\"]([^'\"]+)['\"]%]")
                     or match(rest, "^plugins%.([^%.%[]+)"))
end


-- The part of an object that a path leads to.
local function part_of(path)
    local item = resource.fetch_latest_conf(path)
    if not item then
        return nil
    end
    local _, sub_path = config_util.parse_path(path)
    return jsonpath.value(item.value, "$." .. sub_path)
end


-- The upstream that a plugin makes of a part of its conf.
local function construct(path, name)
    local conf = part_of(path)
    local ok, upstream, err = pcall(require("apisix.plugins." .. name).construct_upstream, conf)
    if not ok then
        return nil, upstream
    end
    return upstream, err
end


local function watch(path, name)
    local upstream, err = construct(path, name)
    if not upstream then
        return nil, err
    end
    if not upstream.checks then
        return nil
    end
    return host.health_watch(path, { nodes = upstream.nodes, checks = upstream.checks,
                                     scheme = upstream.scheme, tls = upstream.tls,
                                     pass_host = upstream.pass_host,
                                     upstream_host = upstream.upstream_host })
end


local function forget(path, known)
    made[path] = nil
    if known.checker then
        known.checker.dead = true
        host.health_end(known.checker.held)
    end
end


-- Ends the probes for what was removed: nobody asks for it any more.
local function sweep(premature)
    sweeping = false
    if premature then
        return
    end
    for path, known in pairs(made) do
        if part_of(path) == nil then
            forget(path, known)
        end
    end
    if next(made) then
        sweeping = timer_at(SWEEP, sweep) and true
    end
end


--- Who watches the nodes of an upstream.
-- @tparam string path key of the object, such as "/apisix/routes/1", or of a part of a plugin's
--   conf within it: "/apisix/routes/1#plugins['name'].instances[0]"
-- @param version changes when the object does
-- @treturn table|nil the checker; nil if nobody watches
function _M.fetch_checker(path, version)
    local name = plugin_of(path)
    if not name then
        local held = host.health_find(path)
        return held and checker_of(held, path)
    end

    local known = made[path]
    if known and known.version == version then
        return known.checker
    end
    local held, err = watch(path, name)
    if err then
        log.error("no health checks for ", path, ": ", tostring(err))
    end
    if known and known.checker then
        known.checker.dead = true
    end
    local checker = held and checker_of(held, path)
    made[path] = { version = version, checker = checker }
    if not sweeping then
        sweeping = timer_at(SWEEP, sweep) and true
    end
    return checker
end


--- Whether a node may be used. One that nobody watches may.
-- @tparam table|nil checker of `fetch_checker`
-- @tparam string ip
-- @tparam number port
-- @tparam[opt] string hostname
-- @treturn boolean
function _M.fetch_node_status(checker, ip, port, hostname)
    if not checker or checker.dead then
        return true
    end
    local ok, err = checker:get_target_status(ip, port, hostname)
    return ok or err ~= nil
end


--- The name of an object's checker.
-- @tparam table value an upstream, or an object that has one
-- @treturn string
function _M.get_healthchecker_name(value)
    return "upstream#" .. (value.resource_key or value.upstream.resource_key)
end


function _M.stop_checker()
end


--- Nothing is to be done: the checks run already.
function _M.init_worker()
end


return _M
