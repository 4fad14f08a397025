--- `apisix.events`: messages between plugins, on all workers.
-- @module apisix.events
local events = require("moongate.events")

local _M = { worker_events = events }


--- Nothing has to be prepared: messages can be sent from the start.
function _M.init_worker()
end


--- Calls `callback(data, event, source, pid)` for matching messages.
-- @tparam function callback
-- @tparam[opt] string source all sources if nil
-- @param ... names of events; all of the source if none is given
function _M.register(_, callback, source, ...)
    return events.register(callback, source, ...)
end


--- A table whose fields are the names of events; another name raises.
function _M.event_list(_, source, ...)
    return events.event_list(source, ...)
end


--- Sends a message to all workers.
-- @tparam string source
-- @tparam string event
-- @param[opt] data anything JSON knows
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.post(_, source, event, data)
    local ok, err = events.post(source, event, data)
    return ok and true, err
end


--- The configured module, for those who ask for it by name.
function _M.get_healthcheck_events_modele()
    return "resty.events"
end


return _M
