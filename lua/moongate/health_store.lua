--- What `resty.healthcheck` keeps in the shared dictionary: nodes, their states and counts.
--
-- The first argument of all functions is a checker, or a table with `name`, `shm` and `shm_name`
-- that `open` has given its keys.
-- @module moongate.health_store
local cjson = require("cjson.safe")
local lock = require("resty.lock")

local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local tostring = tostring

local PREFIX = "lua-resty-healthcheck:"

local STATES = { "healthy", "unhealthy", "mostly_healthy", "mostly_unhealthy" }
local NUMBERS = { healthy = 1, unhealthy = 2, mostly_healthy = 3, mostly_unhealthy = 4 }

-- What is counted, and the name of the count in a listing.
local COUNTS = { success = "success", http = "http_failure", tcp = "tcp_failure",
                 timeout = "timeout_failure" }

local _M = {}


local function key_of(prefix, ip, port, hostname)
    return prefix .. ":" .. ip .. ":" .. port .. ":" .. (hostname or ip)
end


--- The nodes.
-- @treturn {table,...} `ip`, `port`, `hostname`, `hostheader`, `purge_time`
function _M.list(self)
    local text = self.shm:get(self.TARGET_LIST)
    return text and cjson.decode(text) or {}
end


--- Calls a function that changes the list of nodes, while no other worker does.
-- @treturn any what the function returns, nil if it could not run
-- @treturn nil|string error
function _M.change(self, func)
    local own, err = lock:new(self.shm_name, { exptime = 10, timeout = 5 })
    if not own then
        return nil, "failed creating lock for '" .. self.TARGET_LIST_LOCK .. "', " .. err
    end
    local waited
    waited, err = own:lock(self.TARGET_LIST_LOCK)
    if not waited then
        return nil, "failed acquiring lock for '" .. self.TARGET_LIST_LOCK .. "', " .. err
    end
    local fine, ok, why = pcall(func, _M.list(self))
    own:unlock()
    if not fine then
        return nil, "locked function threw an exception: " .. tostring(ok)
    end
    return ok, why
end


--- Keeps a changed list of nodes.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.store(self, list)
    local ok, err = self.shm:set(self.TARGET_LIST, cjson.encode(list))
    if not ok then
        return nil, "failed to store target_list in shm: " .. err
    end
    return true
end


--- The place of a node in a list, and the node.
function _M.find(list, ip, port, hostname)
    for i, target in ipairs(list) do
        if target.ip == ip and target.port == port and target.hostname == hostname then
            return i, target
        end
    end
end


--- Forgets the state and the counts of a node.
function _M.forget(self, target)
    self.shm:delete(key_of(self.TARGET_STATE, target.ip, target.port, target.hostname))
    for count in pairs(COUNTS) do
        self.shm:delete(key_of(self.TARGET_COUNTER .. ":" .. count, target.ip, target.port,
                               target.hostname))
    end
end


--- The state of a node, nil if there is none.
function _M.state(self, ip, port, hostname)
    return STATES[self.shm:get(key_of(self.TARGET_STATE, ip, port, hostname)) or 0]
end


--- Sets the state of a node.
function _M.set_state(self, ip, port, hostname, state)
    self.shm:set(key_of(self.TARGET_STATE, ip, port, hostname), NUMBERS[state])
end


--- One more of what is counted.
-- @treturn number|nil how many there are now
-- @treturn nil|string error
function _M.count(self, kind, ip, port, hostname)
    return self.shm:incr(key_of(self.TARGET_COUNTER .. ":" .. kind, ip, port, hostname), 1, 0)
end


--- Sets counts to nothing: "success", "failures" or "all".
function _M.reset(self, ip, port, hostname, which)
    for count in pairs(COUNTS) do
        if which == "all" or (count == "success") == (which == "success") then
            self.shm:delete(key_of(self.TARGET_COUNTER .. ":" .. count, ip, port, hostname))
        end
    end
end


--- Gives a checker the keys under which its things are.
-- @treturn table the same table
function _M.open(self)
    local own = PREFIX .. self.name
    self.TARGET_STATE = own .. ":state"
    self.TARGET_COUNTER = own .. ":counter"
    self.TARGET_LIST = own .. ":target_list"
    self.TARGET_LIST_LOCK = own .. ":target_list_lock"
    self.PERIODIC_LOCK = own .. ":period_lock"
    self.EVENT_SOURCE = "lua-resty-healthcheck [" .. self.name .. "]"
    self.LOG_PREFIX = "[healthcheck] (" .. self.name .. ") "
    return self
end


--- The nodes with their states and counts.
-- @treturn {table,...}
function _M.describe(self)
    local list = _M.list(self)
    for _, target in ipairs(list) do
        local ip, port, hostname = target.ip, target.port, target.hostname
        target.status = _M.state(self, ip, port, hostname)
        target.counter = {}
        for kind, field in pairs(COUNTS) do
            local key = key_of(self.TARGET_COUNTER .. ":" .. kind, ip, port, hostname)
            target.counter[field] = self.shm:get(key) or 0
        end
    end
    return list
end


return _M
