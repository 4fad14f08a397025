--- Which functions of the `ngx` table may be called in which phase, in OpenResty's words.
-- @module moongate.api.context
local host = require("moongate.host")

local error = error
local phase = host.phase

local NAMES = {
    init = "init_by_lua*",
    init_worker = "init_worker_by_lua*",
    rewrite = "rewrite_by_lua*",
    access = "access_by_lua*",
    content = "content_by_lua*",
    balancer = "balancer_by_lua*",
    header_filter = "header_filter_by_lua*",
    body_filter = "body_filter_by_lua*",
    log = "log_by_lua*",
    timer = "ngx.timer",
}

local _M = {}


--- Raises that the function that was called is not to be used in the current phase.
-- @tparam number level stack level of the plugin's call, 1 being who calls this
function _M.disabled(level)
    local name = phase()
    error("API disabled in the context of " .. (NAMES[name] or name), level + 1)
end


--- Raises unless the request still waits for its answer.
function _M.needs_access(level)
    local now = phase()
    if now ~= "access" and now ~= "content" and now ~= "rewrite" then
        _M.disabled(level + 1)
    end
end


return _M
