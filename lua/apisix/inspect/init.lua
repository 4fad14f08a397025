--- `apisix.inspect`: breakpoints in running code, which moongate does not set.
-- @module apisix.inspect
local unsupported = require("moongate.unsupported")

local _M = unsupported.fill({}, "apisix.inspect.", { "init" },
    "not supported by moongate: no breakpoints are set in running code")


--- Ends nothing: there is nothing that `init` could have begun.
function _M.destroy()
end


return _M
