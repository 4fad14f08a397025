--- The variables that need more than a look at the request: cookies, GraphQL, bodies.
-- @module apisix.core.vars_lookup
local graphql = require("moongate.graphql")
local host = require("moongate.host")
local json = require("apisix.core.json")
local jsonpath = require("moongate.jsonpath")
local log = require("apisix.core.log")
local request = require("apisix.core.request")

local find = string.find
local gmatch = string.gmatch
local type = type
local var_get = host.var_get

local MIB = 1024 * 1024
local GRAPHQL_BYTES_MAX = MIB
local POST_ARGS_MIB_MAX = 64

local _M = {}


--- The cookies as an object of `resty.cookie`, nil without a Cookie header.
function _M.cookies()
    if var_get("http_cookie") then
        return (require("resty.cookie"):new())
    end
end


--- One cookie.
function _M.cookie(var, name)
    local cookies = var.cookie
    if not cookies then
        return nil
    end
    return (cookies:get(name))
end


local function query_of_get(ctx)
    local query = request.get_uri_args(ctx).query
    if type(query) == "table" then
        query = query[1]
    end
    if not query then
        return nil, "failed to read graphql data, args[query] is nil"
    end
    return query
end


local function query_of_post(ctx, max_size)
    local body, err = request.get_body(max_size, ctx)
    if not body then
        return nil, "failed to read graphql data, " .. (err or "request body has zero size")
    end
    if request.header(ctx, "Content-Type") ~= "application/json" then
        return body
    end

    local object
    object, err = json.decode(body)
    if not object then
        return nil, "failed to read graphql data, " .. err
    end
    if type(object) ~= "table" or not object.query then
        return nil, "failed to read graphql data, json body[query] is nil"
    end
    return object.query
end


local function parse_graphql(ctx)
    local conf = host.conf_local()
    local max_size = conf.graphql and conf.graphql.max_size or GRAPHQL_BYTES_MAX
    local method = request.get_method()

    local query, err
    if method == "GET" then
        query, err = query_of_get(ctx)
    elseif method == "POST" then
        query, err = query_of_post(ctx, max_size)
    else
        return nil, "graphql not support `" .. method .. "` request"
    end
    if not query then
        return nil, err
    end
    return graphql.summary(query)
end


--- `{ name, operation, root_fields }` of the request's query; empty if there is none.
function _M.graphql(ctx)
    if ctx._graphql then
        return ctx._graphql
    end

    local summary, err = parse_graphql(ctx)
    if not summary then
        log.error(err)
        summary = {}
    elseif summary.count > 1 then
        log.warn("Multiple operations are not supported.", "Only the first one is handled")
    end
    ctx._graphql = summary
    return summary
end


-- Bytes of the longest body that is parsed for a variable; nil for no limit.
local function body_bytes_max()
    local conf = host.conf_local()
    local size = conf.apisix and conf.apisix.max_post_args_readable_size or POST_ARGS_MIB_MAX
    if size == 0 then
        return nil
    end
    return size * MIB
end


--- The value at `path` in a JSON, form or multipart body.
-- @tparam table ctx
-- @tparam string path "a.b", or a JSONPath if it has "[", "*" or ".."
function _M.body_value(ctx, path)
    local body, err = request.get_request_body_table(ctx, nil, body_bytes_max())
    if not body then
        log.warn("failed to fetch post args value by key: ", path, " error: ", err)
        return nil
    end

    if find(path, "[%[%*]") or find(path, "..", 1, true) then
        local results = jsonpath.query(body, "$." .. path)
        if results[1] == nil then
            return nil
        end
        return results
    end

    for name in gmatch(path, "[^.]+") do
        if type(body) ~= "table" then
            return nil
        end
        body = body[name]
    end
    return body
end


return _M
