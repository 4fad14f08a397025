--- `resty.openssl.digest`.
-- @module resty.openssl.digest
local host = require("moongate.host")

local concat = table.concat
local digest = host.crypto.digest
local lower = string.lower
local setmetatable = setmetatable
local type = type

local NAMES = { md5 = true, sha1 = true, sha224 = true, sha256 = true, sha384 = true,
                sha512 = true }

local _M = {}
local mt = { __index = _M }


--- Starts a digest.
-- @tparam[opt="sha1"] string kind
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(kind)
    local name = lower(kind or "sha1"):gsub("^sha%-", "sha")
    if not NAMES[name] then
        return nil, "digest.new: invalid digest type \"" .. tostring(kind) .. "\""
    end
    return setmetatable({ name = name, parts = {} }, mt)
end


function _M.istype(value)
    return type(value) == "table" and getmetatable(value) == mt
end


--- Adds texts.
function _M:update(...)
    for _, text in ipairs({ ... }) do
        self.parts[#self.parts + 1] = text
    end
    return true
end


--- Everything that was added, for who signs it.
function _M:text()
    return concat(self.parts)
end


--- The digest, raw.
function _M:final(text)
    if text then
        self:update(text)
    end
    return digest(self.name, self:text())
end


function _M:reset()
    self.parts = {}
    return true
end


function _M:get_provider_name()
    return "default"
end


return _M
