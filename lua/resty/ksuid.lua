--- `resty.ksuid`: identifiers that sort by the second they were made in, 27 letters and digits.
-- @module resty.ksuid
local host = require("moongate.host")

local byte = string.byte
local char = string.char
local concat = table.concat
local floor = math.floor
local random_bytes = host.crypto.random_bytes
local sub = string.sub
local time = ngx.time

-- KSUIDs count seconds from here: 2014-05-13.
local EPOCH = 1400000000
local DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
local LETTERS = 27
local PAYLOAD_BYTES = 16

local _M = { _VERSION = "1.0.1" }


-- The bytes as a number to the base of 62, always of the same length.
local function base62(bytes)
    local number = { byte(bytes, 1, -1) }
    local letters = {}
    for at = LETTERS, 1, -1 do
        local rest = 0
        for i = 1, #number do
            local value = rest * 256 + number[i]
            number[i] = floor(value / 62)
            rest = value % 62
        end
        letters[at] = sub(DIGITS, rest + 1, rest + 1)
    end
    return concat(letters)
end


local function big_endian(number)
    return char(floor(number / 16777216) % 256, floor(number / 65536) % 256,
                floor(number / 256) % 256, number % 256)
end


--- A new identifier.
-- @tparam[opt] number seconds since 1970; now if absent
-- @tparam[opt] string payload 16 bytes; random if absent
function _M.generate(seconds, payload)
    payload = payload or random_bytes(PAYLOAD_BYTES)
    return base62(big_endian((seconds or time()) - EPOCH) .. payload)
end


return _M
