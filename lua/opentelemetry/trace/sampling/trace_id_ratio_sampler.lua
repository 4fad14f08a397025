--- `opentelemetry.trace.sampling.trace_id_ratio_sampler`: some of the traces, by their identifier.
-- @module opentelemetry.trace.sampling.trace_id_ratio_sampler
local result = require("opentelemetry.trace.sampling.result")

local max = math.max
local min = math.min
local sub = string.sub
local tonumber = tonumber

local _M = {}
local mt = { __index = _M }


--- @tparam number fraction from 0 to 1
function _M.new(fraction)
    fraction = max(0, min(1, fraction))
    return setmetatable({ fraction = fraction,
                          description = "TraceIDRatioBased{" .. fraction .. "}" }, mt)
end


function _M:should_sample(parameters)
    -- All services that see the trace come to the same verdict.
    local place = tonumber(sub(parameters.trace_id, 1, 8), 16) / 4294967296
    local decision = place < self.fraction and result.record_and_sample or result.drop
    return result.new(decision, parameters.parent_ctx:span_context().trace_state)
end


return _M
