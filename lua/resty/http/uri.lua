--- URIs and connection options of the HTTP client.
-- @module resty.http.uri
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local tonumber = tonumber
local tostring = tostring

local PORTS = { http = 80, https = 443 }
local CONNECTION_OPTIONS = {
    "ssl_verify", "ssl_server_name", "ssl_client_cert", "ssl_client_priv_key", "pool",
    "pool_size", "backlog", "proxy_opts",
}

local _M = {
    --- Scheme -> default port.
    PORTS = PORTS,
}


--- Takes an absolute URI apart.
-- @tparam string uri
-- @tparam[opt=true] boolean query_in_path leave the query with the path
-- @treturn table|nil `{ scheme, host, port, path, query }`
-- @treturn nil|string error
function _M.parse(uri, query_in_path)
    local scheme, authority, rest = match(uri, "^(%a[%w+.-]*)://([^/?#]+)([^#]*)")
    if not scheme then
        scheme, authority, rest = "", match(uri, "^//([^/?#]+)([^#]*)")
    end
    if not authority then
        return nil, "bad uri: " .. uri
    end

    authority = gsub(authority, "^.*@", "")
    local name, port = match(authority, "^(%[[^%]]+%]):?(%d*)$")
    if not name then
        name, port = match(authority, "^([^:]+):?(%d*)$")
    end
    if not name then
        return nil, "bad uri: " .. uri
    end

    scheme = scheme ~= "" and lower(scheme) or "http"
    if not PORTS[scheme] then
        return nil, "bad uri: " .. uri
    end
    local path, query = match(rest, "^([^?]*)%??(.*)$")
    path = path ~= "" and path or "/"
    if query_in_path ~= false and query ~= "" then
        path, query = path .. "?" .. query, nil
    end
    return { [0] = uri, scheme, name, tonumber(port) or PORTS[scheme], path, query }
end


--- The options of `connect` for a request to a URI.
-- @tparam table parts from `parse`
-- @tparam table params of the request; its own scheme, host and port win
function _M.connection_options(parts, params)
    local options = {}
    for _, name in ipairs(CONNECTION_OPTIONS) do
        options[name] = params[name]
    end
    options.scheme = params.scheme or parts[1]
    options.host = params.host or parts[2]
    options.port = params.port or parts[3]
    return options
end


--- Name of the pool: connections may be shared only by users who would make the same one.
function _M.pool_name(options)
    local port = options.port or PORTS[options.scheme] or 80
    local name = options.scheme .. ":" .. options.host .. ":" .. port
    if options.scheme == "https" then
        name = name .. ":" .. (options.ssl_server_name or "") .. ":"
            .. tostring(options.ssl_verify ~= false) .. ":"
            .. tostring(options.ssl_client_cert or "")
    end
    return name
end


return _M
