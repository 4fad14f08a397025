--- `core.string`: Lua's `string` and more. `find` takes its needle literally.
-- @module apisix.core.string
local host = require("moongate.host")

local byte = string.byte
local decode_args = host.uri.decode_args
local encode_args = host.uri.encode_args
local error = error
local find = string.find
local gsub = host.re.gsub
local setmetatable = setmetatable
local sub = string.sub
local type = type

local _M = { version = 0.1 }

setmetatable(_M, { __index = string })


local function check(s, affix, name)
    if type(s) ~= "string" or type(affix) ~= "string" then
        error("unexpected type: s:" .. type(s) .. ", " .. name .. ":" .. type(affix), 3)
    end
end


--- Position of `needle`, which is not a pattern.
function _M.find(haystack, needle, from)
    return find(haystack, needle, from or 1, true)
end


function _M.has_prefix(s, prefix)
    check(s, prefix, "prefix")
    return #s >= #prefix and sub(s, 1, #prefix) == prefix
end


function _M.has_suffix(s, suffix)
    check(s, suffix, "suffix")
    return #s >= #suffix and sub(s, #s - #suffix + 1) == suffix
end


--- Last position of the character `ch`, at or before `index`.
function _M.rfind_char(s, ch, index)
    local wanted = byte(ch)
    for i = index or #s, 1, -1 do
        if byte(s, i) == wanted then
            return i
        end
    end
end


--- Takes indentation and spaces after commas out of a script for Redis.
function _M.compress_script(s)
    s = gsub(s, [[^\s+]], "", "mjo")
    s = gsub(s, [[,\s+]], ",", "mjo")
    return s
end


function _M.decode_args(args)
    return decode_args(args, 0)
end


function _M.encode_args(args)
    return encode_args(args)
end


return _M
