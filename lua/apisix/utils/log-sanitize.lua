--- `apisix.utils.log-sanitize`: request parameters without what must stay secret.
-- @module apisix.utils.log-sanitize
local core_table = require("apisix.core.table")

local lower = string.lower
local pairs = pairs

local SECRET_HEADERS = {
    authorization = true,
    ["x-api-key"] = true,
    ["api-key"] = true,
    cookie = true,
    ["proxy-authorization"] = true,
    ["x-amz-security-token"] = true,
}
local PUBLIC = { "method", "scheme", "host", "port", "path", "ssl_server_name" }

local _M = {}


--- What may be logged of an HTTP client's parameters: no body, no query, no credentials.
function _M.redact_params(params)
    local safe = {}
    for i = 1, #PUBLIC do
        safe[PUBLIC[i]] = params[PUBLIC[i]]
    end
    if params.headers then
        safe.headers = {}
        for name, value in pairs(params.headers) do
            safe.headers[name] = SECRET_HEADERS[lower(name)] and "[REDACTED]" or value
        end
    end
    return safe
end


function _M.redact_extra_opts(extra_opts)
    local safe = core_table.deepcopy(extra_opts)
    safe.auth = nil
    return safe
end


return _M
