--- `ngx.re`: splitting by a regular expression.
-- @module ngx.re
local host = require("moongate.host")

local split = host.re.split

local _M = { version = "0.1.28" }

--- Splits `subject` at every match of `regex`.
-- @tparam string subject
-- @tparam string regex
-- @tparam[opt] string options
-- @tparam[opt] table ctx { pos = number } where to start
-- @tparam[opt] number max how many pieces at most
-- @tparam[opt] table res filled and returned instead of a new table
-- @treturn table|nil
-- @treturn nil|string error
_M.split = split


--- Accepted for compatibility: matching has its own limits here.
function _M.opt(option)
    if option ~= "jit_stack_size" and option ~= "pcre2_match_limit" then
        error("unrecognized option name", 2)
    end
end


return _M
