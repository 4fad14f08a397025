--- `resty.string`.
-- @module resty.string
local byte = string.byte
local format = string.format
local gsub = string.gsub

local _M = { version = "0.16" }


local function hex(char)
    return format("%02x", byte(char))
end


--- Bytes as lower-case hexadecimal digits.
function _M.to_hex(bytes)
    return (gsub(bytes, "[%z\1-\255]", hex))
end


--- The decimal number at the beginning of a text, 0 without one.
function _M.atoi(text)
    return tonumber(text:match("^%s*(%d+)")) or 0
end


return _M
