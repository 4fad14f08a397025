--- `resty.kafka.scram`: SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802).
-- @module resty.kafka.scram
local host = require("moongate.host")
local kdf = require("resty.openssl.kdf")

local b64_decode = host.crypto.base64_decode
local b64_encode = host.crypto.base64_encode
local bit = require("bit")
local byte = string.byte
local char = string.char
local digest = host.crypto.digest
local gsub = string.gsub
local hmac = host.crypto.hmac
local match = string.match
local random_bytes = host.crypto.random_bytes
local tonumber = tonumber

local HASHES = { ["SCRAM-SHA-256"] = { "sha256", 32 }, ["SCRAM-SHA-512"] = { "sha512", 64 } }

-- More rounds than servers use would hold the worker.
local ROUNDS_MAX = 100000

local _M = {}


local function xor(a, b)
    return (gsub(a, "()(.)", function(at, one)
        return char(bit.bxor(byte(one), byte(b, at)))
    end))
end


--- Logs in.
-- @tparam table sasl `mechanism`, `user`, `password`
-- @tparam function step sends a text and gives the server's
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.login(sasl, step)
    local hash = HASHES[sasl.mechanism]
    if not hash then
        return nil, "not supported: mechanism " .. tostring(sasl.mechanism)
    end
    local nonce = b64_encode(random_bytes(18))
    local name = gsub(gsub(sasl.user, "=", "=3D"), ",", "=2C")
    local first = "n=" .. name .. ",r=" .. nonce
    local server, err = step("n,," .. first)
    if not server then
        return nil, err
    end
    local both, salt, rounds = match(server, "^r=([^,]+),s=([^,]+),i=(%d+)")
    rounds = tonumber(rounds)
    if not both or both:sub(1, #nonce) ~= nonce or rounds > ROUNDS_MAX then
        return nil, "the server's first message is not to be trusted"
    end
    local salted
    salted, err = kdf.derive({ type = kdf.PBKDF2, md = hash[1], pass = sasl.password,
                               salt = b64_decode(salt) or "", pbkdf2_iter = rounds,
                               outlen = hash[2] })
    if not salted then
        return nil, err
    end
    local client_key = hmac(hash[1], salted, "Client Key")
    local last = "c=biws,r=" .. both
    local text = first .. "," .. server .. "," .. last
    local proof = xor(client_key, hmac(hash[1], digest(hash[1], client_key), text))
    server, err = step(last .. ",p=" .. b64_encode(proof))
    if not server then
        return nil, err
    end
    local expected = b64_encode(hmac(hash[1], hmac(hash[1], salted, "Server Key"), text))
    if match(server, "^v=([^,]+)") ~= expected then
        return nil, "the server does not know the password"
    end
    return true
end


return _M
