--- `resty.openssl.cipher`: AES in its modes, and ChaCha20-Poly1305.
--
-- What `update` takes is kept and worked on in `final`; `update` therefore returns "".
-- @module resty.openssl.cipher
local host = require("moongate.host")

local concat = table.concat
local digest = host.crypto.digest
local lower = string.lower
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local cipher = host.cipher

local _M = {}
local mt = { __index = _M }


--- A cipher by its name.
-- @tparam string kind for instance "aes-256-cbc"
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(kind)
    if not kind then
        return nil, "cipher.new: expect type to be defined"
    end
    local name = lower(kind)
    local bits, mode = match(name, "^aes%-?(%d+)%-(%w+)$")
    local self = { name = name, key_size = (tonumber(bits) or 0) / 8, mode = mode, iv_size = 16,
                   block_size = 16 }
    if name == "chacha20-poly1305" then
        self.mode, self.key_size, self.iv_size, self.aead = name, 32, 12, true
    elseif mode == "gcm" then
        self.iv_size, self.aead = 12, true
    elseif mode == "ecb" then
        self.iv_size = 0
    end
    -- The other modes make a stream of the block cipher.
    self.block_size = (mode == "cbc" or mode == "ecb") and 16 or 1
    local known = self.aead or mode == "cbc" or mode == "ecb" or mode == "ctr" or mode == "cfb"
                  or mode == "cfb1" or mode == "cfb8" or mode == "ofb"
    if not known or not (self.key_size == 16 or self.key_size == 24 or self.key_size == 32) then
        return nil, "cipher.new: invalid cipher type \"" .. tostring(kind) .. "\""
    end
    return setmetatable(self, mt)
end


function _M.istype(value)
    return type(value) == "table" and getmetatable(value) == mt
end


--- Sets key and IV for `update` and `final`.
-- @tparam string key
-- @tparam string iv
-- @tparam[opt] table opts `is_encrypt`, `no_padding`
function _M:init(key, iv, opts)
    if not key or #key ~= self.key_size then
        return false, "cipher:init: incorrect key size, expect " .. self.key_size
    elseif (not iv and self.iv_size > 0) or #(iv or "") ~= self.iv_size then
        return false, "cipher:init: incorrect iv size, expect " .. self.iv_size
    end
    opts = opts or {}
    self.key, self.iv, self.parts = key, iv or "", {}
    self.encrypting, self.no_padding = opts.is_encrypt, opts.no_padding
    self.aad, self.tag = "", nil
    return true
end


local function padded(self)
    return not self.no_padding and (self.mode == "cbc" or self.mode == "ecb")
end


local function work(self, text)
    if not self.aead then
        return (self.encrypting and cipher.encrypt or cipher.decrypt)(
            self.mode, self.key, self.iv, text, padded(self))
    end
    if self.encrypting then
        local sealed, tag = cipher.seal(self.mode, self.key, self.iv, text, self.aad)
        if not sealed then
            return nil, tag
        end
        self.tag = tag
        return sealed
    end
    return cipher.open(self.mode, self.key, self.iv, text, self.aad, self.tag or "")
end


--- Encrypts a whole text.
-- @treturn string|nil
-- @treturn nil|string error
function _M:encrypt(key, iv, text, no_padding, aad)
    local ok, err = self:init(key, iv, { is_encrypt = true, no_padding = no_padding })
    if not ok then
        return nil, err
    end
    self.aad = aad or ""
    return self:final(text)
end


--- Decrypts a whole text.
function _M:decrypt(key, iv, text, no_padding, aad, tag)
    local ok, err = self:init(key, iv, { is_encrypt = false, no_padding = no_padding })
    if not ok then
        return nil, err
    end
    self.aad, self.tag = aad or "", tag
    return self:final(text)
end


function _M:update_aead_aad(aad)
    if not self.parts then
        return false, "cipher:update_aead_aad: cipher not initalized, call cipher:init first"
    end
    self.aad = self.aad .. aad
    return true
end


--- The tag of what was encrypted, its first bytes if fewer are asked for.
function _M:get_aead_tag(size)
    if not self.tag then
        return nil, "cipher:get_aead_tag: no tag yet, call cipher:final first"
    end
    return sub(self.tag, 1, size or 16)
end


function _M:set_aead_tag(tag)
    if not self.parts then
        return nil, "cipher:set_aead_tag: cipher not initalized, call cipher:init first"
    end
    self.tag = tag
    return true
end


function _M:update(...)
    if not self.parts then
        return nil, "cipher:update: cipher not initalized, call cipher:init first"
    end
    for _, text in ipairs({ ... }) do
        self.parts[#self.parts + 1] = text
    end
    return ""
end


function _M:final(text)
    if not self.parts then
        return nil, "cipher:final: cipher not initalized, call cipher:init first"
    end
    if text then
        self:update(text)
    end
    local done, err = work(self, concat(self.parts))
    self.parts = {}
    if not done then
        return nil, "cipher:final: " .. err
    end
    return done
end


--- Key and IV of a password, as `EVP_BytesToKey` derives them.
-- @tparam string password
-- @tparam[opt] string salt 8 bytes
-- @tparam[opt=1] number count rounds
-- @tparam[opt="sha1"] string md
-- @treturn string key
-- @treturn string iv
function _M:derive(password, salt, count, md)
    local made, last = "", ""
    while #made < self.key_size + self.iv_size do
        last = digest(md or "sha1", last .. password .. sub(salt or "", 1, 8))
        for _ = 2, count or 1 do
            last = digest(md or "sha1", last)
        end
        made = made .. last
    end
    return sub(made, 1, self.key_size), sub(made, self.key_size + 1, self.key_size + self.iv_size)
end


function _M:get_provider_name()
    return "default"
end


--- Kept for the original's signature; there is no buffer to size.
function _M.set_buffer_size()
    return true
end


return _M
