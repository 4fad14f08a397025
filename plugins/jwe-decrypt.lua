--- Decrypts a token (JWE, `dir` with A256GCM) in a request header and hands its text on.
--
-- Runs in `rewrite`. The `kid` of the token names the consumer whose `secret` it is encrypted
-- with; the text goes upstream in `forward_header`. A request without a token gets 403, unless
-- `strict` is false, and one with a bad token 400, both with `{"message":"..."}`.
local aes = require("resty.aes")
local base64 = require("ngx.base64")
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local secret = require("apisix.secret")

local decode = base64.decode_base64url
local find = string.find
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local type = type

local NAME = "jwe-decrypt"
local CIPHER = aes.cipher(256, "gcm")
local KEY_BYTES = 32

local schema = {
    type = "object",
    properties = {
        header = { type = "string", default = "Authorization" },
        forward_header = { type = "string", default = "Authorization" },
        strict = { type = "boolean", default = true },
    },
    required = { "header", "forward_header" },
}

local SECRETS = { "key", "secret" }

local consumer_schema = {
    type = "object",
    encrypt_fields = SECRETS,
    required = SECRETS,
    properties = {
        is_base64_encoded = { type = "boolean" },
        key = { type = "string" },
        secret = { type = "string" },
    },
}

local _M = {
    version = 0.1,
    priority = 2509,
    type = "auth",
    name = NAME,
    schema = schema,
    consumer_schema = consumer_schema,
}

-- Conf of a consumer -> its secret as bytes.
local secrets = setmetatable({}, { __mode = "k" })


function _M.check_schema(conf, schema_type)
    if schema_type ~= core.schema.TYPE_CONSUMER then
        return core.schema.check(schema, conf)
    end
    local ok, err = core.schema.check(consumer_schema, conf)
    if not ok then
        return false, err
    end

    if secret.is_secret_ref(conf.secret) then
        return true
    elseif not conf.is_base64_encoded then
        if #conf.secret ~= KEY_BYTES then
            return false, "the secret length should be 32 chars"
        end
    elseif #(decode(conf.secret) or "") ~= KEY_BYTES then
        return false, "the secret length after base64 decode should be 32 chars"
    end
    return true
end


local function secret_of(conf)
    local bytes = secrets[conf]
    if not bytes then
        bytes = conf.secret
        if conf.is_base64_encoded then
            bytes = decode(bytes) or ""
        end
        secrets[conf] = bytes
    end
    return bytes
end


local function consumer_of(kid)
    local consumers = consumer_mod.plugin(NAME)
    if not consumers or type(kid) ~= "string" then
        return nil
    end
    return consumer_mod.consumers_kv(NAME, consumers, "key")[kid]
end


-- The parts of the token: header (a table), IV, text and tag; nil if it is none. The second
-- part, an encrypted key, has no meaning with `dir`.
local function parse(token)
    local header, iv, text, tag = match(token, "^([^.]*)%.[^.]*%.([^.]*)%.([^.]*)%.(.*)$")
    local json = header and decode(header)
    local fields = json and core.json.decode(json)
    if type(fields) == "table" then
        return fields, iv, text, tag
    end
    return nil
end


local function decrypt(consumer, iv, text, tag)
    iv, text, tag = decode(iv), decode(text), decode(tag)
    if not (iv and text and tag) then
        return nil, "a part is not in base64url"
    end
    local opened, err = aes:new(secret_of(consumer.auth_conf), nil, CIPHER, { iv = iv })
    if not opened then
        return nil, err
    end
    return opened:decrypt(text, tag)
end


local function refuse(message)
    return 400, { message = message }
end


function _M.rewrite(conf, ctx)
    local token = core.request.header(ctx, conf.header)
    if not token then
        if conf.strict then
            core.log.info("no JWE token in the header ", conf.header)
            return 403, { message = "missing JWE token in request" }
        end
        return
    end
    if find(token, "^[Bb]earer ") then
        token = sub(token, 8)
    end

    local fields, iv, text, tag = parse(token)
    if not fields then
        return refuse("JWE token invalid")
    elseif not fields.kid then
        return refuse("missing kid in JWE token")
    end
    local consumer = consumer_of(fields.kid)
    if not consumer then
        return refuse("invalid kid in JWE token")
    end

    local plain, err = decrypt(consumer, iv, text, tag)
    if not plain then
        core.log.info("failed to decrypt JWE token: ", err)
        return refuse("failed to decrypt JWE token")
    elseif find(plain, "[%z\r\n]") then
        -- These would end the field, and what follows would be others.
        core.log.info("the text in the JWE token is no value of a header")
        return refuse("failed to decrypt JWE token")
    end
    core.request.set_header(ctx, conf.forward_header, plain)
end


return _M
