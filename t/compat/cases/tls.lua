-- ngx.ssl and ngx.ocsp: what works without a handshake, and what is said where there is none.
local say, try, compat = ...
local fixtures = assert(loadfile(compat.env.cases .. "/../../fixtures/ocsp.lua"))()
local pem = fixtures


local function der(...)
    local ssl = require("ngx.ssl")
    local parts = {}
    for at, name in ipairs({ ... }) do
        parts[at] = assert(ssl.cert_pem_to_der(pem[name]))
    end
    return table.concat(parts)
end


local function response(name)
    return ngx.decode_base64((fixtures[name]:gsub("%s", "")))
end


local function validated(...)
    return require("ngx.ocsp").validate_ocsp_response(...)
end


return {
    ["cert_pem_to_der"] = function()
        local ssl = require("ngx.ssl")
        say(ngx.md5(ssl.cert_pem_to_der(pem.leaf)), ngx.md5(ssl.cert_pem_to_der(pem.ca)))
        say(ngx.md5(ssl.cert_pem_to_der(pem.leaf .. pem.ca)))
        say(ngx.md5(ssl.cert_pem_to_der("text before\n" .. pem.leaf .. "text after\n")))
        say(#ssl.cert_pem_to_der(pem.leaf .. "\n\n" .. pem.ca .. pem.other))
    end,
    ["cert_pem_to_der: what is none"] = function()
        local ssl = require("ngx.ssl")
        say(try(ssl.cert_pem_to_der, ""))
        say(try(ssl.cert_pem_to_der, "nothing"))
        say(try(ssl.cert_pem_to_der, pem.leaf_key))
        say((ssl.cert_pem_to_der(pem.leaf:sub(1, -60))))
        say((try(ssl.cert_pem_to_der, nil)))
        say((ssl.cert_pem_to_der("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")))
    end,
    ["priv_key_pem_to_der"] = function()
        local ssl = require("ngx.ssl")
        local key = ssl.priv_key_pem_to_der(pem.leaf_key)
        say(#key, ngx.md5(key))
        say(try(ssl.priv_key_pem_to_der, ""))
        say(try(ssl.priv_key_pem_to_der, pem.leaf))
        say((try(ssl.priv_key_pem_to_der, nil)))
    end,
    ["parse_pem_*"] = function()
        local ssl = require("ngx.ssl")
        say(ssl.parse_pem_cert(pem.leaf .. pem.ca) ~= nil, ssl.parse_pem_priv_key(pem.leaf_key) ~= nil)
        say(try(ssl.parse_pem_cert, ""))
        say(try(ssl.parse_pem_cert, pem.leaf_key))
        say(try(ssl.parse_pem_priv_key, pem.leaf))
        say(try(ssl.parse_pem_priv_key, "x"))
    end,
    ["no handshake: what changes it"] = function()
        local ssl = require("ngx.ssl")
        say(try(ssl.clear_certs))
        say(try(ssl.set_der_cert, der("leaf")))
        say(try(ssl.set_der_priv_key, ssl.priv_key_pem_to_der(pem.leaf_key)))
        say(try(ssl.set_cert, ssl.parse_pem_cert(pem.leaf)))
        say(try(ssl.set_priv_key, ssl.parse_pem_priv_key(pem.leaf_key)))
    end,
    ["no handshake: what asks about it"] = function()
        local ssl = require("ngx.ssl")
        say(try(ssl.server_name))
        say(try(ssl.raw_server_addr))
        say(try(ssl.raw_client_addr))
        say(try(ssl.get_tls1_version))
        say(try(ssl.get_tls1_version_str))
    end,
    ["no handshake: verify_client"] = function()
        local ssl = require("ngx.ssl")
        say(try(ssl.verify_client, ssl.parse_pem_cert(pem.ca), 1))
    end,
    ["ocsp: responder"] = function()
        local ocsp = require("ngx.ocsp")
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("leaf", "ca")))
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("leaf", "ca"), 200))
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("leaf", "ca"), 10))
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("plain", "ca")))
    end,
    ["ocsp: responder of a bad chain"] = function()
        local ocsp = require("ngx.ocsp")
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("leaf")))
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("leaf", "other")))
        say(try(ocsp.get_ocsp_responder_from_der_chain, der("leaf", "other", "ca")))
        say(try(ocsp.get_ocsp_responder_from_der_chain, ""))
        say(try(ocsp.get_ocsp_responder_from_der_chain, "nothing"))
        say((try(ocsp.get_ocsp_responder_from_der_chain, nil)))
    end,
    ["ocsp: request"] = function()
        local ocsp = require("ngx.ocsp")
        for _, name in ipairs({ "leaf", "plain", "gone" }) do
            local request, err = ocsp.create_ocsp_request(der(name, "ca"))
            say(name, ngx.encode_base64(request or ""), err)
        end
    end,
    ["ocsp: request that cannot be"] = function()
        local ocsp = require("ngx.ocsp")
        say(try(ocsp.create_ocsp_request, der("leaf", "ca"), 10))
        say(try(ocsp.create_ocsp_request, der("leaf")))
        say(try(ocsp.create_ocsp_request, der("leaf", "other")))
        say(try(ocsp.create_ocsp_request, ""))
        say(try(ocsp.create_ocsp_request, "x"))
        say((try(ocsp.create_ocsp_request, nil)))
    end,
    ["ocsp: response: good"] = function()
        say(try(validated, response("good"), der("leaf", "ca")))
    end,
    ["ocsp: response: not good"] = function()
        say(try(validated, response("revoked"), der("gone", "ca")))
        say(try(validated, response("unknown"), der("plain", "ca")))
        say(try(validated, response("old"), der("leaf", "ca")))
    end,
    ["ocsp: response about another"] = function()
        say(try(validated, response("good"), der("gone", "ca")))
        say(try(validated, response("good"), der("plain", "ca")))
    end,
    ["ocsp: response by a stranger"] = function()
        say((try(validated, response("stranger"), der("leaf", "ca"))))
    end,
    ["ocsp: response that was changed"] = function()
        local text = response("good")
        for _, at in ipairs({ 120, #text - 20 }) do
            local byte = string.char((text:byte(at) + 1) % 256)
            say((validated(text:sub(1, at - 1) .. byte .. text:sub(at + 1), der("leaf", "ca"))))
        end
    end,
    ["ocsp: response that is none"] = function()
        say(try(validated, "", der("leaf", "ca")))
        say(try(validated, "nothing", der("leaf", "ca")))
        say(try(validated, response("good"):sub(1, 100), der("leaf", "ca")))
        -- tryLater and unauthorized, as responders send them.
        say(try(validated, "\48\3\10\1\3", der("leaf", "ca")))
        say(try(validated, "\48\3\10\1\6", der("leaf", "ca")))
        say((try(validated, nil, der("leaf", "ca"))))
    end,
    ["ocsp: response and a bad chain"] = function()
        say(try(validated, response("good"), der("leaf")))
        say(try(validated, response("good"), der("leaf", "other")))
        say(try(validated, response("good"), ""))
        say(try(validated, response("revoked"), der("gone", "ca"), 11))
    end,
}
