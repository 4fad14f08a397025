--- `resty.string`.
-- @module resty.string
local byte = string.byte
local format = string.format
local gsub = string.gsub
local match = string.match
local tonumber = tonumber

local _M = { version = "0.16" }


local function hex(char)
    return format("%02x", byte(char))
end


--- Bytes as lower-case hexadecimal digits.
function _M.to_hex(bytes)
    return (gsub(bytes, "[%z\1-\255]", hex))
end


--- The decimal number that a text is, -1 if it is none.
function _M.atoi(text)
    return tonumber(match(text, "^%d+$")) or -1
end


return _M
