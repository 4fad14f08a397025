--- `resty.http_headers`: a table of headers that is read in any spelling.
-- @module resty.http_headers
local lower = string.lower
local next = next
local pairs = pairs
local rawget = rawget
local rawset = rawset
local setmetatable = setmetatable

local _M = { _VERSION = "0.17.2" }


--- Headers.
-- @tparam[opt] table from headers to begin with
-- @treturn table its fields keep the spelling in which they came first
function _M.new(from)
    local spellings = {}
    local headers = setmetatable({}, {
        __index = function(headers, name)
            local known = spellings[lower(name)]
            return known and rawget(headers, known)
        end,
        __newindex = function(headers, name, value)
            local key = lower(name)
            local known = spellings[key] or name
            spellings[key] = known
            rawset(headers, known, value)
        end,
    })
    if from and next(from) ~= nil then
        for name, value in pairs(from) do
            headers[name] = value
        end
    end
    return headers
end


return _M
