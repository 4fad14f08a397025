--- Calls tRPC services with JSON: what t/mux needs of a transcoder, and no more.
--
-- Runs in `access`. Refuses as `core.transcode` does: 400, 404, 413 with `{"message":…}`.
local core = require("apisix.core")

local transcoder = core.transcode.new({
    protocol = "trpc",
    options = function()
        return { mode = "passthrough" }
    end,
})

local _M = {
    version = 0.1,
    priority = 507,
    name = "mux-probe",
    schema = transcoder.schema,
}


function _M.check_schema(conf)
    return transcoder:check_schema(conf)
end


function _M.access(conf, ctx)
    return transcoder:access(conf, ctx)
end


return _M
