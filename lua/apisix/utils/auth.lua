--- `apisix.utils.auth`.
-- @module apisix.utils.auth
local bit = require("bit")

local bor = bit.bor
local bxor = bit.bxor
local byte = string.byte

local _M = {}


--- Whether the auth plugin runs as one of several that `multi-auth` tries.
function _M.is_running_under_multi_auth(ctx)
    return ctx._plugin_name == "multi-auth"
end


--- Whether two texts are equal, in a time that tells nothing of where they differ. moongate's own.
-- @tparam string given what a client sent; the time depends on its length alone
-- @tparam string expected
-- @treturn boolean
function _M.is_equal(given, expected)
    local length = #expected
    if length == 0 then
        return given == ""
    end
    local difference = bxor(#given, length)
    for i = 1, #given do
        local other = byte(expected, (i - 1) % length + 1)
        difference = bor(difference, bxor(byte(given, i), other))
    end
    return difference == 0
end


return _M
