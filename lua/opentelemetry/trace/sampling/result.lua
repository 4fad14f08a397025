--- `opentelemetry.trace.sampling.result`: what a sampler decided.
-- @module opentelemetry.trace.sampling.result
local setmetatable = setmetatable

local _M = { drop = 0, record_only = 1, record_and_sample = 2 }
local mt = { __index = _M }


function _M.new(decision, trace_state)
    return setmetatable({ decision = decision, trace_state = trace_state }, mt)
end


function _M:is_sampled()
    return self.decision == _M.record_and_sample
end


function _M:is_recording()
    return self.decision ~= _M.drop
end


return _M
