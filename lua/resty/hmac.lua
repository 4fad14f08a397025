--- `resty.hmac`.
-- @module resty.hmac
local host = require("moongate.host")
local to_hex = require("resty.string").to_hex

local concat = table.concat
local error = error
local hmac = host.crypto.hmac
local setmetatable = setmetatable

local NAMES = { md5 = true, sha1 = true, sha256 = true, sha512 = true }

local _M = {
    ALGOS = { MD5 = "md5", SHA1 = "sha1", SHA256 = "sha256", SHA512 = "sha512" },
}
local mt = { __index = _M }


--- Starts a code.
-- @tparam string key
-- @tparam[opt="md5"] string algorithm one of `ALGOS`
function _M:new(key, algorithm)
    algorithm = algorithm or "md5"
    if not NAMES[algorithm] then
        error("unknown algorithm", 2)
    end
    return setmetatable({ key = key, algorithm = algorithm, parts = {} }, mt)
end


function _M:update(text)
    self.parts[#self.parts + 1] = text
    return true
end


--- The code.
-- @tparam[opt] string text more of the message
-- @tparam[opt] boolean hex as digits instead of raw
function _M:final(text, hex)
    if text then
        self:update(text)
    end
    local code = hmac(self.algorithm, self.key, concat(self.parts))
    self.parts = {}
    return hex and to_hex(code) or code
end


--- Forgets the message; the key stays.
function _M:reset()
    self.parts = {}
    return true
end


return _M
