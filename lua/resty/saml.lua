--- `resty.saml`: exists by name. SAML needs XML signatures, which no bundled library checks.
-- @module resty.saml
local unsupported = require("moongate.unsupported")

local _M = unsupported.absent({}, "resty.saml.", { "new" },
    "not bundled with moongate: extra_lua_path says where to find it")


--- Tells why nothing can begin.
-- @treturn string the error, as the original returns it
function _M.init()
    return "resty.saml is not bundled with moongate: extra_lua_path says where to find it"
end


return _M
