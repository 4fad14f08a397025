--- `opentelemetry.trace.sampling.parent_base_sampler`: as the span above, if there is one.
-- @module opentelemetry.trace.sampling.parent_base_sampler
local result = require("opentelemetry.trace.sampling.result")

local _M = {}
local mt = { __index = _M }


--- @tparam table root decides for spans without one above
function _M.new(root)
    return setmetatable({ root = root }, mt)
end


function _M:should_sample(parameters)
    local parent = parameters.parent_ctx:span_context()
    if not parent:is_valid() then
        return self.root:should_sample(parameters)
    end
    local decision = parent:is_sampled() and result.record_and_sample or result.drop
    return result.new(decision, parent.trace_state)
end


function _M:description()
    local root = self.root.description
    return "ParentBased{root:" .. (type(root) == "function" and root(self.root) or root) .. "}"
end


return _M
