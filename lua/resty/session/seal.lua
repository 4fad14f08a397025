--- How a session becomes a text that only this gateway can read and make.
-- @module resty.session.seal
local cjson = require("cjson.safe")
local host = require("moongate.host")

local b64_decode = host.crypto.base64url_decode
local b64_encode = host.crypto.base64url_encode
local cipher = host.cipher
local digest = host.crypto.digest
local hmac = host.crypto.hmac
local ipairs = ipairs
local random_bytes = host.crypto.random_bytes
local sub = string.sub
local type = type

local NONCE_BYTES = 12
local TAG_BYTES = 16
local KEY_BYTES = 32

local VERSION = "\1"

local _M = {}


-- A key for all workers of the process, for who names none. It ends with the process.
local function process_key()
    local dict = ngx.shared["internal-status"]
    local key = dict and dict:get("resty.session.ikm")
    if not key then
        key = random_bytes(KEY_BYTES)
        if dict and not dict:add("resty.session.ikm", key) then
            key = dict:get("resty.session.ikm") or key
        end
    end
    return key
end


local function derive(material)
    return hmac("sha256", material, "moongate session 1")
end


--- The keys of a configuration: the first seals, all open.
function _M.keys(settings)
    local keys = {}
    local function add(material)
        if #material ~= KEY_BYTES then
            error("resty.session: ikm must have 32 bytes", 4)
        end
        keys[#keys + 1] = derive(material)
    end
    if settings.ikm then
        add(settings.ikm)
    elseif type(settings.secret) == "string" then
        add(digest("sha256", settings.secret))
    else
        add(process_key())
    end
    for _, material in ipairs(settings.ikm_fallbacks or {}) do
        add(material)
    end
    for _, secret in ipairs(settings.secret_fallbacks or {}) do
        add(digest("sha256", secret))
    end
    return keys
end


-- What else must be as it was: the cookie's name, and what the session is bound to.
local function circumstances(settings)
    local text = settings.cookie_name
    for _, name in ipairs(settings.bind or {}) do
        if name == "ip" then
            text = text .. "|" .. (ngx.var.remote_addr or "")
        elseif name == "scheme" then
            text = text .. "|" .. (ngx.var.scheme or "")
        else
            text = text .. "|" .. (ngx.var["http_" .. name:gsub("-", "_"):lower()] or "")
        end
    end
    return text
end


--- Seals.
-- @treturn string|nil
-- @treturn nil|string error
function _M.seal(keys, info, settings)
    local copy = {}
    for name, value in pairs(info) do
        copy[name] = value
    end
    copy.id = info.id and b64_encode(info.id)
    local text = cjson.encode(copy)
    if not text then
        return nil, "unable to json encode session data"
    end
    local nonce = random_bytes(NONCE_BYTES)
    local sealed, tag = cipher.seal("gcm", keys[1], nonce, text, circumstances(settings))
    if not sealed then
        return nil, "unable to encrypt session data"
    end
    return b64_encode(VERSION .. nonce .. tag .. sealed)
end


--- Opens.
-- @treturn table|nil
-- @treturn nil|string error
function _M.open(keys, value, settings)
    local bytes = b64_decode(value)
    if not bytes or sub(bytes, 1, 1) ~= VERSION or #bytes < 1 + NONCE_BYTES + TAG_BYTES then
        return nil, "invalid session cookie type"
    end
    local nonce = sub(bytes, 2, NONCE_BYTES + 1)
    local tag = sub(bytes, NONCE_BYTES + 2, NONCE_BYTES + TAG_BYTES + 1)
    local sealed = sub(bytes, NONCE_BYTES + TAG_BYTES + 2)
    for _, key in ipairs(keys) do
        local text = cipher.open("gcm", key, nonce, sealed, circumstances(settings), tag)
        if text then
            local info = cjson.decode(text)
            if type(info) ~= "table" or type(info.data) ~= "table" then
                return nil, "unable to json decode session data"
            end
            info.id = info.id and b64_decode(info.id)
            return info
        end
    end
    return nil, "invalid session message authentication code"
end


return _M
