--- Rewrites the response: status, headers, body.
--
-- `header_filter` decides by `vars` whether this response is meant, and changes status and
-- headers; `body_filter` puts `body` in place of the body, or collects the body and runs
-- `filters` over it. It refuses nothing.
local conf_rules = require("apisix.plugins.response-rewrite.conf")
local content_decode = require("apisix.utils.content-decode")
local core = require("apisix.core")
local expr = require("resty.expr.v1")

local decode_base64 = ngx.decode_base64
local has_operations = conf_rules.has_operations
local ipairs = ipairs
local match = string.match
local ngx = ngx
local pairs = pairs
local re_gsub = ngx.re.gsub
local re_sub = ngx.re.sub
local setmetatable = setmetatable
local sort = table.sort

-- What the body of a response still needs; kept in ctx under the conf's plan, because a
-- global rule and the route may both have this plugin.
local REPLACE, FILTER, DROP = 1, 2, 3

local _M = {
    version = 0.1,
    priority = 899,
    name = "response-rewrite",
    schema = conf_rules.schema,
    check_schema = conf_rules.check,
}


-- { name, value, name, value ... } in the order of the names.
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


-- The same for a list of "Name: value" lines.
local function pairs_of_lines(lines)
    local list = {}
    for _, line in ipairs(lines or {}) do
        local name, value = match(line, "^([^:%s]+)%s*:%s*([^:]+)$")
        if name then
            list[#list + 1] = name
            list[#list + 1] = value
        else
            core.log.error("failed to create header operation: no header line: ", line)
        end
    end
    return list
end


local function operations_of(headers)
    if not has_operations(headers) then
        return { add = {}, set = pairs_of(headers), remove = {} }
    end
    return {
        add = pairs_of_lines(headers.add),
        set = pairs_of(headers.set),
        remove = headers.remove or {},
    }
end


local prepared = setmetatable({}, { __mode = "k" })


local function prepare(conf)
    local plan = {
        expr = conf.vars and expr.new(conf.vars),
        headers = conf.headers and operations_of(conf.headers),
        body = conf.body,
    }
    if conf.body and conf.body_base64 then
        plan.body = decode_base64(conf.body)
    end
    prepared[conf] = plan
    return plan
end


local function rewrite_headers(ops, ctx)
    local resolve = core.utils.resolve_var
    local add, set, remove = ops.add, ops.set, ops.remove
    for i = 1, #add, 2 do
        core.response.add_header(add[i], (resolve(add[i + 1], ctx.var)))
    end
    for i = 1, #set, 2 do
        core.response.set_header(set[i], (resolve(set[i + 1], ctx.var)))
    end
    for i = 1, #remove do
        core.response.set_header(remove[i], nil)
    end
end


-- Finds what undoes the response's encoding, before the header that names it is dropped.
-- A body that cannot be read goes to the client as it is, with its headers.
local function start_filters(plan, ctx)
    local encoding = ngx.header["Content-Encoding"]
    if encoding ~= nil then
        local decode = content_decode.dispatch_decoder(encoding)
        if not decode then
            core.log.error("filters may not work as expected due to unsupported compression ",
                           "encoding type: ", encoding)
            return
        end
        ctx.response_rewrite_decode = decode
    end
    ctx[plan] = FILTER
    core.response.clear_header_as_body_modified()
end


function _M.header_filter(conf, ctx)
    local plan = prepared[conf] or prepare(conf)
    if plan.expr and not plan.expr:eval(ctx.var) then
        return
    end

    if conf.status_code then
        ngx.status = conf.status_code
    end
    if conf.filters then
        start_filters(plan, ctx)
    elseif conf.body then
        ctx[plan] = REPLACE
        core.response.clear_header_as_body_modified()
    end
    if plan.headers then
        rewrite_headers(plan.headers, ctx)
    end
end


local function apply(filters, body)
    for i = 1, #filters do
        local filter = filters[i]
        local replace = filter.scope == "once" and re_sub or re_gsub
        local result, _, err = replace(body, filter.regex, filter.replace, filter.options)
        if err then
            core.log.error('regex "', filter.regex, '" substitutes failed:', err)
        end
        body = result or body
    end
    return body
end


local function filter_body(conf, ctx, plan)
    local body = core.response.hold_body_chunk(ctx, false, conf.max_resp_body_size, plan)
    if not body then
        return
    end
    ctx[plan] = DROP

    local decode = ctx.response_rewrite_decode
    if decode then
        -- A second instance of this plugin gets plain text.
        ctx.response_rewrite_decode = nil
        local text, err = decode(body)
        if err then
            core.log.error("filters may not work as expected: ", err)
        end
        body = text or body
    end
    ngx.arg[1] = apply(conf.filters, body)
end


function _M.body_filter(conf, ctx)
    local plan = prepared[conf]
    local state = plan and ctx[plan]
    if state == FILTER then
        filter_body(conf, ctx, plan)
    elseif state == REPLACE then
        ngx.arg[1] = plan.body
        ngx.arg[2] = true
    elseif state == DROP then
        -- What exceeds max_resp_body_size.
        ngx.arg[1] = nil
    end
end


return _M
