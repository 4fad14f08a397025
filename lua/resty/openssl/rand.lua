--- `resty.openssl.rand`.
-- @module resty.openssl.rand
local host = require("moongate.host")

local random_bytes = host.crypto.random_bytes
local type = type

local _M = {}


--- Random bytes; both kinds are equally strong here.
-- @tparam number count
-- @treturn string|nil
-- @treturn nil|string error
function _M.bytes(count)
    if type(count) ~= "number" then
        return nil, "rand.bytes: expect a number at #1"
    end
    return random_bytes(count)
end


return _M
