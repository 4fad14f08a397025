--- Benchmark plugin: reads a variable and a header and sets a request header, in `access`.
-- nginx.conf does the same work on port 9703. It never refuses a request.
local core = require("apisix.core")


local _M = {
    version = 0.1,
    priority = 100,
    name = "bench-lua",
    schema = { type = "object", properties = {} },
}


function _M.check_schema(conf)
    return core.schema.check(_M.schema, conf)
end


function _M.access(conf, ctx)
    local seen = ctx.var.remote_addr .. (core.request.header(ctx, "X-Bench") or "-")
    core.request.set_header(ctx, "X-Bench-Seen", seen)
end


return _M
