--- `opentelemetry.trace.sampling.always_on_sampler`.
-- @module opentelemetry.trace.sampling.always_on_sampler
local result = require("opentelemetry.trace.sampling.result")

local _M = {}
local mt = { __index = _M }


function _M.new()
    return setmetatable({}, mt)
end


function _M:should_sample(parameters)
    return result.new(result.record_and_sample, parameters.parent_ctx:span_context().trace_state)
end


function _M.description()
    return "AlwaysOnSampler"
end


return _M
