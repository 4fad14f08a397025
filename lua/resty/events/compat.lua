--- `resty.events.compat`: `resty.events` with the functions of `resty.worker.events`.
-- @module resty.events.compat
local bus = require("resty.events")
local events = require("moongate.events")

local _M = { _VERSION = bus._VERSION }

local own


--- Makes the bus.
-- @tparam[opt] table opts as for `resty.events.new`
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.configure(opts)
    local made, err = bus.new(opts)
    if not made then
        return nil, err
    end
    own = made
    return own:init_worker()
end


--- Whether messages can be sent.
-- @treturn boolean
function _M.configured()
    return true
end


--- Handles what has come; it would come by itself.
-- @treturn string "done"
function _M.poll()
    events.poll()
    return "done"
end


--- Sends a message to all workers.
-- @param[opt] unique of the workers that get messages with the same value only one handles one
-- @treturn string|nil "done"
-- @treturn nil|string error
function _M.post(source, event, data, unique)
    local ok, err = events.post(source, event, data, unique)
    return ok and "done", err
end


--- Sends a message to this worker only.
-- @treturn string|nil "done"
-- @treturn nil|string error
function _M.post_local(source, event, data)
    local ok, err = events.post_local(source, event, data)
    return ok and "done", err
end


_M.register = events.register
_M.register_weak = events.register_weak
_M.unregister = events.unregister
_M.event_list = events.event_list


return require("moongate.unsupported").absent(_M, "resty.events.compat.", { "run" },
                                              "workers do not connect to each other")
