--- `apisix.ssl`: checks of certificates and keys. Handshakes are answered in Rust.
-- @module apisix.ssl
local keys = require("moongate.keys")
local schema_def = require("apisix.schema_def")
local core = require("apisix.core")
local unsupported = require("moongate.unsupported")

local ipairs = ipairs

local _M = {}


--- Whether a certificate and a key are readable and belong together.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.validate(cert, key)
    local public, err = keys.from_pem(cert)
    if not public then
        return nil, "failed to parse cert: " .. err
    end
    if key == nil then
        return true
    end
    local private
    private, err = keys.from_pem(key)
    if not private then
        return nil, "failed to parse key: " .. err
    elseif private.spki ~= public.spki then
        return nil, "key and cert mismatch"
    end
    return true
end


--- Checks an `ssl` object.
-- @tparam boolean in_dp kept for the original's signature
-- @tparam table conf
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.check_ssl_conf(in_dp, conf)
    local ok, err = core.schema.check(schema_def.ssl, conf)
    if not ok then
        return nil, "invalid configuration: " .. err
    end
    ok, err = _M.validate(conf.cert, conf.key)
    if not ok then
        return nil, err
    end
    if #(conf.certs or {}) ~= #(conf.keys or {}) then
        return nil, "mismatched number of certs and keys"
    end
    for i, cert in ipairs(conf.certs or {}) do
        ok, err = _M.validate(cert, conf.keys[i])
        if not ok then
            return nil, "failed to handle cert-key pair[" .. i .. "]: " .. err
        end
    end
    return true
end


local WHY = "not available: handshakes are answered in Rust"

return unsupported.fill(_M, "apisix.ssl.", {
    "fetch_cert", "fetch_pkey", "server_name", "session_hostname", "set_protocols_by_clienthello",
    "set_cert_and_key", "aes_encrypt_pkey", "aes_decrypt_pkey",
}, WHY)
