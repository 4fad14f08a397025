--- `opentelemetry.util`: time, chance and tables for the modules of this family.
-- @module opentelemetry.util
local host = require("moongate.host")

local byte = string.byte
local now = ngx.now
local pairs = pairs
local random_bytes = host.crypto.random_bytes
local update_time = ngx.update_time

local _M = {}


--- Nanoseconds since 1970, as exactly as a number holds them.
function _M.time_nano()
    update_time()
    return now() * 1000000000
end


_M.gettimeofday = _M.time_nano


--- A number below 1.
function _M.random_float(limit)
    local a, b, c, d = byte(random_bytes(4), 1, 4)
    return (((a * 256 + b) * 256 + c) * 256 + d) / 4294967296 * (limit or 1)
end


function _M.shallow_copy_table(source)
    local copy = {}
    for key, value in pairs(source) do
        copy[key] = value
    end
    return copy
end


function _M.trim(text)
    return text:match("^%s*(.-)%s*$")
end


return _M
