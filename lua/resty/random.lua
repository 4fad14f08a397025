--- `resty.random`.
-- @module resty.random
local host = require("moongate.host")

local random_bytes = host.crypto.random_bytes

local _M = { version = "0.16" }


--- Random bytes; they are always good enough for keys.
function _M.bytes(length)
    return random_bytes(length)
end


return _M
