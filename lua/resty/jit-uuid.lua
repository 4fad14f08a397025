--- `resty.jit-uuid`.
-- @module resty.jit-uuid
local host = require("moongate.host")
local to_hex = require("resty.string").to_hex

local byte = string.byte
local char = string.char
local crypto = host.crypto
local find = string.find
local format = string.format
local gsub = string.gsub
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local type = type

local TEXT = "^" .. ("%x"):rep(8) .. "%-%x%x%x%x%-%x%x%x%x%-[89abAB]%x%x%x%-"
             .. ("%x"):rep(12) .. "$"

local _M = { _VERSION = "0.0.7" }


--- Seeds `math.random`; the UUIDs come from the system's randomness, with or without.
-- @tparam[opt] number seed
-- @treturn number the seed
function _M.seed(seed)
    seed = seed or ngx.time() + ngx.worker.pid()
    math.randomseed(seed)
    return seed
end


_M.generate_v4 = crypto.uuid_v4


--- Whether a text is a UUID.
function _M.is_valid(text)
    return type(text) == "string" and find(text, TEXT) ~= nil
end


local function from_hex(text)
    return (gsub(text, "%x%x", function(digits)
        return char(tonumber(digits, 16))
    end))
end


-- The first 16 bytes of a digest, with version and variant set.
local function from_digest(digest, version)
    local hex = to_hex(sub(digest, 1, 6)) .. format("%02x", byte(digest, 7) % 16 + version * 16)
        .. to_hex(sub(digest, 8, 8)) .. format("%02x", byte(digest, 9) % 64 + 128)
        .. to_hex(sub(digest, 10, 16))
    return sub(hex, 1, 8) .. "-" .. sub(hex, 9, 12) .. "-" .. sub(hex, 13, 16) .. "-"
        .. sub(hex, 17, 20) .. "-" .. sub(hex, 21, 32)
end


local function factory(digest, version)
    return function(namespace)
        if not _M.is_valid(namespace) then
            return nil, "namespace must be a valid UUID"
        end
        local prefix = from_hex((gsub(namespace, "-", "")))
        return function(name)
            if type(name) ~= "string" then
                return nil, "name must be a string"
            end
            return from_digest(digest(prefix .. name), version)
        end
    end
end


_M.factory_v3 = factory(crypto.md5_bin, 3)
_M.factory_v5 = factory(crypto.sha1_bin, 5)


local function by_name(make)
    return function(namespace, name)
        local generate, err = make(namespace)
        if not generate then
            return nil, err
        end
        return generate(name)
    end
end


_M.generate_v3 = by_name(_M.factory_v3)
_M.generate_v5 = by_name(_M.factory_v5)


return setmetatable(_M, {
    __call = function()
        return _M.generate_v4()
    end,
})
