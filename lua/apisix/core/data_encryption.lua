--- `core.data_encryption`: the keyring of `apisix.data_encryption`, with which fields that plugins
-- keep secret are stored. The gateway uses it by itself; here it is for texts of one's own.
-- @module apisix.core.data_encryption
local aes = require("resty.aes")
local host = require("moongate.host")
local log = require("apisix.core.log")

local decode_base64 = ngx.decode_base64
local encode_base64 = ngx.encode_base64
local ipairs = ipairs
local type = type

-- Bytes of a key -> bits of its cipher.
local BITS = { [16] = 128, [32] = 256 }

local _M = {}


--- Ciphers for keys of 16 or 32 bytes, each its own initial vector. Other keys are left out and
-- told by their place.
-- @tparam string|{string,...} keys
function _M.init_iv_tbl(keys)
    local ring = {}
    keys = type(keys) == "table" and keys or { keys }
    for at, key in ipairs(keys) do
        local bits = type(key) == "string" and BITS[#key]
        local cipher, err
        if bits then
            cipher, err = aes:new(key, nil, aes.cipher(bits, "cbc"), { iv = key })
        end
        if cipher then
            ring[#ring + 1] = cipher
        else
            log.error("ignored data_encryption keyring entry ", at, ": ",
                      err or "expected a key of 16 or 32 bytes")
        end
    end
    return ring
end


--- `value` by the first cipher, in base64.
-- @treturn string|nil
-- @treturn nil|string error
function _M.aes_cbc_encrypt(ring, value)
    if not ring[1] then
        return nil, "no keyring configured"
    end
    local encrypted = ring[1]:encrypt(value)
    if not encrypted then
        return nil, "failed to encrypt"
    end
    return encode_base64(encrypted)
end


--- What `value` was, by the first cipher that fits.
-- @tparam table ring
-- @tparam string value in base64
-- @tparam[opt] string subject what it is, for the error
-- @treturn string|nil
-- @treturn nil|string error
function _M.aes_cbc_decrypt(ring, value, subject)
    local what = subject and subject .. " " or ""
    local bytes = decode_base64(value)
    if not bytes then
        return nil, "base64 decode " .. what .. "failed"
    end
    for _, cipher in ipairs(ring) do
        local text = cipher:decrypt(bytes)
        if text then
            return text
        end
    end
    return nil, "decrypt " .. what .. "failed"
end


local own, own_conf

local function keyring()
    local conf = host.conf_local()
    if own_conf ~= conf then
        local encryption = conf.apisix and conf.apisix.data_encryption
        own, own_conf = _M.init_iv_tbl(encryption and encryption.keyring), conf
    end
    return own
end


--- `value` as it may be stored; itself where there is no key.
function _M.encrypt(value)
    local ring = keyring()
    local encrypted, err
    if ring[1] then
        encrypted, err = _M.aes_cbc_encrypt(ring, value)
    end
    if err then
        log.error("failed to encrypt the data: ", err)
    end
    return encrypted or value
end


--- What `encrypt` made `value` of; itself where there is no key.
-- @treturn string|nil
-- @treturn nil|string error
function _M.decrypt(value, subject)
    local ring = keyring()
    if not ring[1] then
        return value
    end
    return _M.aes_cbc_decrypt(ring, value, subject)
end


return _M
