--- What `resty.md5`, `resty.sha256` and the others have in common.
-- @module resty.digest
local host = require("moongate.host")

local hasher = host.crypto.hasher
local setmetatable = setmetatable
local sub = string.sub

local _M = {}


--- The functions of one digest module.
-- @tparam string name "md5", "sha1", "sha224", "sha256", "sha384" or "sha512"
function _M.module(name)
    local module = { version = "0.16" }
    local mt = { __index = module }


    function module.new()
        return setmetatable({ hasher = hasher(name) }, mt)
    end


    --- Adds text, or its first `length` bytes.
    function module:update(text, length)
        if length and length < #text then
            text = sub(text, 1, length)
        end
        self.hasher:update(text)
        return true
    end


    --- The digest, raw.
    function module:final()
        return self.hasher:final()
    end


    function module:reset()
        self.hasher:reset()
        return true
    end


    return module
end


return _M
