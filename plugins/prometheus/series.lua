--- Several series that are counted into together, with one call per request.
--
-- The host has this built in; here is the same for a host that lacks it.
-- @module apisix.plugins.prometheus.series
local host = require("moongate.host")

local setmetatable = setmetatable

local methods = {}
local mt = { __index = methods }


--- Counts: one number per series, nil leaves that one out.
function methods:add(...)
    local values = { ... }
    for i = 1, self.n do
        local value = values[i]
        if value then
            local metric = self[2 * i - 1]
            local count = self.histogram[i] and metric.observe or metric.inc
            count(metric, value, self[2 * i])
        end
    end
end


local function bundle(list, histogram)
    list.n = #list / 2
    list.histogram = histogram
    return setmetatable(list, mt)
end


--- A bundle.
-- @tparam table list metric, label values, metric, label values ...
-- @tparam table histogram place of a series -> true if it is a histogram's
return host.metrics.bundle or bundle
