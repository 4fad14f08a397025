--- Benchmark plugin: answers every request itself with the version of its own text.
-- bench.py rewrites the number and measures when the first answer has it.
local core = require("apisix.core")


local _M = {
    version = 0.1,
    priority = 102,
    name = "bench-live",
    schema = { type = "object", properties = {} },
}


function _M.check_schema(conf)
    return core.schema.check(_M.schema, conf)
end


function _M.access(conf, ctx)
    return 200, "version 0\n"
end


return _M
