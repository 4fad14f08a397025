--- `resty.worker.events`: messages between workers, and handlers for them.
--
-- It need not be configured: the dictionary "worker-events" is there, and workers look into it.
-- @module resty.worker.events
local events = require("moongate.events")

local assert = assert
local pairs = pairs
local type = type

local _M = { _VERSION = "1.0.0" }

-- Options that must be numbers, and whether they may be 0.
local NUMBERS = { timeout = false, interval = false, wait_interval = true, wait_max = true,
                  shm_retries = true }

local started = false


--- Says which dictionary messages go through.
-- @tparam table opts `shm`, the dictionary's name; seconds: `interval` between two looks, `timeout`
--   for messages that only one worker handles
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.configure(opts)
    assert(type(opts) == "table", "Expected a table, got " .. type(opts))
    if opts.shm and started then
        return nil, "Already started, cannot change shm"
    elseif not opts.shm and not started then
        return nil, '"shm" option required to start'
    elseif opts.shm and not ngx.shared[opts.shm] then
        return nil, 'shm "' .. opts.shm .. '" not found'
    end
    for name, zero in pairs(NUMBERS) do
        local value = opts[name]
        if value ~= nil and type(value) ~= "number" then
            return nil, 'optional "' .. name .. '" option must be a number'
        elseif value and (value < 0 or value == 0 and not zero) then
            return nil, '"' .. name .. '" must be ' .. (zero and "greater than or equal to 0"
                                                       or "greater than 0")
        end
    end
    started = true
    events.configure({ dict_name = opts.shm, interval = opts.interval, unique = opts.timeout })
    return true
end


--- Whether messages can be sent.
-- @treturn boolean
function _M.configured()
    return true
end


_M.post = events.post
_M.post_local = events.post_local
_M.poll = events.poll

--- Calls `callback(data, event, source, pid)` for messages.
-- @tparam function callback
-- @tparam[opt] string source of all sources if nil
-- @param[opt] ... names of events, of all events if there are none
function _M.register(callback, source, ...)
    events.register(callback, source, ...)
end


--- As `register`, for as long as somebody else holds the callback.
function _M.register_weak(callback, source, ...)
    events.register_weak(callback, source, ...)
end


_M.unregister = events.unregister
_M.event_list = events.event_list

--- What this library says itself.
_M.events = events.event_list("resty-worker-events", "started", "stopping")


return _M
