--- Benchmark plugin: tells which worker served the request, in the answer's `X-Worker` header.
-- It never refuses a request.
local core = require("apisix.core")


local _M = {
    version = 0.1,
    priority = 101,
    name = "bench-worker",
    schema = { type = "object", properties = {} },
}


function _M.check_schema(conf)
    return core.schema.check(_M.schema, conf)
end


function _M.header_filter(conf, ctx)
    core.response.set_header("X-Worker", tostring(ngx.worker.id()))
end


return _M
