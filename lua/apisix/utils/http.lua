--- `apisix.utils.http`: one HTTP client behind the names that plugins may configure.
-- @module apisix.utils.http
local require = require
local tostring = tostring

local FFI_CLIENT = "ngx_http_ffi_client"
local LUA_RESTY_HTTP = "lua-resty-http"

local _M = {
    version = 0.1,
    FFI_CLIENT = FFI_CLIENT,
    LUA_RESTY_HTTP = LUA_RESTY_HTTP,
    DEFAULT_CLIENT = FFI_CLIENT,
    client_schema = {
        type = "string",
        enum = { FFI_CLIENT, LUA_RESTY_HTTP },
        default = FFI_CLIENT,
    },
}


--- A client with the functions of `resty.http`.
-- @tparam[opt] string name
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(name)
    name = name or _M.DEFAULT_CLIENT
    if name ~= FFI_CLIENT and name ~= LUA_RESTY_HTTP then
        return nil, "unknown http client: " .. tostring(name)
    end
    return require("resty.http").new()
end


return _M
