--- `ngx.ocsp`: asks and answers about revoked certificates. Stapling itself is done in Rust.
--
-- Chains are certificates in DER one after the other, the leaf first.
-- @module ngx.ocsp
local asn1 = require("moongate.asn1")
local host = require("moongate.host")
local unsupported = require("moongate.unsupported")
local x509 = require("moongate.x509")

local byte = string.byte
local concat = table.concat
local error = error
local ipairs = ipairs
local match = string.match
local sha1 = host.crypto.sha1_bin
local sub = string.sub
local time = host.time.time
local tonumber = tonumber
local type = type

local SHA1 = "1.3.14.3.2.26"
local OCSP = "1.3.6.1.5.5.7.48.1"
local BASIC = "1.3.6.1.5.5.7.48.1.1"
local OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
local URL_TAG = 0x86
-- How far the clocks of client and responder may be apart, in seconds.
local CLOCKS_APART = 300

local STATUSES = { [0] = "successful", "malformedrequest", "internalerror", "trylater", [5] =
    "sigrequired", [6] = "unauthorized" }
local CERT_STATUSES = { [0x80] = "good", [0xa1] = "revoked", [0x81] = "revoked",
    [0x82] = "unknown" }

local _M = unsupported.fill({ version = "0.1.28" }, "ngx.ocsp.", { "set_ocsp_status_resp" },
    "not available in moongate: it belongs to a TLS handshake, and handshakes are answered from "
    .. "the ssl objects, without Lua")


local function checked(name, value, at)
    if type(value) ~= "string" then
        error("bad argument #" .. at .. " to '" .. name .. "' (string expected, got " .. type(value)
              .. ")", 3)
    end
end


-- Leaf and issuer of a chain, or nil and what is wrong with it. Who asks need not know yet whether
-- the second one really is the issuer.
local function pair_of(chain, asks)
    local certs = x509.chain(chain)
    if not certs or not certs[1] then
        return nil, "d2i_X509_bio() failed"
    elseif not certs[2] then
        return nil, "no issuer certificate in chain"
    elseif not asks and not x509.is_issuer(certs[2], certs[1]) then
        return nil, "issuer certificate not next to leaf"
    end
    return certs[1], certs[2], certs
end


local function responder_of(cert)
    local info = asn1.read(cert.extensions[x509.AUTHORITY_INFO] or "")
    for _, access in ipairs(info or {}) do
        local method, where = access[1], access[2]
        if where and where.tag == URL_TAG and asn1.oid_text(method.bytes) == OCSP then
            return where.bytes
        end
    end
end


--- The address that a chain's first certificate names for questions about it.
-- @tparam string chain
-- @tparam[opt] number max bytes
-- @treturn string|nil nil without an error if it names none
-- @treturn nil|string error, or "truncated"
function _M.get_ocsp_responder_from_der_chain(chain, max)
    checked("get_ocsp_responder_from_der_chain", chain, 1)
    local leaf, err = pair_of(chain)
    if not leaf then
        return nil, err
    end
    local url = responder_of(leaf)
    if not url then
        return nil
    end
    if max and #url > max then
        return sub(url, 1, max), "truncated"
    end
    return url
end


-- Who is asked about: name and key of the issuer as digests, and the number it gave.
local function id_of(leaf, issuer)
    return {
        name = sha1(leaf.issuer),
        key = sha1(issuer.key_bits),
        serial = leaf.serial,
    }
end


--- A question for the responder, in DER.
-- @treturn string|nil
-- @treturn nil|string error
function _M.create_ocsp_request(chain, max)
    checked("create_ocsp_request", chain, 1)
    local leaf, issuer = pair_of(chain, true)
    if not leaf then
        return nil, issuer
    end
    local id = id_of(leaf, issuer)
    local algorithm = asn1.sequence(asn1.oid(SHA1), asn1.write(asn1.NULL))
    local name = asn1.sequence(algorithm, asn1.octets(id.name), asn1.octets(id.key),
                               asn1.write(asn1.INTEGER, id.serial))
    local request = asn1.sequence(asn1.sequence(asn1.sequence(asn1.sequence(name))))
    if max and #request > max then
        return nil, "output buffer too small: " .. #request .. " > " .. max
    end
    return request
end


-- Seconds since 1970 of "YYYYMMDDHHMMSSZ".
local function seconds_of(node)
    local text = node and node.tag == asn1.TIME and node.bytes or ""
    local year, month, day, hour, minute, second = match(text,
        "^(%d%d%d%d)(%d%d)(%d%d)(%d%d)(%d%d)(%d%d)Z$")
    if not year then
        return nil
    end
    local y, m = tonumber(year), tonumber(month)
    if m <= 2 then
        y, m = y - 1, m + 12
    end
    -- Days by counting years from March on, so that leap days come last.
    local days = 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
                 + math.floor((153 * (m - 3) + 2) / 5) + tonumber(day) - 1 - 719468
    return ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)
end


-- The parts of a basic answer; nil if it is none.
local function basic_of(bytes)
    local node = asn1.read(bytes)
    local data = node and node[1]
    if not data or not node[3] or node[3].tag ~= asn1.BIT_STRING then
        return nil
    end
    local at = data[1] and data[1].tag == 0xa0 and 2 or 1
    if not data[at] or not data[at + 2] then
        return nil
    end
    return {
        signed = data.all,
        responder = data[at],
        answers = data[at + 2],
        algorithm = node[2],
        signature = sub(node[3].bytes, 2),
        certs = node[4] and node[4].tag == 0xa0 and node[4][1] or {},
    }
end


local function is_responder(cert, responder)
    local inner = responder[1]
    if not inner then
        return false
    elseif responder.tag == 0xa1 then
        return cert.subject == inner.all
    end
    return responder.tag == 0xa2 and sha1(cert.key_bits) == inner.bytes
end


-- Whether the issuer lets `cert` answer for it.
local function may_answer(cert, issuer)
    if cert.der == issuer.der then
        return true
    end
    local usage = asn1.read(cert.extensions[x509.EXTENDED_USAGE] or "")
    for _, purpose in ipairs(usage or {}) do
        if asn1.oid_text(purpose.bytes) == OCSP_SIGNING then
            return x509.is_issuer(issuer, cert)
                   and x509.verify(issuer, cert.algorithm, cert.signed, cert.signature)
        end
    end
    return false
end


local function is_signed(basic, certs)
    local issuer, candidates = certs[2], {}
    for _, node in ipairs(basic.certs) do
        candidates[#candidates + 1] = x509.of_node(node)
    end
    for _, cert in ipairs(certs) do
        candidates[#candidates + 1] = cert
    end
    for _, cert in ipairs(candidates) do
        if is_responder(cert, basic.responder) then
            return may_answer(cert, issuer)
                   and x509.verify(cert, basic.algorithm, basic.signed, basic.signature)
        end
    end
    return false
end


local function answer_about(basic, id)
    for _, answer in ipairs(basic.answers) do
        local name = answer[1]
        if name and name[4] and answer[3] and name[1][1]
            and asn1.oid_text(name[1][1].bytes) == SHA1 and name[2].bytes == id.name
            and name[3].bytes == id.key and name[4].bytes == id.serial
        then
            return answer
        end
    end
end


local function is_current(answer)
    local this, now = seconds_of(answer[3]), time()
    local following = answer[4] and answer[4].tag == 0xa0 and answer[4][1]
    if not this or this > now + CLOCKS_APART then
        return false
    end
    if not following then
        return true
    end
    local next_update = seconds_of(following)
    return next_update ~= nil and next_update >= now - CLOCKS_APART and next_update >= this
end


local function check(response, chain)
    local node = asn1.read(response)
    local status = node and node[1]
    if not status or #status.bytes ~= 1 then
        return "d2i_OCSP_RESPONSE() failed"
    end
    local number = byte(status.bytes)
    if number ~= 0 then
        return concat({ "OCSP response not successful (", number, ": ",
                        STATUSES[number] or "(UNKNOWN)", ")" })
    end
    local bytes = node[2] and node[2][1]
    local basic = bytes and bytes[2] and asn1.oid_text(bytes[1].bytes) == BASIC
                  and basic_of(bytes[2].bytes)
    if not basic then
        return "OCSP_response_get1_basic() failed"
    end

    local leaf, issuer, certs = pair_of(chain)
    if not leaf then
        return issuer
    elseif not is_signed(basic, certs) then
        return "OCSP_basic_verify() failed"
    end
    local answer = answer_about(basic, id_of(leaf, issuer))
    if not answer then
        return "certificate status not found in the OCSP response"
    end
    local said = CERT_STATUSES[answer[2].tag] or "(UNKNOWN)"
    if said ~= "good" then
        return "certificate status \"" .. said .. "\" in the OCSP response"
    elseif not is_current(answer) then
        return "OCSP_check_validity() failed"
    end
end


--- Whether an answer says that the first certificate of a chain is good, now, and who says so
-- may: the issuer, or somebody whom it lets answer.
-- @tparam string response DER
-- @tparam string chain
-- @tparam[opt] number max bytes of the error
-- @treturn boolean|nil true
-- @treturn nil|string error
function _M.validate_ocsp_response(response, chain, max)
    checked("validate_ocsp_response", response, 1)
    checked("validate_ocsp_response", chain, 2)
    local err = check(response, chain)
    if err then
        return nil, max and sub(err, 1, max) or err
    end
    return true
end


return _M
