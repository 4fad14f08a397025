--- Answers with a redirection: to a fixed place, to what a pattern makes of the path, or
-- to the same place on https.
--
-- Runs in `rewrite`. The answer is `ret_code` (302) with `Location`; for `http_to_https`
-- it is 301 for GET and HEAD and 308 for other methods, which must keep their body. A
-- request that needs no redirection passes; a pattern that fails ends with 500.
local core = require("apisix.core")
local plugin = require("apisix.plugin")
local secret = require("apisix.secret")

local concat = table.concat
local find = string.find
local format = string.format
local ipairs = ipairs
local match = string.match
local ngx = ngx
local random = math.random
local re_sub = ngx.re.sub
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring
local type = type

local NAME = "redirect"
local HTTPS_PORT = 443
local PORT_MAX = 65535

-- `\$name` | `${name}` | `$name` | other text
local TEMPLATE = [[(\\\$[0-9a-zA-Z_]+)|\$\{([0-9a-zA-Z_]+)\}|\$([0-9a-zA-Z_]+)|(\$|[^$\\]+)]]

local schema = {
    type = "object",
    properties = {
        ret_code = { type = "integer", minimum = 200, default = 302 },
        uri = { type = "string", minLength = 2, pattern = TEMPLATE },
        regex_uri = {
            type = "array",
            maxItems = 2,
            minItems = 2,
            items = { type = "string" },
            description = "A pattern for the path, and what replaces the match.",
        },
        http_to_https = { type = "boolean" },
        encode_uri = { type = "boolean", default = false },
        append_query_string = { type = "boolean", default = false },
    },
    oneOf = {
        { required = { "uri" } },
        { required = { "regex_uri" } },
        { required = { "http_to_https" } },
    },
}

local _M = {
    version = 0.1,
    priority = 900,
    name = NAME,
    schema = schema,
}


local function check_regex_uri(pattern, replacement)
    if secret.is_secret_ref(pattern) then
        return true
    end
    local sample = secret.is_secret_ref(replacement) and "" or replacement
    local _, _, err = re_sub("/fake_uri", pattern, sample, "jo")
    if err then
        return false, format("invalid regex_uri (%s, %s), err:%s", pattern, replacement, err)
    end
    return true
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    if conf.regex_uri then
        ok, err = check_regex_uri(conf.regex_uri[1], conf.regex_uri[2])
        if not ok then
            return false, err
        end
    end
    if conf.http_to_https and conf.append_query_string then
        return false, "only one of `http_to_https` and `append_query_string` can be configured."
    end
    return true
end


-- conf -> its uri as a list of texts and { name = variable }
local templates = setmetatable({}, { __mode = "k" })

-- In the order in which they are tried; the last is a backslash that escapes nothing, which
-- is dropped.
local PIECES = {
    { "^(\\%$[%w_]+)()" },
    { "^%${([%w_]+)}()", true },
    { "^%$([%w_]+)()", true },
    { "^(%$)()" },
    { "^([^$\\]+)()" },
    { "^\\()()" },
}


local function next_piece(text, at)
    for _, piece in ipairs(PIECES) do
        local found, after = match(text, piece[1], at)
        if found then
            return found, after, piece[2]
        end
    end
end


local function parse(text)
    local parts, at = {}, 1
    while at <= #text do
        local found, after, is_name = next_piece(text, at)
        if is_name then
            parts[#parts + 1] = { name = found }
        elseif type(found) == "string" then
            parts[#parts + 1] = found
        end
        at = after
    end
    return parts
end


local function fill_in(parts, var)
    local out = {}
    for i, part in ipairs(parts) do
        if type(part) == "table" then
            local value = var[part.name]
            part = value == nil and "" or tostring(value)
        end
        out[i] = part
    end
    return concat(out)
end


-- The port of https for clients: from plugin_attr, or one of those the gateway listens on.
local function https_port()
    local attr = plugin.plugin_attr(NAME)
    if attr and attr.https_port then
        return attr.https_port
    end

    local ssl = core.table.try_read_attr(core.config.local_conf(), "apisix", "ssl")
    local listen = ssl and ssl.enable and ssl.listen
    if type(listen) ~= "table" or #listen == 0 then
        return nil
    end
    local port = listen[random(#listen)]
    if type(port) == "table" then
        port = port.port
    end
    return port
end


local function to_https(var)
    local port = https_port()
    local at = ""
    if port and port ~= HTTPS_PORT and port > 0 and port <= PORT_MAX then
        at = ":" .. port
    end
    local method = ngx.req.get_method()
    local code = (method == "GET" or method == "HEAD") and 301 or 308
    return "https://" .. (var.host or "") .. at .. var.request_uri, code
end


-- nil if the path does not match; nil and a message if the pattern fails.
local function from_pattern(rule, uri)
    local result, count, err = re_sub(uri, rule[1], rule[2], "jo")
    if not result then
        return nil, format("failed to substitute the uri:%s (%s) with %s, error:%s", uri, rule[1],
                           rule[2], err)
    end
    return count > 0 and result or nil
end


local function is_plain_http(ctx)
    local scheme = core.request.header(ctx, "X-Forwarded-Proto") or core.request.get_scheme(ctx)
    return scheme ~= "https"
end


-- Place, status; or nil, nil, error.
local function destination(conf, ctx)
    if conf.http_to_https and is_plain_http(ctx) then
        return to_https(ctx.var)
    end
    if conf.uri then
        local parts = templates[conf]
        if not parts then
            parts = parse(conf.uri)
            templates[conf] = parts
        end
        return fill_in(parts, ctx.var), conf.ret_code
    end
    if conf.regex_uri then
        local uri, err = from_pattern(conf.regex_uri, ctx.var.uri)
        return uri, conf.ret_code, err
    end
end


local function encoded(uri)
    local at = find(uri, "?", 1, true)
    if not at then
        return core.utils.uri_safe_encode(uri)
    end
    return core.utils.uri_safe_encode(sub(uri, 1, at - 1)) .. sub(uri, at)
end


function _M.rewrite(conf, ctx)
    local uri, code, err = destination(conf, ctx)
    if err then
        core.log.error(err)
        return 500
    end
    if not uri then
        return
    end

    if conf.encode_uri then
        uri = encoded(uri)
    end
    local var = ctx.var
    if conf.append_query_string and var.is_args == "?" then
        uri = uri .. (find(uri, "?", 1, true) and "&" or "?") .. (var.args or "")
    end
    core.response.set_header("Location", uri)
    return code
end


return _M
