--- `opentracing.span`: something that takes time.
-- @module opentracing.span
local error = error
local next = next
local pairs = pairs
local setmetatable = setmetatable
local type = type

local _M = {}
local mt = { __index = _M }


--- A span that began.
-- @tparam table tracer
-- @tparam table context of `opentracing.span_context`
-- @tparam string name
-- @tparam number start seconds
function _M.new(tracer, context, name, start)
    if not tracer or not context then
        error(tracer and "missing context" or "missing tracer", 2)
    elseif type(name) ~= "string" then
        error("name should be a string", 2)
    elseif type(start) ~= "number" then
        error("invalid starting timestamp", 2)
    end
    return setmetatable({ tracer_ = tracer, context_ = context, name = name, timestamp = start,
                          baggage = {}, tags = {}, logs = {} }, mt)
end


function _M.is(value)
    return getmetatable(value) == mt
end


function _M:context()
    return self.context_
end


function _M:tracer()
    return self.tracer_
end


function _M:set_operation_name(name)
    if type(name) ~= "string" then
        error("name should be a string", 2)
    end
    self.name = name
end


--- A span within this one.
function _M:start_child_span(name, start)
    return self.tracer_:start_span(name, { start_timestamp = start, child_of = self })
end


--- Ends it, and gives it to the reporter.
-- @tparam[opt] number stop seconds
-- @treturn boolean
-- @raise if it has ended, or would end before it began
function _M:finish(stop)
    if self.duration then
        error("span already finished", 2)
    elseif stop ~= nil and (type(stop) ~= "number" or stop < self.timestamp) then
        error("invalid finish timestamp", 2)
    end
    self.duration = (stop or self.tracer_:time()) - self.timestamp
    self.tracer_:report(self)
    return true
end


function _M:set_tag(key, value)
    local kind = type(value)
    if type(key) ~= "string" then
        error("invalid tag key", 2)
    elseif value ~= nil and kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        error("invalid tag value (expected string, number, boolean or nil)", 2)
    end
    self.tags[key] = value
    return true
end


function _M:get_tag(key)
    if type(key) ~= "string" then
        error("invalid tag key", 2)
    end
    return self.tags[key]
end


--- Walks over the tags.
function _M:each_tag()
    return next, self.tags
end


--- Notes that something happened.
function _M:log(key, value, timestamp)
    if type(key) ~= "string" then
        error("invalid log key", 2)
    elseif timestamp ~= nil and type(timestamp) ~= "number" then
        error("invalid timestamp for log", 2)
    end
    self.logs[#self.logs + 1] = { key = key, value = value,
                                  timestamp = timestamp or self.tracer_:time() }
    return true
end


function _M:log_kv(fields, timestamp)
    timestamp = timestamp or self.tracer_:time()
    for key, value in pairs(fields) do
        self:log(key, value, timestamp)
    end
    return true
end


--- Walks over the logs: key, value, time.
function _M:each_log()
    local at = 0
    return function()
        at = at + 1
        local entry = self.logs[at]
        if entry then
            return entry.key, entry.value, entry.timestamp
        end
    end
end


function _M:set_baggage_item(key, value)
    self.context_ = self.context_:clone_with_baggage_item(key, value)
    return true
end


function _M:get_baggage_item(key)
    return self.context_:get_baggage_item(key)
end


function _M:each_baggage_item()
    return self.context_:each_baggage_item()
end


return _M
