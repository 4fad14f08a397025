--- `resty.apisix.response`: what a plugin may change about how the response leaves.
--
-- All of it must be said before the head has left; later it changes nothing.
-- @module resty.apisix.response
local host = require("moongate.host")

local error = error
local tonumber = tonumber
local type = type

local _M = {}


--- Has the body packed with gzip, if the client takes that, nothing else has packed it, and the
-- status is 200, 403 or 404.
--
-- What has come out leaves at once, so there are no buffers: `buffer_num` and `buffer_size` are of
-- no account.
-- @tparam table options `compress_level` from 1 to 9
-- @treturn boolean true
function _M.set_gzip(options)
    if type(options) ~= "table" then
        error("bad argument #1 to 'set_gzip' (table expected, got " .. type(options) .. ")", 2)
    end
    host.resp_set_gzip(tonumber(options.compress_level) or 1)
    return true
end


--- No plugin's `header_filter` runs for this response.
-- @treturn boolean true
function _M.skip_header_filter_by_lua()
    host.resp_skip_filter(false)
    return true
end


--- No plugin's `body_filter` runs for this response.
-- @treturn boolean true
function _M.skip_body_filter_by_lua()
    host.resp_skip_filter(true)
    return true
end


return _M
