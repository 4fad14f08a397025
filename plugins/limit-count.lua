--- limit-count: so many requests in a window of time, for each value of a key.
--
-- Runs in `access`. A request too many gets `rejected_code` (503) with the body
-- `{"error_msg": rejected_msg}` if that is set; a counter that cannot be read gives 500, or
-- lets the request pass with `allow_degradation`. X-RateLimit-Limit, -Remaining and -Reset
-- tell the client where it stands. The counters are shared by all workers of the process;
-- `policy` redis, redis-cluster and redis-sentinel are refused when the conf is checked.
local engine = require("apisix.plugins.limit-count.init")

local NAME = "limit-count"

local _M = {
    version = 0.5,
    priority = 1002,
    name = NAME,
    schema = engine.schema,
    metadata_schema = engine.metadata_schema,
    check_schema = engine.check_schema,
}


function _M.access(conf, ctx)
    return engine.rate_limit(conf, ctx, NAME, 1)
end


return _M
