--- `resty.openssl.kdf`: keys out of passwords (PBKDF2) and out of other keys (HKDF).
-- @module resty.openssl.kdf
local host = require("moongate.host")

local bit = require("bit")
local bxor = bit.bxor
local byte = string.byte
local char = string.char
local concat = table.concat
local floor = math.floor
local hmac = host.crypto.hmac
local sub = string.sub
local tostring = tostring
local type = type

-- More rounds than anybody asks for would hold the worker for seconds.
local ROUNDS_MAX = 1000000

local _M = {
    PBKDF2 = 69, HKDF = 1036, SCRYPT = 973,
    HKDEF_MODE_EXTRACT_AND_EXPAND = 0, HKDEF_MODE_EXTRACT_ONLY = 1, HKDEF_MODE_EXPAND_ONLY = 2,
    HKDF_MODE_EXTRACT_AND_EXPAND = 0, HKDF_MODE_EXTRACT_ONLY = 1, HKDF_MODE_EXPAND_ONLY = 2,
}


local function xor(a, b)
    local parts = {}
    for i = 1, #a do
        parts[i] = char(bxor(byte(a, i), byte(b, i)))
    end
    return concat(parts)
end


local function pbkdf2(options)
    local md, password = options.md or "sha1", options.pass or ""
    local rounds = options.pbkdf2_iter or 1
    if rounds > ROUNDS_MAX then
        return nil, "kdf.derive: pbkdf2_iter is larger than " .. ROUNDS_MAX
    end
    local made, block = "", 0
    while #made < options.outlen do
        block = block + 1
        local number = char(floor(block / 16777216) % 256, floor(block / 65536) % 256,
                            floor(block / 256) % 256, block % 256)
        local last = hmac(md, password, (options.salt or "") .. number)
        local sum = last
        for _ = 2, rounds do
            last = hmac(md, password, last)
            sum = xor(sum, last)
        end
        made = made .. sum
    end
    return sub(made, 1, options.outlen)
end


local function hkdf(options)
    local md, mode = options.md or "sha1", options.hkdf_mode or 0
    local key = options.hkdf_key or ""
    if mode ~= _M.HKDF_MODE_EXPAND_ONLY then
        key = hmac(md, options.salt or "", key)
        if mode == _M.HKDF_MODE_EXTRACT_ONLY then
            return key
        end
    end
    local made, last, count = "", "", 0
    while #made < options.outlen do
        count = count + 1
        if count > 255 then
            return nil, "kdf.derive: outlen is too large"
        end
        last = hmac(md, key, last .. (options.hkdf_info or "") .. char(count))
        made = made .. last
    end
    return sub(made, 1, options.outlen)
end


--- Derives a key.
-- @tparam table options `type` (`PBKDF2` or `HKDF`), `outlen`, `md`, `pass`, `salt`,
--   `pbkdf2_iter`, `hkdf_key`, `hkdf_mode`, `hkdf_info`
-- @treturn string|nil
-- @treturn nil|string error
function _M.derive(options)
    local kind = options.type
    if kind ~= _M.PBKDF2 and kind ~= _M.HKDF then
        return nil, "kdf.derive: not supported: type " .. tostring(kind)
    elseif type(options.outlen) ~= "number" then
        return nil, "kdf.derive: \"outlen\" is required"
    elseif not hmac(options.md or "sha1", "", "") then
        return nil, "kdf.derive: invalid digest type \"" .. tostring(options.md) .. "\""
    end
    return (kind == _M.PBKDF2 and pbkdf2 or hkdf)(options)
end


return require("moongate.unsupported").absent(_M, "resty.openssl.kdf.", { "new" },
    "derive does the same in one call")
