--- log-rotate: rotates access.log and error.log.
--
-- The log writer of the gateway does the work, off the workers; this plugin gives it what
-- stands in `plugin_attr.log-rotate`: `interval` (seconds, on the clock), `max_size` (bytes,
-- -1 for none), `max_kept` (files) and `enable_compression`. A value that makes no sense is
-- an error line, and the default stands. It has no phases and refuses no request.
local core = require("apisix.core")
local host = require("moongate.host")
local plugin = require("apisix.plugin")

local NAME = "log-rotate"

local settings_schema = {
    type = "object",
    properties = {
        interval = { type = "integer", minimum = 1, default = 3600 },
        max_kept = { type = "integer", minimum = 0, default = 168 },
        max_size = { type = "integer", default = -1 },
        timeout = { type = "integer", minimum = 1, default = 10000 },
        enable_compression = { type = "boolean", default = false },
    },
}

local schema = { type = "object", properties = {} }

local _M = {
    version = 0.1,
    priority = 100,
    name = NAME,
    schema = schema,
    scope = "global",
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


local function settings()
    local attr = core.table.deepcopy(plugin.plugin_attr(NAME) or {})
    local ok, err = core.schema.check(settings_schema, attr)
    if not ok then
        core.log.error("invalid plugin_attr of log-rotate, the defaults stand: ", err)
        attr = {}
        core.schema.check(settings_schema, attr)
    end
    return attr.interval, attr.max_size, attr.max_kept, attr.enable_compression
end


-- There is one log for all workers.
local function set(...)
    if host.worker_id() == 0 then
        host.log_rotation(...)
    end
end


function _M.init()
    set(settings())
end


--- Leaves the writer with its own bounds.
function _M.destroy()
    set(nil)
end


return _M
