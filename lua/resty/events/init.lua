--- `resty.events`: messages by topic, to all workers, to this one, or to one of them.
--
--     local ev = require("resty.events").new({ listening = "unix:/x", broker_id = 0 })
--     ev:init_worker()
--     ev:subscribe("source", "event", function(data, event, source, wid) end)
--     ev:publish("all", "source", "event", { a = 1 })
--
-- There is no broker and nothing listens: messages go through the dictionary "worker-events".
-- @module resty.events
local events = require("moongate.events")

local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = { _VERSION = "0.3.0" }
local mt = { __index = _M }


--- A bus; the options of the original are not needed.
-- @tparam[opt] table opts `unique_timeout` seconds
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(opts)
    if opts ~= nil and type(opts) ~= "table" then
        return nil, "Expected a table, got " .. type(opts)
    elseif opts and opts.unique_timeout then
        events.configure({ unique = opts.unique_timeout })
    end
    return setmetatable({ subscriptions = {}, last = 0 }, mt)
end


--- Nothing has to be prepared.
-- @treturn boolean
function _M:init_worker()
    return true
end


--- Whether messages can be sent.
-- @treturn boolean
function _M:is_ready()
    return true
end


--- Sends a message.
-- @tparam string target "all", "current" for this worker only, or any other text: of the workers
--   that get messages with the same text within a short time only the first one handles one
-- @tparam string source
-- @tparam string event
-- @param[opt] data
-- @treturn boolean|nil
-- @treturn nil|string error
function _M:publish(target, source, event, data)
    if type(target) ~= "string" or target == "" then
        return nil, "target is required"
    end
    local ok, err
    if target == "current" then
        ok, err = events.post_local(source, event, data)
    else
        ok, err = events.post(source, event, data, target ~= "all" and target or nil)
    end
    return ok and true, err
end


--- Calls `callback(data, event, source, worker)` for messages.
-- @tparam string source
-- @tparam string event "*" for all of the source
-- @tparam function callback
-- @treturn string the number to take it back by
function _M:subscribe(source, event, callback)
    if event == "*" then
        events.register(callback, source)
    else
        events.register(callback, source, event)
    end
    self.last = self.last + 1
    local id = tostring(self.last)
    self.subscriptions[id] = { callback, source, event ~= "*" and event or nil }
    return id
end


--- Ends what `subscribe` began.
-- @treturn boolean
function _M:unsubscribe(id)
    local kept = self.subscriptions[id]
    if not kept then
        return false
    end
    self.subscriptions[id] = nil
    return events.unregister(kept[1], kept[2], kept[3])
end


return require("moongate.unsupported").absent(_M, "resty.events.", { "run" },
                                              "workers do not connect to each other")
