--- Rewrites the request on its way to the upstream: path, host, method, headers.
--
-- Runs in `rewrite` with a low priority, so that plugins that check the request see what
-- the client sent. It refuses nothing; a regular expression that fails at run time ends
-- the request with 500 and `{"error_msg":"..."}`.
local conf_rules = require("apisix.plugins.proxy-rewrite.conf")
local core = require("apisix.core")

local find = string.find
local gsub = string.gsub
local has_operations = conf_rules.has_operations
local ipairs = ipairs
local ngx = ngx
local pairs = pairs
local re_match = ngx.re.match
local re_sub = ngx.re.sub
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local type = type

local _M = {
    version = 0.1,
    priority = 1008,
    name = "proxy-rewrite",
    schema = conf_rules.schema,
    check_schema = conf_rules.check,
}

core.ctx.register_var("proxy_rewrite_regex_uri_captures", function(ctx)
    return ctx.proxy_rewrite_regex_uri_captures
end)


-- { name, value, name, value ... } in the order of the names, so that the outcome does not
-- depend on how Lua walks a table.
local function pairs_of(headers)
    local names = {}
    for name in pairs(headers or {}) do
        names[#names + 1] = name
    end
    sort(names)

    local list = {}
    for _, name in ipairs(names) do
        list[#list + 1] = name
        list[#list + 1] = headers[name]
    end
    return list
end


-- conf.headers -> what to do with them
local operations = setmetatable({}, { __mode = "k" })


local function operations_of(headers)
    local ops
    if has_operations(headers) then
        ops = {
            add = pairs_of(headers.add),
            set = pairs_of(headers.set),
            remove = headers.remove or {},
        }
    else
        ops = { add = {}, set = pairs_of(headers), remove = {} }
    end
    operations[headers] = ops
    return ops
end


local function fill_in(template, ctx)
    local value = core.utils.resolve_var_with_captures(template,
                                                       ctx.proxy_rewrite_regex_uri_captures)
    return (core.utils.resolve_var(value, ctx.var))
end


local function fill_in_all(templates, ctx)
    local values = {}
    for i = 1, #templates do
        values[#values + 1] = fill_in(templates[i], ctx)
    end
    return values
end


local function add_headers(list, ctx)
    for i = 1, #list, 2 do
        local name, value = list[i], list[i + 1]
        if type(value) == "table" then
            for j = 1, #value do
                core.request.add_header(ctx, name, fill_in(value[j], ctx))
            end
        else
            core.request.add_header(ctx, name, fill_in(value, ctx))
        end
    end
end


local function rewrite_headers(headers, ctx)
    local ops = operations[headers] or operations_of(headers)
    add_headers(ops.add, ctx)

    local set, remove = ops.set, ops.remove
    for i = 1, #set, 2 do
        local value = set[i + 1]
        if type(value) == "table" then
            value = fill_in_all(value, ctx)
        else
            value = fill_in(value, ctx)
        end
        core.request.set_header(ctx, set[i], value)
    end
    for i = 1, #remove do
        core.request.set_header(ctx, remove[i], nil)
    end
end


local function escape_separator(value)
    return (gsub(value, "%?", "%%3F"))
end


-- The path of `conf.uri`; `query` ("?a=b" or "") is what the client sent and would get lost.
local function from_template(template, query, ctx)
    local uri = core.utils.resolve_var(template, ctx.var, escape_separator)
    if query ~= "" and find(uri, "?", 1, true) then
        return uri .. "&" .. sub(query, 2)
    end
    return uri .. query
end


-- The path that the first matching pattern makes of `uri`; nil and a message if the regular
-- expressions cannot do it.
local function from_patterns(rules, uri, ctx)
    for i = 1, #rules, 2 do
        local pattern, replacement = rules[i], rules[i + 1]
        local captures, err = re_match(uri, pattern, "jo")
        if err then
            return nil, "failed to match the uri " .. uri .. " (" .. pattern .. ")  : " .. err
        end
        if captures then
            ctx.proxy_rewrite_regex_uri_captures = captures
            local result, _, sub_err = re_sub(uri, pattern, replacement, "jo")
            if not result then
                return nil, "failed to substitute the uri " .. uri .. " (" .. pattern
                            .. ") with " .. replacement .. " : " .. sub_err
            end
            return result
        end
    end
    return uri
end


-- Escapes what may not stand in a request line. Only a "?" that the configuration wrote
-- separates a query; one that was "%3F" in the client's path is a part of the path.
local function encode(uri, may_have_query)
    local at = may_have_query and find(uri, "?", 1, true)
    if not at then
        return core.utils.uri_safe_encode(uri), false
    end
    local query = core.utils.escape_uri_control_chars(sub(uri, at))
    return core.utils.uri_safe_encode(sub(uri, 1, at - 1)) .. gsub(query, " ", "%%20"), true
end


local function send_to(uri, may_have_query, ctx)
    local var = ctx.var
    local has_query
    uri, has_query = encode(uri, may_have_query)
    ngx.req.set_uri(uri)
    if var.is_args == "?" then
        uri = uri .. (has_query and "&" or "?") .. (var.args or "")
    end
    var.upstream_uri = uri
end


-- The target as the client sent it, and its query.
local function raw_target(var)
    local uri = var.real_request_uri or var.request_uri
    local at = find(uri, "?", 1, true)
    return uri, at and sub(uri, at) or ""
end


-- Returns a message if the path cannot be rewritten.
local function rewrite_uri(conf, ctx)
    local raw = conf.use_real_request_uri_unsafe
    local uri, query
    if raw then
        uri, query = raw_target(ctx.var)
    else
        uri, query = ctx.var.uri, ""
    end

    local may_have_query = false
    if conf.uri then
        uri = from_template(conf.uri, query, ctx)
        may_have_query = true
    elseif conf.regex_uri then
        local err
        may_have_query = not find(uri, "?", 1, true)
        uri, err = from_patterns(conf.regex_uri, uri, ctx)
        if not uri then
            return err
        end
    end

    if raw then
        ctx.var.upstream_uri = uri
    else
        send_to(uri, may_have_query, ctx)
    end
end


function _M.rewrite(conf, ctx)
    if conf.host then
        ctx.var.upstream_host = conf.host
    end

    local err = rewrite_uri(conf, ctx)
    if err then
        core.log.error(err)
        return 500, { error_msg = err }
    end
    if conf.headers then
        rewrite_headers(conf.headers, ctx)
    end
    if conf.method then
        ngx.req.set_method(ngx["HTTP_" .. conf.method])
    end
end


return _M
