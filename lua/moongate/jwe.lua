--- Encrypted JSON Web Tokens, for `resty.jwt`: `dir` and `RSA-OAEP-256`, with A128CBC-HS256,
-- A256CBC-HS512 or A256GCM.
-- @module moongate.jwe
local cjson = require("cjson.safe")
local host = require("moongate.host")
local pkey = require("resty.openssl.pkey")

local b64_decode = host.crypto.base64url_decode
local b64_encode = host.crypto.base64url_encode
local char = string.char
local cipher = host.cipher
local concat = table.concat
local error = error
local floor = math.floor
local hmac = host.crypto.hmac
local random_bytes = host.crypto.random_bytes
local rep = string.rep
local sub = string.sub
local tostring = tostring
local type = type

local OAEP = 4

-- Bytes of the whole key, digest of the code over the text, bytes of that code.
local ENCODINGS = {
    ["A128CBC-HS256"] = { bytes = 32, hash = "sha256", tag = 16 },
    ["A256CBC-HS512"] = { bytes = 64, hash = "sha512", tag = 32 },
    A256GCM = { bytes = 32 },
}

local _M = {}


local function refuse(text)
    error({ reason = text }, 0)
end


local function encoding_of(header)
    local encoding = ENCODINGS[header.enc]
    if not encoding then
        refuse("unsupported enc: " .. tostring(header.enc))
    end
    return encoding
end


-- The number of bits of a text in eight bytes.
local function bits(text)
    local number, bytes = #text * 8, ""
    while number > 0 do
        bytes = char(number % 256) .. bytes
        number = floor(number / 256)
    end
    return rep("\0", 8 - #bytes) .. bytes
end


local function code(encoding, key, aad, iv, text)
    local half = sub(key, 1, encoding.bytes / 2)
    return sub(hmac(encoding.hash, half, aad .. iv .. text .. bits(aad)), 1, encoding.tag)
end


local function encrypt(encoding, key, aad, text)
    if not encoding.hash then
        local iv = random_bytes(12)
        local sealed, tag = cipher.seal("gcm", key, iv, text, aad)
        return iv, sealed, tag
    end
    local iv = random_bytes(16)
    local sealed, err = cipher.encrypt("cbc", sub(key, encoding.bytes / 2 + 1), iv, text, true)
    if not sealed then
        refuse("error while encrypting payload. Error: " .. err)
    end
    return iv, sealed, code(encoding, key, aad, iv, sealed)
end


local function decrypt(encoding, key, parts, iv, text, tag)
    if not encoding.hash then
        return cipher.open("gcm", key, iv, text, parts[1], tag)
    end
    if code(encoding, key, parts[1], iv, text) ~= tag then
        return nil, "signature mismatch: " .. tostring(parts[5])
    end
    return cipher.decrypt("cbc", sub(key, encoding.bytes / 2 + 1), iv, text, true)
end


--- Makes an encrypted token.
function _M.seal(jwt, secret, token)
    local header = token.header
    local encoding = encoding_of(header)
    local key, sealed_key = secret, ""
    if header.alg == "RSA-OAEP-256" then
        key = random_bytes(encoding.bytes)
        local public, err = pkey.new(secret)
        if not public then
            refuse("Decode secret is not a valid cert/public key: " .. (err or ""))
        end
        sealed_key, err = public:encrypt(key, OAEP, { oaep_md = "sha256" })
        if not sealed_key then
            refuse("failed to encrypt key " .. (err or ""))
        end
    elseif header.alg ~= "dir" then
        refuse("unsupported alg: " .. tostring(header.alg))
    elseif type(key) ~= "string" or #key ~= encoding.bytes then
        refuse("invalid pre-shared key")
    end
    local aad = jwt:jwt_encode(header)
    local payload = token.payload
    if type(payload) == "table" then
        payload = jwt.payload_encoder and jwt.payload_encoder(payload) or cjson.encode(payload)
    end
    local iv, text, tag = encrypt(encoding, key, aad, payload)
    return concat({ aad, b64_encode(sealed_key), b64_encode(iv), b64_encode(text),
                    b64_encode(tag) }, ".")
end


local function key_of(header, secret, sealed_key)
    if header.alg == "dir" then
        return secret or refuse("preshared key must not be null")
    elseif header.alg ~= "RSA-OAEP-256" then
        refuse("invalid algorithm: " .. tostring(header.alg))
    elseif not secret then
        refuse("rsa private key must not be null")
    end
    local private, err = pkey.new(secret)
    if not private then
        refuse("failed to create rsa object: " .. err)
    end
    local key
    key, err = private:decrypt(sealed_key, OAEP, { oaep_md = "sha256" })
    return key or refuse("failed to decrypt key: " .. err)
end


--- Opens an encrypted token, its five parts.
function _M.open(jwt, parts, secret)
    local header = jwt:jwt_decode(parts[1], true)
    if type(header) ~= "table" then
        refuse("invalid header: " .. parts[1])
    end
    if #parts ~= 5 then
        refuse("invalid jwt string")
    end
    local encoding = encoding_of(header)
    local key = key_of(header, secret, b64_decode(parts[2]) or "")
    if type(key) ~= "string" or #key ~= encoding.bytes then
        refuse("invalid pre-shared key")
    end
    local iv, text = b64_decode(parts[3]) or "", b64_decode(parts[4]) or ""
    local plain, err = decrypt(encoding, key, parts, iv, text, b64_decode(parts[5]) or "")
    if not plain then
        refuse("failed to decrypt payload: " .. tostring(err))
    end
    local payload = (jwt.payload_decoder or cjson.decode)(plain)
    return { internal = { sealed = true, encoded_header = parts[1], cipher_text = text, iv = iv,
                          key = secret },
             header = header, payload = payload, signature = b64_decode(parts[5]),
             typ = "JWE", verified = false, valid = true }
end


return _M
