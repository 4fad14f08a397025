--- `core.nonce`: numbers used once, in a store that all workers of this process share.
--
--     if core.nonce.insert("my-plugin:" .. key_id, nonce, 305) == "seen" then
--         return 401
--     end
--
-- Only what was authenticated should be put there: the store is bounded, and tells when it is
-- full instead of forgetting. moongate's own; APISIX has no such module.
-- @module apisix.core.nonce
local host = require("moongate.host")

local nonce_forget = host.nonce_forget
local nonce_insert = host.nonce_insert

local _M = {}


--- Takes a number.
-- @tparam string scope what it is unique in, such as the id of a key
-- @tparam string nonce
-- @tparam number ttl seconds for which it is known
-- @treturn string "first": it is new. "seen": it is not. "full": there is no room for it
function _M.insert(scope, nonce, ttl)
    return nonce_insert(scope, nonce, ttl)
end


--- Makes a number new again that was taken but not used after all.
function _M.forget(scope, nonce)
    nonce_forget(scope, nonce)
end


return _M
