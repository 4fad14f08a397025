--- The endpoints that loaded plugins offer, and serving one.
--
-- A plugin's `api()` returns a list of `{ methods = {...}, uri = string or list,
-- handler = function(ctx) -> status, body }`. A uri may end with "*".
-- @module apisix.api_router
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local get_method = core.request.get_method
local ipairs = ipairs
local pcall = pcall
local sort = table.sort
local sub = string.sub
local tostring = tostring
local type = type

local exact, prefixes, made_for

local _M = {}


local function add(uri, endpoint)
    if sub(uri, -1) == "*" then
        prefixes[#prefixes + 1] = { prefix = sub(uri, 1, -2), endpoint = endpoint }
        return
    end
    local list = exact[uri] or {}
    exact[uri] = list
    list[#list + 1] = endpoint
end


local function add_endpoint(endpoint)
    local methods
    if endpoint.methods then
        methods = {}
        for _, method in ipairs(endpoint.methods) do
            methods[method] = true
        end
    end
    local entry = { methods = methods, handler = endpoint.handler }
    local uris = endpoint.uri or endpoint.uris
    if type(uris) == "string" then
        uris = { uris }
    end
    for _, uri in ipairs(uris or {}) do
        add(uri, entry)
    end
end


local function make()
    exact, prefixes = {}, {}
    for _, loaded in ipairs(plugin.plugins) do
        if loaded.api then
            local ok, endpoints = pcall(loaded.api)
            if not ok then
                core.log.error("failed to get the api of plugin ", loaded.name, ": ",
                               tostring(endpoints))
                endpoints = nil
            end
            for _, endpoint in ipairs(endpoints or {}) do
                add_endpoint(endpoint)
            end
        end
    end
    -- The longest prefix is tried first.
    sort(prefixes, function(a, b)
        return #a.prefix > #b.prefix
    end)
    made_for = plugin.plugins
end


local function allows(endpoint, method)
    return not endpoint.methods or endpoint.methods[method]
end


local function find(uri, method)
    for _, endpoint in ipairs(exact[uri] or {}) do
        if allows(endpoint, method) then
            return endpoint
        end
    end
    for _, item in ipairs(prefixes) do
        if sub(uri, 1, #item.prefix) == item.prefix and allows(item.endpoint, method) then
            return item.endpoint
        end
    end
end


--- Answers the request from the endpoint for `ctx.var.uri` and the method.
-- @tparam table ctx
-- @treturn boolean false if there is none; does not return if the endpoint answered
function _M.match(ctx)
    if made_for ~= plugin.plugins then
        make()
    end
    local endpoint = find(ctx.var.uri, get_method())
    if not endpoint then
        return false
    end

    local code, body = endpoint.handler(ctx)
    if code or body then
        if type(body) == "table" and ngx.header["Content-Type"] == nil then
            core.response.set_header("Content-Type", "application/json")
        end
        core.response.exit(code, body)
    end
    return true
end


return _M
