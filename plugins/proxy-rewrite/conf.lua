--- What a conf of `proxy-rewrite` may look like.
local core = require("apisix.core")
local secret = require("apisix.secret")

local ipairs = ipairs
local pairs = pairs
local re_sub = ngx.re.sub
local type = type

local METHODS = {
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND",
    "LOCK", "UNLOCK", "PATCH", "TRACE",
}

local FIELD = "^[^:]+$"
local scalar = { oneOf = { { type = "string" }, { type = "number" } } }


-- An object of headers; `many` allows a list of values for one name.
local function fields(many)
    local value = scalar
    if many then
        value = {
            oneOf = {
                { type = "string" },
                { type = "number" },
                { type = "array", minItems = 1, items = scalar },
            },
        }
    end
    return { type = "object", minProperties = 1, patternProperties = { [FIELD] = value } }
end


local schema = {
    type = "object",
    properties = {
        uri = {
            type = "string",
            minLength = 1,
            maxLength = 4096,
            pattern = [[^\/.*]],
            description = "Path for the upstream; may contain variables.",
        },
        method = { type = "string", enum = METHODS },
        regex_uri = {
            type = "array",
            minItems = 2,
            items = { type = "string" },
            description = "Pattern, replacement, pattern, replacement ...: the first pattern "
                .. "that matches the path counts. Ignored if uri is set.",
        },
        host = { type = "string", pattern = [[^[0-9a-zA-Z-.]+(:\d{1,5})?$]] },
        headers = {
            description = "Headers to set, or an object with add, set and remove.",
            oneOf = {
                {
                    type = "object",
                    minProperties = 1,
                    additionalProperties = false,
                    properties = {
                        add = fields(true),
                        set = fields(true),
                        remove = {
                            type = "array",
                            minItems = 1,
                            items = { type = "string", pattern = FIELD },
                        },
                    },
                },
                fields(false),
            },
        },
        use_real_request_uri_unsafe = {
            type = "boolean",
            default = false,
            description = "Send the target as the client wrote it, without normalisation.",
        },
    },
    minProperties = 1,
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


local function check_regex_uri(rules)
    if #rules % 2 ~= 0 then
        return false, "The length of regex_uri should be an even number"
    end
    for i = 1, #rules, 2 do
        local pattern, replacement = rules[i], rules[i + 1]
        if not secret.is_secret_ref(pattern) then
            local sample = secret.is_secret_ref(replacement) and "" or replacement
            local _, _, err = re_sub("/fake_uri", pattern, sample, "jo")
            if err then
                return false, "invalid regex_uri(" .. pattern .. ", " .. replacement .. "): "
                              .. err
            end
        end
    end
    return true
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
        if not core.utils.validate_header_field(field) then
            return false, "invalid field character in header"
        end
        if not core.utils.validate_header_value(value) then
            return false, "invalid value character in header"
        end
    end
    return true
end


-- The schema lets some names pass that are no header names, and would break every request.
local function check_names(headers)
    for field in pairs(headers or {}) do
        if field == "" or not core.utils.validate_header_field(field) then
            return false, "invalid field character in header"
        end
    end
    return true
end


local function check_operations(headers)
    local ok, err = check_names(headers.add)
    if not ok then
        return false, err
    end
    return check_names(headers.set)
end


--- Checks a conf and fills its defaults.
function _M.check(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    if conf.regex_uri then
        ok, err = check_regex_uri(conf.regex_uri)
        if not ok then
            return false, err
        end
    end
    if not conf.headers then
        return true
    end
    if _M.has_operations(conf.headers) then
        return check_operations(conf.headers)
    end
    return check_headers(conf.headers)
end


return _M
