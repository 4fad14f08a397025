--- The endpoints that loaded plugins offer: on routes by `api()`, on the Control API by
-- `control_api()`.
--
-- Both return a list of `{ methods = {...}, uri or uris = string or list,
-- handler = function(ctx) -> status, body }`. A uri may end with "*".
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local get_method = core.request.get_method
local ipairs = ipairs
local pcall = pcall
local sort = table.sort
local sub = string.sub
local tostring = tostring
local type = type

local _M = {}


local function add_endpoint(known, endpoint)
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
        if sub(uri, -1) == "*" then
            known.prefixes[#known.prefixes + 1] = { prefix = sub(uri, 1, -2), endpoint = entry }
        else
            local list = known.exact[uri] or {}
            known.exact[uri] = list
            list[#list + 1] = entry
        end
    end
end


local function make(field)
    local known = { exact = {}, prefixes = {}, made_for = plugin.plugins }
    for _, loaded in ipairs(plugin.plugins) do
        if loaded[field] then
            local ok, endpoints = pcall(loaded[field])
            if not ok then
                core.log.error("failed to get the ", field, " of plugin ", loaded.name, ": ",
                               tostring(endpoints))
                endpoints = nil
            end
            for _, endpoint in ipairs(endpoints or {}) do
                add_endpoint(known, endpoint)
            end
        end
    end
    -- The longest prefix is tried first.
    sort(known.prefixes, function(a, b)
        return #a.prefix > #b.prefix
    end)
    return known
end


local function allows(endpoint, method)
    return not endpoint.methods or endpoint.methods[method]
end


local function find(known, uri, method)
    for _, endpoint in ipairs(known.exact[uri] or {}) do
        if allows(endpoint, method) then
            return endpoint
        end
    end
    for _, item in ipairs(known.prefixes) do
        if sub(uri, 1, #item.prefix) == item.prefix and allows(item.endpoint, method) then
            return item.endpoint
        end
    end
end


--- A function that answers a request from what plugins offer under `field`.
-- @tparam string field `api` or `control_api`
-- @treturn function takes ctx; false if there is no endpoint for `ctx.var.uri` and the
--   method; does not return if the endpoint answered
function _M.matcher(field)
    local known
    return function(ctx)
        if not known or known.made_for ~= plugin.plugins then
            known = make(field)
        end
        local endpoint = find(known, ctx.var.uri, get_method())
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
end


return _M
