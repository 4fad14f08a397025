--- `resty.openssl.mac`: message authentication codes. HMAC is the only kind there is.
-- @module resty.openssl.mac
local host = require("moongate.host")

local concat = table.concat
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
-- @tparam string digest
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(key, kind, cipher, digest)
    if type(key) ~= "string" then
        return nil, "mac.new: expect a string at #1"
    elseif type(kind) ~= "string" or upper(kind) ~= "HMAC" then
        return nil, "mac.new: not supported: " .. tostring(kind)
    end
    local name = lower(digest or "sha256"):gsub("^sha%-", "sha")
    if not hmac(name, "", "") then
        return nil, "mac.new: invalid digest type \"" .. tostring(digest) .. "\""
    end
    return setmetatable({ key = key, name = name, parts = {} }, mt)
end


function _M.istype(value)
    return type(value) == "table" and getmetatable(value) == mt
end


function _M:update(...)
    for _, text in ipairs({ ... }) do
        self.parts[#self.parts + 1] = text
    end
    return true
end


--- The code, raw.
function _M:final(text)
    if text then
        self:update(text)
    end
    return hmac(self.name, self.key, concat(self.parts))
end


function _M:reset()
    self.parts = {}
    return true
end


function _M:get_provider_name()
    return "default"
end


return _M
