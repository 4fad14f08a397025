--- Refuses requests that another site made a browser send, by a token that a cookie and a
-- header must both bring ("double submit cookie").
--
-- Each answer sets a fresh token in a cookie (`header_filter`). A request whose method may
-- change something must repeat it in a header of the same name, else it gets 401 and
-- `{"error_msg":"..."}` in `access`. A token is signed with `key` and ends after `expires`
-- seconds; 0 or less is never.
local auth = require("apisix.utils.auth")
local core = require("apisix.core")
local random = require("resty.random")
local sha256 = require("resty.sha256")
local to_hex = require("resty.string").to_hex

local byte = string.byte
local cookie_time = ngx.cookie_time
local decode_base64 = ngx.decode_base64
local encode_base64 = ngx.encode_base64
local format = string.format
local ngx_time = ngx.time
local type = type

local SAFE_METHODS = { GET = true, HEAD = true, OPTIONS = true }

-- A token is about 150 letters; nothing longer is decoded.
local TOKEN_MAX = 1024

local schema = {
    type = "object",
    properties = {
        key = { description = "signs the tokens", type = "string" },
        expires = {
            description = "seconds until a token ends",
            type = "integer",
            default = 7200,
        },
        name = {
            description = "of the cookie and of the header",
            type = "string",
            default = "apisix-csrf-token",
        },
    },
    encrypt_fields = { "key" },
    required = { "key" },
}

local _M = {
    version = 0.1,
    priority = 2980,
    name = "csrf",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


-- Both numbers are written as Lua writes them: a token of another gateway is good here, too.
local function signature(number, time, key)
    local digest = sha256:new()
    digest:update("{expires:" .. time .. ",random:" .. number .. ",key:" .. key .. "}")
    return to_hex(digest:final())
end


-- A whole number below 2^40, so that it reads the same before and after it was JSON.
local function random_number()
    local a, b, c, d, e = byte(random.bytes(5), 1, 5)
    return (((a * 256 + b) * 256 + c) * 256 + d) * 256 + e
end


local function new_token(conf)
    local number, time = random_number(), ngx_time()
    return encode_base64(core.json.encode({
        random = number,
        expires = time,
        sign = signature(number, time, conf.key),
    }))
end


-- What is wrong with a token.
local function token_error(conf, token)
    local text = #token <= TOKEN_MAX and decode_base64(token)
    if not text then
        return "csrf token base64 decode error"
    end
    local fields, err = core.json.decode(text)
    if type(fields) ~= "table" then
        return "decode token error: " .. (err or "it is no object")
    end

    -- Other types have no place in the signed text.
    if type(fields.random) ~= "number" then
        return "no random in token"
    elseif type(fields.expires) ~= "number" then
        return "no expires in token"
    elseif conf.expires > 0 and ngx_time() - fields.expires > conf.expires then
        return "token has expired"
    end
    local expected = signature(fields.random, fields.expires, conf.key)
    if type(fields.sign) ~= "string" or not auth.is_equal(fields.sign, expected) then
        return "Invalid signatures"
    end
    return nil
end


local function refuse(message)
    return 401, { error_msg = message }
end


function _M.access(conf, ctx)
    if SAFE_METHODS[core.request.get_method(ctx)] then
        return
    end

    local token = core.request.header(ctx, conf.name)
    if not token or token == "" then
        return refuse("no csrf token in headers")
    end
    local cookie = ctx.var["cookie_" .. conf.name]
    if not cookie then
        return refuse("no csrf cookie")
    elseif not auth.is_equal(token, cookie) then
        return refuse("csrf token mismatch")
    end

    local err = token_error(conf, cookie)
    if err then
        core.log.error(err)
        return refuse("Failed to verify the csrf token signature")
    end
end


function _M.header_filter(conf, ctx)
    core.response.add_header("Set-Cookie", format("%s=%s;path=/;SameSite=Lax;Expires=%s",
        conf.name, new_token(conf), cookie_time(ngx_time() + conf.expires)))
end


return _M
