--- Header names as plugins write them, mapped once and remembered.
--
-- Plugins say `ngx.header.content_type`; the wire says `Content-Type`. Names come from
-- code and configuration, but a plugin may also pass what a client sent, so the memory
-- is bounded.
-- @module moongate.api.names
local gsub = string.gsub
local lower = string.lower
local type = type

local NAMES_MAX = 2048

local _M = {}


--- Remembers the results of a pure function of one string.
-- @tparam function compute string -> value, never nil
-- @tparam[opt=2048] number max how many results to keep before starting again
-- @treturn function
function _M.memoise(compute, max)
    local known, count = {}, 0
    max = max or NAMES_MAX

    return function(name)
        local value = known[name]
        if value ~= nil then
            return value
        end

        value = compute(name)
        if count >= max then
            known, count = {}, 0
        end
        known[name] = value
        count = count + 1
        return value
    end
end


--- `content_type` -> `content-type`; case stays.
_M.dashed = _M.memoise(function(name)
    return (gsub(name, "_", "-"))
end)


--- `X_Foo` -> `x-foo`.
_M.canonical = _M.memoise(function(name)
    return (gsub(lower(name), "_", "-"))
end)


local function index(headers, name)
    if type(name) ~= "string" then
        return nil
    end

    local canonical = _M.canonical(name)
    if canonical ~= name then
        return headers[canonical]
    end
end


--- Metatable of a table of headers with lower-case keys: finds any spelling.
_M.headers_mt = { __index = index }


return _M
