--- `resty.aws.request.sign`: signs a request as AWS wants it (Signature Version 4).
-- @module resty.aws.request.sign
local host = require("moongate.host")

local to_hex = require("resty.string").to_hex
local concat = table.concat
local digest = host.crypto.digest
local error = error
local format = string.format
local gsub = string.gsub
local hmac = host.crypto.hmac
local ipairs = ipairs
local lower = string.lower
local pairs = pairs
local sort = table.sort
local time = ngx.time
local tostring = tostring
local type = type

local ALGORITHM = "AWS4-HMAC-SHA256"


local function escape(text)
    return (gsub(tostring(text), "[^%w%-%._~]", function(one)
        return format("%%%02X", one:byte())
    end))
end


local function canonical_query(query)
    if type(query) == "string" then
        return query
    end
    local parts = {}
    for name, value in pairs(query or {}) do
        for _, item in ipairs(type(value) == "table" and value or { value }) do
            parts[#parts + 1] = escape(name) .. "=" .. escape(item == true and "" or item)
        end
    end
    sort(parts)
    return concat(parts, "&")
end


local function canonical_headers(headers)
    local names, values = {}, {}
    for name, value in pairs(headers) do
        name = lower(name)
        names[#names + 1] = name
        values[name] = gsub(gsub(tostring(value), "^%s+", ""), "%s+$", "")
    end
    sort(names)
    local lines = {}
    for i, name in ipairs(names) do
        lines[i] = name .. ":" .. values[name] .. "\n"
    end
    return concat(lines), concat(names, ";")
end


local function default_port(port, tls)
    return port == nil or (tls and port == 443) or (not tls and port == 80)
end


--- Signs a request.
-- @tparam table config `credentials` (with `get`), `region`, `signatureVersion` "v4",
--   `signingName` or `endpointPrefix`
-- @tparam table request `method`, `host`, `port`, `path` or `canonicalURI`, `query`, `headers`,
--   `body`, `timestamp`
-- @treturn table|nil `url`, `host`, `port`, `method`, `target`, `headers`, `body`
-- @treturn nil|string error
return function(config, request)
    if config.signatureVersion ~= "v4" then
        error("AWS signature version '" .. tostring(config.signatureVersion)
              .. "' does not exist or hasn't been implemented", 2)
    end
    local ok, key, secret, token = config.credentials:get()
    if not ok then
        return nil, "failed to get credentials: " .. tostring(key)
    end
    local tls = request.tls ~= false and config.tls ~= false
    local now = request.timestamp or time()
    local long, short = os.date("!%Y%m%dT%H%M%SZ", now), os.date("!%Y%m%d", now)
    local name = request.host or config.host
    local port = request.port or (tls and 443 or 80)
    local headers = {}
    for header, value in pairs(request.headers or {}) do
        headers[header] = value
    end
    headers["X-Amz-Date"] = long
    headers.Host = default_port(port, tls) and name or name .. ":" .. port
    if token then
        headers["X-Amz-Security-Token"] = token
    end
    local body = request.body or ""
    local hash = to_hex(digest("sha256", body))
    if config.signingName == "s3" or config.endpointPrefix == "s3" then
        headers["X-Amz-Content-Sha256"] = hash
    end
    local path = request.canonicalURI or gsub(request.path or "/", "[^%w%-%._~/%%]", escape)
    local query = canonical_query(request.canonical_querystring or request.query)
    local lines, signed = canonical_headers(headers)
    local canonical = concat({ request.method or "GET", path, query, lines, signed, hash }, "\n")
    local service = config.signingName or config.endpointPrefix
    local scope = concat({ short, config.region, service, "aws4_request" }, "/")
    local text = concat({ ALGORITHM, long, scope, to_hex(digest("sha256", canonical)) }, "\n")
    local step = hmac("sha256", "AWS4" .. secret, short)
    step = hmac("sha256", step, config.region)
    step = hmac("sha256", step, service)
    step = hmac("sha256", step, "aws4_request")
    headers.Authorization = format("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s", ALGORITHM,
                                   key, scope, signed, to_hex(hmac("sha256", step, text)))
    local target = (request.path or path) .. (query ~= "" and "?" .. query or "")
    return {
        url = (tls and "https" or "http") .. "://" .. headers.Host .. target, host = name,
        port = port, tls = tls, method = request.method or "GET", target = target,
        headers = headers, body = request.body,
    }
end
