--- Gives every request an identifier, in a header for the upstream and for the client.
--
-- `rewrite` keeps the identifier that the client sent, or makes one; `header_filter` puts
-- it into the response unless the upstream did. It refuses nothing.
local bit = require("bit")
local core = require("apisix.core")
local random = require("resty.random")

local band = bit.band
local byte = string.byte
local concat = table.concat
local new_ksuid = require("resty.ksuid").generate
local sub = string.sub

local LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789"
local NANOID_LETTERS = "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
local NANOID_LENGTH = 21

local schema = {
    type = "object",
    properties = {
        header_name = { type = "string", default = "X-Request-Id" },
        include_in_response = { type = "boolean", default = true },
        algorithm = {
            type = "string",
            enum = { "uuid", "nanoid", "range_id", "ksuid", "uuidv7" },
            default = "uuid",
        },
        range_id = {
            type = "object",
            properties = {
                length = { type = "integer", minimum = 6, default = 16 },
                char_set = { type = "string", minLength = 6, default = LETTERS },
            },
            default = { length = 16, char_set = LETTERS },
        },
    },
}

local _M = {
    version = 0.1,
    priority = 12015,
    name = "request-id",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


local makers = {
    uuid = core.id.gen_uuid_v4,
    uuidv7 = core.utils.generate_uuid_v7,
}


-- 64 letters: the low 6 bits of a random byte choose one without preferring any.
function makers.nanoid()
    local bytes, letters = random.bytes(NANOID_LENGTH), {}
    for i = 1, NANOID_LENGTH do
        local at = band(byte(bytes, i), 63) + 1
        letters[i] = sub(NANOID_LETTERS, at, at)
    end
    return concat(letters)
end


-- Two random bytes per letter, so that a letter set of any usual size is drawn evenly.
function makers.range_id(conf)
    local length, letters = conf.range_id.length, conf.range_id.char_set
    local bytes, text = random.bytes(2 * length), {}
    for i = 1, length do
        local high, low = byte(bytes, 2 * i - 1, 2 * i)
        local at = (high * 256 + low) % #letters + 1
        text[i] = sub(letters, at, at)
    end
    return concat(text)
end


function makers.ksuid()
    return new_ksuid()
end


function _M.rewrite(conf, ctx)
    local name = conf.header_name
    local id = core.request.header(ctx, name)
    if not id or id == "" then
        id = makers[conf.algorithm](conf)
        core.request.set_header(ctx, name, id)
    end

    if conf.include_in_response then
        ctx["request-id-" .. name] = id
    end
    ctx.var.apisix_request_id = id
end


function _M.header_filter(conf, ctx)
    if not conf.include_in_response then
        return
    end

    local name = conf.header_name
    local present = ngx.header[name]
    if not present or present == "" then
        core.response.set_header(name, ctx["request-id-" .. name])
    end
end


return _M
