--- What `resty.openidc` asks of a provider: its description, its keys, its endpoints.
-- @module resty.openidc.provider
local cjson = require("cjson.safe")
local dpop = require("resty.openidc.dpop")
local forwarded = require("moongate.forwarded")
local host = require("moongate.host")
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
local random_bytes = host.crypto.random_bytes
local sub = string.sub
local time = ngx.time
local to_hex = require("resty.string").to_hex
local tostring = tostring
local type = type

local DAY = 86400
local ASSERTION_SECONDS = 60
local REFRESH_SECONDS = 10

-- A provider that is broken must not fill the memory with its answer, nor the log.
local ANSWER_BYTES_MAX = 1024 * 1024
local TOLD_BYTES_MAX = 512

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
        ngx.log(ngx.DEBUG, "requests to the provider use http proxy")
        client:set_proxy_options(opts.proxy_opts)
    end
    params.ssl_verify = opts.ssl_verify ~= "no"
    params.keepalive = opts.keepalive ~= "no"
    params.body_bytes_max = ANSWER_BYTES_MAX
    if opts.http_request_decorator then
        params = opts.http_request_decorator(params)
    end
    return client:request_uri(uri, params)
end


local function read_json(response)
    if response.status ~= 200 and response.status ~= 201 then
        return nil, "response indicates failure, status=" .. response.status .. ", body="
                    .. sub(tostring(response.body), 1, TOLD_BYTES_MAX)
    end
    local found, err = cjson.decode(response.body)
    if type(found) ~= "table" then
        return nil, "JSON decoding failed: " .. tostring(err)
    end
    return found
end


-- What is to be an address must be text: it is put together with other text.
local function check_description(found)
    for name, value in pairs(found) do
        local is_address = type(name) == "string" and (match(name, "_endpoint$")
                           or name == "issuer" or name == "jwks_uri")
        if is_address and type(value) ~= "string" then
            return nil, "\"" .. name .. "\" is no text"
        end
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
        if found then
            found, err = check_description(found)
        end
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


--- Whether cached keys may be fetched anew. Whoever makes up a token can name a key that nobody
-- has: the provider is not asked for each.
function _M.may_refresh(uri)
    local dict = ngx.shared.jwks
    return not dict or dict:add("refreshed " .. uri, 1, REFRESH_SECONDS) == true
end


local function assertion(opts, endpoint, secret, alg, key_id)
    local now = time()
    return pcall(jwt.sign, jwt, secret, {
        header = { typ = "JWT", alg = alg, kid = key_id },
        payload = { iss = opts.client_id, sub = opts.client_id,
                    aud = opts.client_jwt_assertion_audience or endpoint,
                    jti = to_hex(random_bytes(16)), iat = now,
                    exp = now + (opts.client_jwt_assertion_expires_in or ASSERTION_SECONDS) },
    })
end


-- Puts into headers and body who the gateway is.
local function identify(opts, endpoint, method, headers, body)
    if method == "client_secret_basic" and opts.client_secret then
        headers.Authorization = "Basic " .. encode_base64(
            ngx.escape_uri(opts.client_id) .. ":" .. ngx.escape_uri(opts.client_secret))
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


-- A provider may want a number of its own in a proof of possession: it says so, once.
local function post(opts, endpoint, body, headers, proves)
    local response, err
    for _ = 1, proves and opts.use_dpop and 2 or 1 do
        if proves and opts.use_dpop then
            headers.DPoP, err = dpop.proof(opts, "POST", endpoint, nil, opts.dpop_nonce)
            if not headers.DPoP then
                return nil, err
            end
        end
        response, err = request(opts, endpoint, { method = "POST", body = body,
                                                  headers = headers })
        if not response or not dpop.wants_nonce(opts, response) then
            return response, err
        end
    end
    return response, err
end


--- Asks one of the provider's endpoints that want to know who asks.
-- @tparam table opts
-- @tparam string endpoint
-- @tparam table fields of the form
-- @tparam string|nil method how the gateway says who it is
-- @tparam string name of the endpoint, for messages
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
    response, err = post(opts, endpoint, encode_args(body), headers, name == "token")
    if not response then
        return nil, "accessing " .. name .. " endpoint (" .. endpoint .. ") failed: "
                    .. tostring(err)
    end
    return read_json(response)
end


-- What a method needs that not every client has.
local CREDENTIALS = { private_key_jwt = "client_rsa_private_key",
                      client_secret_jwt = "client_secret" }


--- How the gateway tells the token endpoint who it is.
function _M.auth_method(opts, discovery)
    local wanted = opts.token_endpoint_auth_method
    local needs = CREDENTIALS[wanted]
    if wanted and (not needs or opts[needs]) then
        return wanted
    elseif wanted then
        ngx.log(ngx.ERR, "token_endpoint_auth_method ", wanted, " needs ", needs)
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
    local headers, response, err = { Authorization = "Bearer " .. access_token }, nil, nil
    for _ = 1, opts.use_dpop and 2 or 1 do
        if opts.use_dpop then
            headers.Authorization = "DPoP " .. access_token
            headers.DPoP, err = dpop.proof(opts, "GET", endpoint, access_token, opts.dpop_nonce)
            if not headers.DPoP then
                return nil, err
            end
        end
        response, err = request(opts, endpoint, { headers = headers })
        if not response or not dpop.wants_nonce(opts, response) then
            break
        end
    end
    if not response then
        return nil, "accessing (" .. endpoint .. ") failed: " .. tostring(err)
    end
    return read_json(response)
end


--- Scheme and host that the client used.
function _M.own_address(opts)
    local scheme, name = forwarded.own_address()
    return (opts.redirect_uri_scheme or scheme) .. "://" .. (name or "")
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
