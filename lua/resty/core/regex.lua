--- `resty.core.regex`: plugins ask it whether a pattern compiles.
-- @module resty.core.regex
local host = require("moongate.host")

local compile = host.re.compile

local _M = { version = "0.1.28" }


--- Accepted for compatibility: a result has the room it needs.
function _M.set_buf_grow_ratio()
end


--- Compiles a pattern.
-- @tparam string pattern
-- @tparam[opt] string options
-- @treturn table|nil something true; its content is nobody's business
-- @treturn nil|string error
function _M.re_match_compile(pattern, options)
    local ok, err = compile(pattern, options)
    if not ok then
        return nil, err
    end
    return { pattern = pattern, options = options }
end


function _M.is_regex_cache_empty()
    return false
end


return _M
