--- `core.metrics`: counters that plugins add to the ones of the gateway.
--
--     local refused = core.metrics.counter("my_refused_total", "what it counts", { "reason" })
--     refused:inc(1, { "late" })
--
-- They appear beside all others when the plugin `prometheus` hands its figures out, with the
-- same prefix. moongate's own; APISIX has no such module.
-- @module apisix.core.metrics
local host = require("moongate.host")

local declare = host.metrics.counter

local _M = {}

-- Name -> counter: a declaration is made once per VM.
local counters = {}


--- The counter of that name.
-- @tparam string name in small letters, ending in `_total`
-- @tparam string help one sentence
-- @tparam[opt] table labels names of its labels
-- @treturn table with `inc(self, value, labels)`
function _M.counter(name, help, labels)
    local counter = counters[name]
    if not counter then
        counter = declare(name, help, labels)
        counters[name] = counter
    end
    return counter
end


--- Series of counters, for what is counted with every request: found once, not by their labels
-- each time.
--
--     local passed = core.metrics.series(requests, { "passed" })
--     passed:add(1)
--
-- @tparam table ... a counter and the values of its labels, another counter and so on
-- @treturn table with `add(self, value, ...)`: a number for each of them, nil for none
_M.series = host.metrics.bundle


return _M
