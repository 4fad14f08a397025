--- What a conf of `response-rewrite` may look like.
local core = require("apisix.core")
local expr = require("resty.expr.v1")
local re_compile = require("resty.core.regex").re_match_compile
local secret = require("apisix.secret")

local decode_base64 = ngx.decode_base64
local ipairs = ipairs
local match = string.match
local pairs = pairs
local pcall = pcall
local tostring = tostring
local type = type

local BODY_BYTES_MAX = 64 * 1024 * 1024
local FIELD = "^[^:]+$"

local fields = {
    type = "object",
    minProperties = 1,
    patternProperties = {
        [FIELD] = { oneOf = { { type = "string" }, { type = "number" } } },
    },
}

local filter_schema = {
    type = "object",
    required = { "regex", "replace" },
    properties = {
        regex = { type = "string", minLength = 1 },
        scope = {
            type = "string",
            enum = { "once", "global" },
            default = "once",
            description = "Whether the first match is replaced, or all.",
        },
        replace = { type = "string" },
        options = {
            type = "string",
            default = "jo",
            description = "Options of the regular expression, as ngx.re takes them.",
        },
    },
}

local schema = {
    type = "object",
    properties = {
        max_resp_body_size = {
            type = "integer",
            minimum = 1,
            default = BODY_BYTES_MAX,
            description = "Bytes of body that filters work on; the rest is cut off.",
        },
        headers = {
            description = "Headers to set, or an object with add, set and remove.",
            anyOf = {
                fields,
                {
                    properties = {
                        add = {
                            type = "array",
                            minItems = 1,
                            items = { type = "string", pattern = "^[^:]+:[^:]*[^/]$" },
                        },
                        set = fields,
                        remove = {
                            type = "array",
                            minItems = 1,
                            items = { type = "string", pattern = FIELD },
                        },
                    },
                },
            },
        },
        body = { type = "string" },
        body_base64 = {
            type = "boolean",
            default = false,
            description = "Whether body is written in base64.",
        },
        status_code = { type = "integer", minimum = 200, maximum = 598 },
        vars = { type = "array" },
        filters = { type = "array", minItems = 1, items = filter_schema },
    },
    dependencies = {
        body = { ["not"] = { required = { "filters" } } },
        filters = { ["not"] = { required = { "body" } } },
    },
}

local _M = {
    schema = schema,
}


--- Whether `headers` is an object of operations, not of headers.
function _M.has_operations(headers)
    for _, name in ipairs({ "add", "set", "remove" }) do
        if type(headers[name]) == "table" then
            return true
        end
    end
    return false
end


local function check_headers(headers)
    for field, value in pairs(headers) do
        if type(field) ~= "string" then
            return false, "invalid type as header field"
        end
        if type(value) ~= "string" and type(value) ~= "number" then
            return false, "invalid type as header value"
        end
        if field == "" then
            return false, "invalid field length in header"
        end
    end
    return true
end


-- nil and a message if it does not compile. Unknown options raise; of that, only the
-- message counts, not the place.
local function compile(filter)
    local ok, compiled, err = pcall(re_compile, filter.regex, filter.options)
    if ok then
        return compiled, err
    end
    local text = tostring(compiled)
    return nil, match(text, "unknown flag [^\n]*") or text
end


local function check_filters(filters)
    for _, filter in ipairs(filters) do
        local ok, err = compile(filter)
        if not ok then
            return false, 'regex "' .. filter.regex .. '" validation failed: ' .. err
        end
    end
    return true
end


local function check_body(conf)
    if not conf.body_base64 or secret.is_secret_ref(conf.body) then
        return true
    end
    if not conf.body or conf.body == "" or not decode_base64(conf.body) then
        return false, "invalid base64 content"
    end
    return true
end


--- Checks a conf and fills its defaults.
function _M.check(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    if conf.headers and not _M.has_operations(conf.headers) then
        ok, err = check_headers(conf.headers)
        if not ok then
            return false, err
        end
    end
    ok, err = check_body(conf)
    if not ok then
        return false, err
    end
    if conf.vars then
        ok, err = expr.new(conf.vars)
        if not ok then
            return false, "failed to validate the 'vars' expression: " .. err
        end
    end
    if conf.filters then
        return check_filters(conf.filters)
    end
    return true
end


return _M
