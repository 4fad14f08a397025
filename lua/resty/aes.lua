--- `resty.aes`: AES with a key from a password, or with key and IV as they are.
-- @module resty.aes
local host = require("moongate.host")

local cipher = host.cipher
local digest = host.crypto.digest
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local type = type

local MODES = { ecb = true, cbc = true, cfb1 = true, cfb128 = true, cfb8 = true, ctr = true,
                gcm = true, ofb = true }

local _M = {
    _VERSION = "0.16",
    hash = { md5 = "md5", sha1 = "sha1", sha224 = "sha224", sha256 = "sha256", sha384 = "sha384",
             sha512 = "sha512" },
}
local mt = { __index = _M }


--- Names a cipher.
-- @tparam[opt=128] number size bits of the key
-- @tparam[opt="cbc"] string mode
-- @treturn table|nil nil if there is none
function _M.cipher(size, mode)
    size, mode = tonumber(size) or 128, mode or "cbc"
    if (size ~= 128 and size ~= 192 and size ~= 256) or not MODES[mode] then
        return nil
    end
    return { size = size, cipher = mode }
end


-- What `EVP_BytesToKey` makes of a password.
local function from_password(hash, password, salt, rounds, key_bytes)
    local made, last = "", ""
    while #made < key_bytes + 16 do
        last = digest(hash, last .. password .. salt)
        for _ = 2, rounds do
            last = digest(hash, last)
        end
        made = made .. last
    end
    return sub(made, 1, key_bytes), sub(made, key_bytes + 1, key_bytes + 16)
end


--- Makes key and IV.
-- @tparam string key a password; the key itself if `hash` is a table with an IV
-- @tparam[opt] string salt 8 bytes
-- @tparam[opt] table kind of `aes.cipher`
-- @tparam[opt] string|table hash a name of `aes.hash`, or `{ iv = ..., method = function|nil }`
-- @tparam[opt=1] number rounds
-- @tparam[opt] number iv_len bytes of the IV
-- @tparam[opt=true] boolean padding
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(key, salt, kind, hash, rounds, iv_len, padding)
    kind = kind or _M.cipher()
    hash = hash or _M.hash.md5
    local bytes, iv = kind.size / 8
    if type(hash) == "table" then
        iv = hash.iv
        if not iv then
            return nil, "iv is needed"
        end
        iv_len = iv_len or (kind.cipher == "gcm" and 12 or 16)
        if hash.method then
            key = hash.method(key)
        elseif #key ~= bytes then
            return nil, "bad key length"
        end
        if #key ~= bytes then
            return nil, "bad key length"
        end
        if #iv > iv_len and kind.cipher ~= "gcm" then
            iv = sub(iv, 1, iv_len)
        end
        if #iv ~= iv_len then
            return nil, "bad iv length"
        end
    else
        if salt and #salt ~= 8 then
            return nil, "salt must be 8 characters or nil"
        end
        key, iv = from_password(hash, key, salt or "", rounds or 1, bytes)
        if kind.cipher == "gcm" then
            iv = sub(iv, 1, 12)
        end
    end
    local mode = kind.cipher == "cfb128" and "cfb" or kind.cipher
    return setmetatable({
        key = key, iv = mode == "ecb" and "" or iv, mode = mode,
        padding = padding ~= false and (mode == "cbc" or mode == "ecb"),
    }, mt)
end


--- Encrypts.
-- @tparam string text
-- @tparam[opt] string aad for GCM
-- @treturn string|table|nil for GCM what is sealed and its tag, in a table
-- @treturn nil|string error
function _M:encrypt(text, aad)
    if self.mode == "gcm" then
        local sealed, tag = cipher.seal("gcm", self.key, self.iv, text, aad or "")
        if not sealed then
            return nil, "EVP_EncryptInit_ex failed"
        end
        return { sealed, tag }
    end
    local made = cipher.encrypt(self.mode, self.key, self.iv, text, self.padding)
    if not made then
        return nil, "EVP_EncryptFinal_ex failed"
    end
    return made
end


--- Decrypts.
-- @tparam string text
-- @tparam[opt] string tag for GCM
-- @tparam[opt] string aad for GCM
-- @treturn string|nil
-- @treturn nil|string error
function _M:decrypt(text, tag, aad)
    local plain
    if self.mode == "gcm" then
        plain = cipher.open("gcm", self.key, self.iv, text, aad or "", tag or "")
    else
        plain = cipher.decrypt(self.mode, self.key, self.iv, text, self.padding)
    end
    if not plain then
        return nil, "EVP_DecryptFinal_ex failed"
    end
    return plain
end


return _M
