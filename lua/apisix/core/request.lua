--- `core.request`.
-- @module apisix.core.request
local body = require("apisix.core.request_body")
local host = require("moongate.host")
local log = require("apisix.core.log")
local names = require("moongate.api.names")
local req = require("moongate.api.req")

local canonical = names.canonical
local error = error
local find = string.find
local format = string.format
local gsub = string.gsub
local lower = string.lower
local ngx_ctx = host.ngx_ctx
local rawget = rawget
local rawset = rawset
local req_header = host.req_header
local req_set_headers = host.req_set_headers
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = {
    get_http_version = host.req_http_version,
    get_method = host.req_method,
    get_body = body.get_body,
    get_post_args = body.get_post_args,
    get_request_body_table = body.get_request_body_table,
    get_json_request_body_table = body.get_json_request_body_table,
}


--- All request headers: lower-case keys, found under any spelling.
function _M.headers()
    return (req.get_headers())
end


local function first_of_many(name)
    local value = host.req_headers(0)[canonical(name)]
    if type(value) == "table" then
        return value[1]
    end
    return value
end


--- The first value of a request header.
-- @tparam[opt] table ctx
-- @tparam string name any case, with "-" or "_"
-- @treturn string|nil
function _M.header(ctx, name)
    if type(name) ~= "string" then
        return nil
    end

    local value, lines = req_header(name)
    if value == nil then
        if not find(name, "_", 1, true) then
            return nil
        end
        value, lines = req_header(canonical(name))
    end
    if lines and lines > 1 then
        return first_of_many(name)
    end
    return value
end


-- The names under which `ctx.var` may have kept the header's old value.
local variables_of = names.memoise(function(name)
    local dashed = "http_" .. lower(name)
    return { dashed, (gsub(dashed, "-", "_")) }
end)


-- What `ctx.var` may have kept of the header's old value is void.
local function forget_variables(ctx, name)
    local var = ctx and ctx.var
    if not var then
        return
    end
    -- Assigning nil to a key that is not there would make room for it.
    local variables = variables_of(name)
    if rawget(var, variables[1]) ~= nil then
        rawset(var, variables[1], nil)
    end
    if rawget(var, variables[2]) ~= nil then
        rawset(var, variables[2], nil)
    end
end


local function modify(ctx, name, value, override)
    if type(ctx) == "string" then
        name, value, ctx = ctx, name, nil
        log.warn("DEPRECATED: use ", override and "set" or "add",
                 "_header(ctx, header_name, header_value) instead")
    end
    if type(name) ~= "string" then
        error(format("invalid header name %q: got %s, expected string", tostring(name),
                     type(name)), 3)
    end

    if override then
        req.set_header(name, value)
    else
        req.add_header(name, value)
    end

    forget_variables(ctx, name)
end


--- Sets a request header; nil removes it.
-- Called as `set_header(ctx, name, value)`; `set_header(name, value)` works and warns.
function _M.set_header(ctx, name, value)
    modify(ctx, name, value, true)
end


--- Sets up to three request headers with one call; a nil value removes one. moongate's own.
function _M.set_headers(ctx, name1, value1, name2, value2, name3, value3)
    req_set_headers(name1, value1, name2, value2, name3, value3)
    forget_variables(ctx, name1)
    if name2 then
        forget_variables(ctx, name2)
    end
    if name3 then
        forget_variables(ctx, name3)
    end
end


--- Adds a line to a request header. Arguments as for `set_header`.
function _M.add_header(ctx, name, value)
    modify(ctx, name, value, false)
end


local function var_of(ctx)
    return (ctx or ngx_ctx().api_ctx).var
end


--- The address the connection came from, before `real-ip` changed it.
function _M.get_ip(ctx)
    local var = var_of(ctx)
    return var.realip_remote_addr or var.remote_addr or ""
end


function _M.get_remote_client_ip(ctx)
    return var_of(ctx).remote_addr or ""
end


function _M.get_remote_client_port(ctx)
    return tonumber(var_of(ctx).remote_port)
end


function _M.get_scheme(ctx)
    return var_of(ctx).scheme or ""
end


function _M.get_host(ctx)
    return var_of(ctx).host or ""
end


function _M.get_port(ctx)
    return tonumber(var_of(ctx).server_port)
end


--- The decoded query arguments, read once per request.
function _M.get_uri_args(ctx)
    ctx = ctx or ngx_ctx().api_ctx
    local args = ctx.req_uri_args
    if not args then
        args = req.get_uri_args(0)
        ctx.req_uri_args = args
    end
    return args
end


--- Replaces the query string.
-- @tparam[opt] table ctx
-- @tparam string|table args
function _M.set_uri_args(ctx, args)
    ctx = ctx or ngx_ctx().api_ctx
    ctx.req_uri_args = nil
    return req.set_uri_args(args)
end


return _M
