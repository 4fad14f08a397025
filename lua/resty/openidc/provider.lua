--- What `resty.openidc` asks of a provider: its description, its keys, its endpoints.
-- @module resty.openidc.provider
local cjson = require("cjson.safe")
local http = require("resty.http")
local jwt = require("resty.jwt")

local encode_args = ngx.encode_args
local encode_base64 = ngx.encode_base64
local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local pairs = pairs
local pcall = pcall
local sub = string.sub
local time = ngx.time
local tostring = tostring
local type = type

local DAY = 86400
local ASSERTION_SECONDS = 60
local ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

local _M = {}


--- A value of one of the shared dictionaries that a gateway may have for this.
function _M.cache_get(name, key)
    local dict = ngx.shared[name]
    return dict and dict:get(key) or nil
end


function _M.cache_set(name, key, value, seconds)
    local dict = ngx.shared[name]
    if dict and seconds > 0 then
        dict:set(key, value, seconds)
    end
end


local function request(opts, uri, params)
    local client = http.new()
    local timeout = opts.timeout
    if type(timeout) == "table" then
        client:set_timeouts(timeout.connect or 0, timeout.send or 0, timeout.read or 0)
    elseif timeout then
        client:set_timeout(timeout)
    end
    if opts.proxy_opts and client.set_proxy_options then
        client:set_proxy_options(opts.proxy_opts)
    end
    params.ssl_verify = opts.ssl_verify ~= "no"
    params.keepalive = opts.keepalive ~= "no"
    if opts.http_request_decorator then
        params = opts.http_request_decorator(params)
    end
    return client:request_uri(uri, params)
end


local function read_json(response)
    if response.status ~= 200 then
        return nil, "response indicates failure, status=" .. response.status .. ", body="
                    .. tostring(response.body)
    end
    local found, err = cjson.decode(response.body)
    if type(found) ~= "table" then
        return nil, "JSON decoding failed: " .. tostring(err)
    end
    return found
end


--- The provider's description; fetched if `opts.discovery` is an address.
-- @treturn table|nil
-- @treturn nil|string error
function _M.discover(opts)
    local address = opts.discovery
    if type(address) ~= "string" then
        return address
    end
    local text = _M.cache_get("discovery", address)
    local found = text and cjson.decode(text)
    if not found then
        local response, err = request(opts, address, {})
        if not response then
            return nil, "accessing discovery url (" .. address .. ") failed: " .. tostring(err)
        end
        found, err = read_json(response)
        if not found then
            return nil, "could not decode JSON from Discovery data: " .. err
        end
        _M.cache_set("discovery", address, response.body, opts.discovery_expires_in or DAY)
    end
    opts.discovery = found
    return found
end


--- The keys of the provider, as list.
-- @tparam boolean fresh not those that are cached
function _M.keys(opts, uri, fresh)
    local text = not fresh and _M.cache_get("jwks", uri)
    local found = text and cjson.decode(text)
    if not found then
        local response, err = request(opts, uri, {})
        if not response then
            return nil, "accessing jwks url (" .. uri .. ") failed: " .. tostring(err)
        end
        found, err = read_json(response)
        if not found then
            return nil, "could not decode JSON from jwks endpoint: " .. err
        end
        _M.cache_set("jwks", uri, response.body, opts.jwk_expires_in or DAY)
    end
    return type(found.keys) == "table" and found.keys or {}
end


local function assertion(opts, endpoint, secret, alg, key_id)
    local now = time()
    return pcall(jwt.sign, jwt, secret, {
        header = { typ = "JWT", alg = alg, kid = key_id },
        payload = { iss = opts.client_id, sub = opts.client_id, aud = endpoint,
                    jti = ngx.md5(tostring(now) .. ngx.var.request_id), iat = now,
                    exp = now + (opts.client_jwt_assertion_expires_in or ASSERTION_SECONDS) },
    })
end


-- Puts into headers and body who the gateway is.
local function identify(opts, endpoint, method, headers, body)
    if method == "client_secret_basic" then
        headers.Authorization = "Basic " .. encode_base64(
            ngx.escape_uri(opts.client_id) .. ":" .. ngx.escape_uri(opts.client_secret or ""))
        return true
    end
    body.client_id = opts.client_id
    if method == "client_secret_post" then
        body.client_secret = opts.client_secret
        return true
    elseif method == "private_key_jwt" or method == "client_secret_jwt" then
        local private = method == "private_key_jwt"
        local alg = opts.client_jwt_assertion_alg or (private and "RS256" or "HS256")
        local ok, text = assertion(opts, endpoint,
                                   private and opts.client_rsa_private_key or opts.client_secret,
                                   alg, private and opts.client_rsa_private_key_id or nil)
        if not ok then
            return nil, "signing the client assertion failed: "
                        .. tostring(type(text) == "table" and text.reason or text)
        end
        body.client_assertion_type, body.client_assertion = ASSERTION_TYPE, text
    end
    return true
end


--- Asks one of the provider's endpoints that want to know who asks.
-- @treturn table|nil the answer
-- @treturn nil|string error
function _M.ask(opts, endpoint, fields, method, name)
    local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
    local body = {}
    for key, value in pairs(fields) do
        body[key] = value
    end
    if not endpoint then
        return nil, "no endpoint URI for " .. name
    end
    if not method and not opts.client_secret then
        method = "none"
    end
    local ok, err = identify(opts, endpoint, method or "client_secret_post", headers, body)
    if not ok then
        return nil, err
    end
    local response
    response, err = request(opts, endpoint, { method = "POST", body = encode_args(body),
                                              headers = headers })
    if not response then
        return nil, "accessing " .. name .. " endpoint (" .. endpoint .. ") failed: "
                    .. tostring(err)
    end
    return read_json(response)
end


--- How the gateway tells the token endpoint who it is.
function _M.auth_method(opts, discovery)
    if opts.token_endpoint_auth_method then
        return opts.token_endpoint_auth_method
    end
    local known = discovery.token_endpoint_auth_methods_supported
    for _, method in ipairs(type(known) == "table" and known or {}) do
        if method == "client_secret_basic" or method == "client_secret_post" then
            return method
        end
    end
    return "client_secret_basic"
end


--- What the provider says of the user behind an access token.
function _M.userinfo(opts, discovery, access_token)
    local endpoint = discovery.userinfo_endpoint
    if not endpoint or not access_token then
        return nil, "no userinfo endpoint supplied"
    end
    local response, err = request(opts, endpoint, {
        headers = { Authorization = "Bearer " .. access_token },
    })
    if not response then
        return nil, "accessing (" .. endpoint .. ") failed: " .. tostring(err)
    end
    return read_json(response)
end


--- Scheme and host that the client used.
function _M.own_address(opts)
    local headers = ngx.req.get_headers()
    local scheme = opts.redirect_uri_scheme or headers["x-forwarded-proto"] or ngx.var.scheme
    local name = headers["x-forwarded-host"] or ngx.var.http_host
    scheme = match(type(scheme) == "table" and scheme[1] or scheme, "^%s*([^,%s]*)")
    name = match(type(name) == "table" and name[1] or name or "", "^%s*([^,%s]*)")
    return scheme .. "://" .. name
end


--- The address that the provider sends the client back to.
function _M.redirect_uri(opts)
    local uri = opts.redirect_uri or opts.redirect_uri_path
    if sub(uri, 1, 1) == "/" then
        return _M.own_address(opts) .. uri
    end
    return uri
end


--- A path without arguments, of an address.
function _M.path_of(uri)
    return match(gsub(uri, "^%a[%w+.-]*://[^/?]*", ""), "^[^?]*")
end


--- Adds arguments to an address.
function _M.with_args(uri, args)
    return uri .. (find(uri, "?", 1, true) and "&" or "?") .. encode_args(args)
end


return _M
