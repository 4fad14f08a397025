--- `apisix.events`: messages between plugins, on all workers.
-- @module apisix.events
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")

local error = error
local ipairs = ipairs
local pcall = pcall
local setmetatable = setmetatable
local tostring = tostring

local handlers = {}
local listening = false

local _M = {}


local function deliver(source, event, data)
    for _, handler in ipairs(handlers) do
        if (not handler.source or handler.source == source)
           and (not handler.event or handler.event == event) then
            local ok, err = pcall(handler.func, data, event, source, host.pid())
            if not ok then
                log.error("failed to handle the event ", source, "/", event, ": ", err)
            end
        end
    end
end


-- What arrives from any worker, this one included.
local function receive(source, event, text)
    deliver(source, event, text ~= "" and json.decode(text) or nil)
end


--- Calls `func(data, event, source, pid)` for matching events.
-- @tparam function func
-- @tparam[opt] string source all sources if nil
-- @param ... names of events; all of the source if none is given
function _M.register(_, func, source, ...)
    if not listening then
        listening = true
        host.on_broadcast(receive)
    end

    local names = { ... }
    if #names == 0 then
        handlers[#handlers + 1] = { func = func, source = source }
    end
    for _, event in ipairs(names) do
        handlers[#handlers + 1] = { func = func, source = source, event = event }
    end
end


--- A table whose fields are the names of events; another name raises.
function _M.event_list(_, source, ...)
    local events = { _source = source }
    for _, event in ipairs({ ... }) do
        events[event] = event
    end
    return setmetatable(events, {
        __index = function(_, name)
            error("event '" .. tostring(name) .. "' is an unknown event", 2)
        end,
    })
end


--- Sends an event to all workers.
-- @tparam string source
-- @tparam string event
-- @param[opt] data anything JSON knows
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.post(_, source, event, data)
    if data == nil then
        return host.broadcast(source, event, "")
    end
    local text, err = json.encode(data)
    if not text then
        return nil, err
    end
    return host.broadcast(source, event, text)
end


return _M
