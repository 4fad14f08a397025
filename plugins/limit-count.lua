--- limit-count: so many requests in a window of time, for each value of a key.
--
-- Runs in `access`. A request too many gets `rejected_code` (503) with the body
-- `{"error_msg": rejected_msg}` if that is set; a counter that cannot be read gives 500, or
-- lets the request pass with `allow_degradation`. X-RateLimit-Limit, -Remaining and -Reset
-- tell the client where it stands. `policy` local shares the counters among the workers of the
-- process; redis, redis-cluster and redis-sentinel share them among all gateways that ask the
-- same server, for each request or, with `sync_interval`, every so many seconds.
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
