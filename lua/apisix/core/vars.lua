--- How each name of `ctx.var` gets its value.
-- @module apisix.core.vars
local host = require("moongate.host")
local lookup = require("apisix.core.vars_lookup")
local request = require("apisix.core.request")

local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local req_header = host.req_header
local sub = string.sub
local type = type
local var_get = host.var_get

-- Names come from configuration and code. A plugin that reads a variable named by the
-- client must not make the table grow without end.
local NAMES_MAX = 4096

local FORM = "^application/x%-www%-form%-urlencoded"

local _M = {
    --- name -> resolver; the value is kept for the request.
    kept = {},
    --- name -> resolver; asked at every read.
    volatile = {},
    --- Names whose assignment also goes to the host (access log, proxy).
    written_through = {},
}

for name in ([[
    apisix_request_id apisix_upstream_response_time llm_cache_creation_input_tokens
    llm_cache_read_input_tokens llm_completion_tokens llm_content_risk_level
    llm_end_user_id llm_has_tool_calls llm_model llm_prompt_tokens llm_reasoning_tokens
    llm_stream llm_time_to_first_token llm_tool_count llm_total_tokens
    original_x_forwarded_for rate_limiting_info request_line request_llm_model
    request_type upstream_cache_bypass upstream_cache_key upstream_cache_zone
    upstream_cache_zone_info upstream_connection upstream_host upstream_mirror_grpc_path
    upstream_mirror_host upstream_mirror_uri upstream_no_cache upstream_scheme
    upstream_unresolved_host upstream_upgrade upstream_uri
]]):gmatch("%S+") do
    _M.written_through[name] = true
end

-- What these are until a plugin sets them.
local defaults = {
    request_type = "traditional_http",
    llm_cache_creation_input_tokens = "0",
    llm_cache_read_input_tokens = "0",
    llm_completion_tokens = "0",
    llm_content_risk_level = "",
    llm_end_user_id = "",
    llm_has_tool_calls = "false",
    llm_model = "",
    llm_prompt_tokens = "0",
    llm_reasoning_tokens = "0",
    llm_stream = "false",
    llm_time_to_first_token = "0",
    llm_tool_count = "0",
    llm_total_tokens = "0",
    request_llm_model = "",
}

-- Changed by `set_uri_args`, so never kept.
local never_kept = { args = true, is_args = true }


local function from_host(_, name)
    return var_get(name)
end


local function from_ctx(var, name)
    return var._ctx[name]
end


-- Variables that plugins and the gateway define; `register` adds to them.
local registered = {
    balancer_ip = from_ctx,
    balancer_port = from_ctx,
    consumer_group_id = from_ctx,
    consumer_name = from_ctx,
    route_id = from_ctx,
    route_name = from_ctx,
    service_id = from_ctx,
    service_name = from_ctx,
    upstream_unresolved_host = from_ctx,
    resp_body = function(var)
        return var._ctx.resp_body or ""
    end,
}

for name, value in pairs(defaults) do
    registered[name] = function()
        return value
    end
end

local exact = {
    method = function()
        return host.req_method()
    end,
    cookie = lookup.cookies,
    -- The normalised form; `real_request_uri` is what the client sent.
    request_uri = function()
        local args = host.req_args()
        return args == "" and host.req_uri() or host.req_uri() .. "?" .. args
    end,
}


local function one_value(value)
    if type(value) == "table" then
        return value[1]
    end
    return value
end


-- Each takes the rest of the name and gives a resolver.
local prefixes = {}


function prefixes.cookie_(rest)
    return function(var)
        return lookup.cookie(var, rest)
    end
end


function prefixes.arg_(rest)
    local req_arg = host.req_arg
    return function(var)
        local args = var._ctx.req_uri_args
        if args == nil and req_arg then
            return req_arg(rest)
        end
        return one_value(request.get_uri_args(var._ctx)[rest])
    end
end


function prefixes.post_arg_(rest)
    return function(var)
        local content_type = req_header("content-type")
        if content_type and find(content_type, FORM) then
            return one_value(request.get_post_args(var._ctx)[rest])
        end
    end
end


function prefixes.uri_param_(rest)
    return function(var)
        local matched = var._ctx.curr_req_matched
        return matched and matched[rest]
    end
end


function prefixes.http_(rest)
    local name = "http_" .. gsub(lower(rest), "-", "_")
    return function()
        return var_get(name)
    end
end


function prefixes.graphql_(rest)
    return function(var)
        return lookup.graphql(var._ctx)[rest]
    end
end


-- The resolver of a name, and whether its value may be kept.
local function resolver_of(name)
    if exact[name] then
        return exact[name], true
    end
    if sub(name, 1, 9) == "post_arg." then
        local path = sub(name, 10)
        return function(var)
            return lookup.body_value(var._ctx, path)
        end, false
    end

    local prefix, rest = match(name, "^(post_arg_)(.*)$")
    if not prefix then
        prefix, rest = match(name, "^(uri_param_)(.*)$")
    end
    if not prefix then
        prefix, rest = match(name, "^(%l+_)(.*)$")
    end
    local build = prefixes[prefix]
    if build then
        return build(rest), true
    end
    return registered[name] or from_host, true
end


-- The value assigned in this request comes first.
local function after_assigned(resolve)
    return function(var, name)
        local value = var._cache[name]
        if value ~= nil then
            return value
        end
        return resolve(var, name)
    end
end


local known = 0


--- Decides how `name` is resolved, and remembers it in `kept` or `volatile`.
function _M.learn(name)
    if known >= NAMES_MAX then
        for _, names in ipairs({ _M.kept, _M.volatile }) do
            for old in pairs(names) do
                names[old] = nil
            end
        end
        known = 0
    end
    known = known + 1

    local resolve, keep = resolver_of(name)
    if never_kept[name] or _M.written_through[name] then
        _M.volatile[name] = after_assigned(resolve)
    elseif keep then
        _M.kept[name] = resolve
    else
        _M.volatile[name] = resolve
    end
end


--- Adds a variable; names that exist by themselves (`method`, `arg_*` ...) stay theirs.
function _M.register(name, getter, no_cacheable)
    registered[name] = function(var)
        return getter(var._ctx)
    end
    if no_cacheable then
        never_kept[name] = true
    end
    _M.kept[name] = nil
    _M.volatile[name] = nil
end


return _M
