--- `resty.healthcheck`: which nodes of a service may be used, by checks of its own (active) and by
-- what others report of their requests (passive).
--
--     local checker = require("resty.healthcheck").new({
--         name = "service", shm_name = "upstream-healthcheck",
--         checks = { active = { healthy = { interval = 2 }, unhealthy = { interval = 1 } } },
--     })
--     checker:add_target("10.0.0.1", 80)
--     checker:get_target_status("10.0.0.1", 80) --> true
--     checker:report_tcp_failure("10.0.0.1", 80)
--
-- Nodes, states and counts are in the shared dictionary, so all workers see them at once; one
-- worker at a time runs the active checks. A change of a state is an event too: its source is
-- `checker.EVENT_SOURCE`, its name one of `checker.events`.
-- @module resty.healthcheck
local bus = require("moongate.events")
local loop = require("moongate.health_loop")
local probe = require("moongate.health_probe")
local read_settings = require("moongate.health_settings").read
local store = require("moongate.health_store")

local assert = assert
local ipairs = ipairs
local log = ngx.log
local now = ngx.now
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local DEBUG, WARN = ngx.DEBUG, ngx.WARN

local GOOD = { healthy = true, mostly_healthy = true }

local _M = { _VERSION = "3.0.0" }

local Checker = {}
local mt = { __index = Checker }


local function node(ip, port)
    return tostring(assert(ip, "no ip address provided")),
           assert(tonumber(port), "no port number provided")
end


--- Tells everybody of an event.
function Checker:raise_event(event, ip, port, hostname)
    bus.post(self.EVENT_SOURCE, event, { ip = ip, port = port, hostname = hostname })
end


function Checker:log(level, ...)
    log(level, self.LOG_PREFIX, ...)
end


--- Adds a node; one that is there stays as it is.
-- @tparam string ip
-- @tparam number port
-- @tparam[opt] string hostname `ip` if absent
-- @tparam[opt=true] boolean is_healthy
-- @tparam[opt] string hostheader for active checks, instead of the hostname
-- @treturn boolean|nil
-- @treturn nil|string error
function Checker:add_target(ip, port, hostname, is_healthy, hostheader)
    ip, port = node(ip, port)
    hostname = hostname or ip
    return store.change(self, function(list)
        local _, known = store.find(list, ip, port, hostname)
        if known then
            if not known.purge_time then
                return true
            end
            -- It was to go and has come back: its state stays.
            known.purge_time = nil
            return store.store(self, list)
        end
        local state = is_healthy == false and "unhealthy" or "healthy"
        list[#list + 1] = { ip = ip, port = port, hostname = hostname, hostheader = hostheader }
        store.set_state(self, ip, port, hostname, state)
        local ok, err = store.store(self, list)
        if not ok then
            return nil, err
        end
        self:raise_event(state, ip, port, hostname)
        return true
    end)
end


--- Removes a node, if it is there.
-- @treturn boolean|nil
-- @treturn nil|string error
function Checker:remove_target(ip, port, hostname)
    ip, port = node(ip, port)
    hostname = hostname or ip
    return store.change(self, function(list)
        local place, target = store.find(list, ip, port, hostname)
        if not place then
            return true
        end
        table.remove(list, place)
        local ok, err = store.store(self, list)
        if not ok then
            return nil, err
        end
        store.forget(self, target)
        self:raise_event("remove", ip, port, hostname)
        return true
    end)
end


--- Removes all nodes.
-- @treturn boolean|nil
-- @treturn nil|string error
function Checker:clear()
    return store.change(self, function(list)
        local ok, err = store.store(self, {})
        if not ok then
            return nil, err
        end
        for _, target in ipairs(list) do
            store.forget(self, target)
        end
        self:raise_event("clear")
        return true
    end)
end


--- Removes all nodes after a while, but those that are added again in the meantime.
-- @tparam number delay seconds
-- @treturn boolean|nil
-- @treturn nil|string error
function Checker:delayed_clear(delay)
    assert(tonumber(delay), "no delay provided")
    return store.change(self, function(list)
        for _, target in ipairs(list) do
            target.purge_time = now() + delay
        end
        return store.store(self, list)
    end)
end


--- Whether a node may be used.
-- @treturn boolean|nil
-- @treturn nil|string error
function Checker:get_target_status(ip, port, hostname)
    local state = store.state(self, ip, tonumber(port), hostname)
    if not state then
        return nil, "target not found"
    end
    return GOOD[state] or false
end


local function set_state(self, ip, port, hostname, state)
    store.set_state(self, ip, port, hostname, state)
    self:raise_event(state, ip, port, hostname)
end


-- One more of a kind; `limit` of them change the state, the first of them makes it doubtful.
local function count(self, kind, limit, ip, port, hostname)
    if limit == 0 then
        return true
    end
    ip, port = tostring(ip), tonumber(port)
    local towards = kind == "success" and "healthy" or "unhealthy"
    local state = store.state(self, ip, port, hostname)
    if not state then
        self:log(WARN, "trying to increment a target that is not in the list: ",
                 hostname and "(" .. hostname .. ") " or "", ip, ":", port)
        return true
    elseif state == towards then
        return true
    end
    local total, err = store.count(self, kind, ip, port, hostname)
    if not total then
        return nil, err
    end
    self:log(WARN, towards, " ", kind:upper(), " increment (", total, "/", limit, ") for '",
             hostname or "", "(", ip, ":", port, ")'")
    store.reset(self, ip, port, hostname, kind == "success" and "failures" or "success")
    if total >= limit then
        set_state(self, ip, port, hostname, towards)
    elseif state == "healthy" or state == "unhealthy" then
        set_state(self, ip, port, hostname, "mostly_" .. state)
    end
    return true
end


--- Counts a failure, of TCP or HTTP as the type of the checks is.
-- @tparam[opt="passive"] string check
function Checker:report_failure(ip, port, hostname, check)
    local checks = self.checks[check or "passive"]
    local kind = checks.type == "tcp" and "tcp" or "http"
    return count(self, kind, checks.unhealthy[kind .. "_failures"], ip, port, hostname)
end


--- Counts a success.
function Checker:report_success(ip, port, hostname, check)
    return count(self, "success", self.checks[check or "passive"].healthy.successes, ip, port,
                 hostname)
end


--- Counts an answer by its status; one that stands in neither list counts as nothing.
function Checker:report_http_status(ip, port, hostname, status, check)
    status = tonumber(status) or 0
    local checks = self.checks[check or "passive"]
    if checks.healthy.http_statuses[status] then
        return count(self, "success", checks.healthy.successes, ip, port, hostname)
    elseif checks.unhealthy.http_statuses[status] or status == 0 then
        return count(self, "http", checks.unhealthy.http_failures, ip, port, hostname)
    end
end


--- Counts a connection that could not be made or broke.
function Checker:report_tcp_failure(ip, port, hostname, _, check)
    return count(self, "tcp", self.checks[check or "passive"].unhealthy.tcp_failures, ip, port,
                 hostname)
end


--- Counts an answer that did not come in time.
function Checker:report_timeout(ip, port, hostname, check)
    return count(self, "timeout", self.checks[check or "passive"].unhealthy.timeouts, ip, port,
                 hostname)
end


--- Sets the state of a node.
-- @treturn boolean|nil true also if there is no such node
-- @treturn nil|string error
function Checker:set_target_status(ip, port, hostname, is_healthy)
    ip, port = node(ip, port)
    assert(type(is_healthy) == "boolean")
    if not store.state(self, ip, port, hostname) then
        self:log(WARN, "trying to set status for a target that is not in the list: ", ip, ":", port)
        return true
    end
    store.reset(self, ip, port, hostname, "all")
    set_state(self, ip, port, hostname, is_healthy and "healthy" or "unhealthy")
    return true
end


--- Sets the state of all nodes of a name.
function Checker:set_all_target_statuses_for_hostname(hostname, port, is_healthy)
    assert(type(hostname) == "string", "no hostname provided")
    port = assert(tonumber(port), "no port number provided")
    assert(type(is_healthy) == "boolean")
    for _, target in ipairs(store.list(self)) do
        if target.port == port and target.hostname == hostname then
            self:set_target_status(target.ip, port, hostname, is_healthy)
        end
    end
    return true
end


--- Checks one node now.
function Checker:run_single_check(ip, port, hostname, hostheader)
    local kind, result = probe.run(self.checks.active, {
        ip = ip, port = port, hostname = hostname, hostheader = hostheader,
    }, self.certificate)
    self:log(DEBUG, "checked ", hostname or "", " (", ip, ":", port, "): ", kind, " ", result)
    if kind == "success" then
        return self:report_success(ip, port, hostname, "active")
    elseif kind == "status" then
        return self:report_http_status(ip, port, hostname, result, "active")
    elseif kind == "timeout" then
        return self:report_timeout(ip, port, hostname, "active")
    end
    return self:report_tcp_failure(ip, port, hostname, result, "active")
end


--- Begins the active checks, after `stop`.
-- @treturn boolean
function Checker:start()
    for _, health in ipairs({ "healthy", "unhealthy" }) do
        local active = self.checks.active[health]
        active.active = active.interval > 0
        active.last_run = now()
    end
    return true
end


--- Ends the active checks.
-- @treturn boolean
function Checker:stop()
    self.checks.active.healthy.active = false
    self.checks.active.unhealthy.active = false
    return true
end


--- A checker; several of one name are one, each in its worker.
-- @tparam table opts `name`, `shm_name`, `checks`, `type`, `ssl_cert` and `ssl_key`
-- @treturn table
-- @raise if an option is wrong
function _M.new(opts)
    local self = setmetatable(read_settings(opts), mt)
    self.shm = assert(ngx.shared[tostring(self.shm_name)],
                      "no shm found by name '" .. tostring(self.shm_name) .. "'")
    if self.ssl_cert and self.ssl_key then
        self.certificate = {
            cert = type(self.ssl_cert) == "cdata" and self.ssl_cert
                   or assert(require("ngx.ssl").parse_pem_cert(self.ssl_cert)),
            key = type(self.ssl_key) == "cdata" and self.ssl_key
                  or assert(require("ngx.ssl").parse_pem_priv_key(self.ssl_key)),
        }
    end
    self.events = bus.event_list(nil, "remove", "healthy", "unhealthy", "mostly_healthy",
                                 "mostly_unhealthy", "clear")
    store.open(self)
    self:start()
    loop.add(self)
    return self
end


--- The nodes of a checker by its name, with their states and counts.
-- @tparam string name
-- @tparam string shm_name
-- @treturn table|nil list of `{ ip, port, hostname, hostheader, status, counter }`
-- @treturn nil|string error
function _M.get_target_list(name, shm_name)
    local shm = ngx.shared[shm_name]
    if not shm then
        return nil, "no shm found by name '" .. tostring(shm_name) .. "'"
    end
    return store.describe(store.open({ name = name, shm = shm }))
end


return _M
