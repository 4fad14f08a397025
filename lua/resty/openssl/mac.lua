--- `resty.openssl.mac`: message authentication codes. HMAC is the only kind there is.
-- @module resty.openssl.mac
local digest = require("resty.openssl.digest")
local host = require("moongate.host")

local collected = digest.text
local hmac = host.crypto.hmac
local lower = string.lower
local setmetatable = setmetatable
local tostring = tostring
local type = type
local upper = string.upper

local _M = {}
local mt = { __index = _M }


--- Starts a code.
-- @tparam string key
-- @tparam string kind "HMAC"
-- @tparam nil cipher for kinds that are not offered
-- @tparam string name of the digest
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(key, kind, cipher, name)
    if type(key) ~= "string" then
        return nil, "mac.new: expect a string at #1"
    elseif type(kind) ~= "string" or upper(kind) ~= "HMAC" then
        return nil, "mac.new: not supported: " .. tostring(kind)
    end
    local kept = lower(name or "sha256"):gsub("^sha%-", "sha")
    if not hmac(kept, "", "") then
        return nil, "mac.new: invalid digest type \"" .. tostring(name) .. "\""
    end
    return setmetatable({ key = key, name = kept, parts = {} }, mt)
end


function _M.istype(value)
    return type(value) == "table" and getmetatable(value) == mt
end


-- Texts are collected as for a digest.
_M.update = digest.update
_M.reset = digest.reset
_M.get_provider_name = digest.get_provider_name


--- The code, raw.
function _M:final(text)
    if text then
        self:update(text)
    end
    return hmac(self.name, self.key, collected(self))
end


return _M
