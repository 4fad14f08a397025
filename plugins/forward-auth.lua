--- forward-auth: asks an authorization service about each request.
--
-- Runs in `access`. The service gets method, scheme, host, target and address of the client as
-- `X-Forwarded-*`, the headers that the conf names, and with `request_method` POST the body,
-- too. An answer below 300 lets the request through; any other is given to the client with its
-- status, its body, and those of its headers that `client_headers` names: redirections are not
-- followed. A service that cannot be asked means `status_on_error` without a body, unless
-- `allow_degradation` lets the request through; a body that cannot be sent on means 413.
--
-- What frames the client's request never reaches the service, whatever the conf names: the
-- service gets another message.
local core = require("apisix.core")
local http = require("resty.http")

local find = string.find
local ipairs = ipairs
local lower = string.lower
local pairs = pairs
local resolve_var = core.utils.resolve_var
local tostring = tostring

local NAME = "forward-auth"
local PASSED_MIN = 200
local REFUSED_MIN = 300
local TOO_LARGE = 413

-- The body of an answer is given to the client whole.
local ANSWER_BYTES_MAX = 8 * 1024 * 1024

local FRAMING = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["keep-alive"] = true,
    ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
}


local function names(what)
    return {
        type = "array",
        default = {},
        items = { type = "string" },
        description = what,
    }
end


local schema = {
    type = "object",
    properties = {
        uri = { type = "string" },
        allow_degradation = { type = "boolean", default = false },
        status_on_error = { type = "integer", minimum = 200, maximum = 599, default = 403 },
        ssl_verify = { type = "boolean", default = true },
        request_method = {
            type = "string",
            default = "GET",
            enum = { "GET", "POST" },
            description = "how the service is asked",
        },
        max_req_body_size = {
            type = "integer",
            minimum = 1,
            default = 67108864,
            description = "bytes of the body that POST sends on",
        },
        request_headers = names("headers of the client for the service"),
        extra_headers = {
            type = "object",
            minProperties = 1,
            patternProperties = {
                ["^[^:]+$"] = { type = "string", description = "a value, with $variables" },
            },
            description = "further headers for the service",
        },
        upstream_headers = names("headers of the service for the upstream"),
        client_headers = names("headers of the service for the client that is refused"),
        timeout = {
            type = "integer",
            minimum = 1,
            maximum = 60000,
            default = 3000,
            description = "milliseconds",
        },
        keepalive = { type = "boolean", default = true },
        keepalive_timeout = { type = "integer", minimum = 1000, default = 60000 },
        keepalive_pool = { type = "integer", minimum = 1, default = 5 },
    },
    required = { "uri" },
}

local _M = {
    version = 0.1,
    priority = 2002,
    name = NAME,
    schema = schema,
}


function _M.check_schema(conf)
    core.utils.check_https({ "uri" }, conf, NAME)
    core.utils.check_tls_bool({ "ssl_verify" }, conf, NAME)
    return core.schema.check(schema, conf)
end


-- Two names that differ in case alone are one header: what is there first stays.
local function put(headers, taken, name, value)
    local key = lower(name)
    if value ~= nil and not taken[key] and not FRAMING[key] then
        headers[name] = value
        taken[key] = name
    end
end


local function put_extra(conf, ctx, headers, taken)
    for name, text in pairs(conf.extra_headers) do
        local value, err = resolve_var(tostring(text), ctx.var)
        if err then
            core.log.error("failed to resolve variable in extra header '", name, "': ", text,
                           ": ", err)
        else
            local key = lower(name)
            headers[taken[key] or name], taken[key] = nil, nil
            put(headers, taken, name, value)
        end
    end
end


-- Variables, the path among them, hold what the client sent, decoded: a line break there would
-- make a header. It is the client's fault, so no degradation lets it pass.
local function has_line_breaks(headers)
    for name, value in pairs(headers) do
        if find(value, "[%z\r\n]") then
            core.log.warn("failed to process forward auth, err: invalid characters found in ",
                          "header value, ", name)
            return true
        end
    end
    return false
end


local function headers_for_service(conf, ctx)
    local headers, taken = {}, {}
    put(headers, taken, "X-Forwarded-Proto", core.request.get_scheme(ctx))
    put(headers, taken, "X-Forwarded-Method", core.request.get_method())
    put(headers, taken, "X-Forwarded-Host", core.request.get_host(ctx))
    put(headers, taken, "X-Forwarded-Uri", ctx.var.request_uri)
    put(headers, taken, "X-Forwarded-For", core.request.get_remote_client_ip(ctx))
    if conf.request_method == "POST" then
        put(headers, taken, "Content-Encoding", core.request.header(ctx, "Content-Encoding"))
    end
    if conf.extra_headers then
        put_extra(conf, ctx, headers, taken)
    end
    for _, name in ipairs(conf.request_headers) do
        put(headers, taken, name, core.request.header(ctx, name))
    end
    return headers
end


local function ask(conf, headers, body)
    local client, err = http.new()
    if not client then
        return nil, err
    end
    client:set_timeout(conf.timeout)
    local answer
    answer, err = client:request_uri(conf.uri, {
        method = conf.request_method,
        headers = headers,
        body = body,
        ssl_verify = conf.ssl_verify,
        keepalive = conf.keepalive,
        keepalive_timeout = conf.keepalive and conf.keepalive_timeout or nil,
        keepalive_pool = conf.keepalive and conf.keepalive_pool or nil,
        body_bytes_max = ANSWER_BYTES_MAX,
    })
    if answer and answer.status < PASSED_MIN then
        return nil, "unexpected status " .. answer.status
    end
    return answer, err
end


local function refuse(conf, answer)
    for _, name in ipairs(conf.client_headers) do
        core.response.set_header(name, answer.headers[name])
    end
    return answer.status, answer.body
end


function _M.access(conf, ctx)
    local body, err
    if conf.request_method == "POST" then
        body, err = core.request.get_body(conf.max_req_body_size)
        if err then
            core.log.error("failed to read request body: ", err)
            return TOO_LARGE
        end
    end

    local headers = headers_for_service(conf, ctx)
    if has_line_breaks(headers) then
        return conf.status_on_error
    end
    local answer
    answer, err = ask(conf, headers, body)
    if not answer then
        if conf.allow_degradation then
            return
        end
        core.log.warn("failed to process forward auth, err: ", err)
        return conf.status_on_error
    end
    if answer.status >= REFUSED_MIN then
        return refuse(conf, answer)
    end

    -- A header that the service did not send is taken out: the client's own proves nothing.
    for _, name in ipairs(conf.upstream_headers) do
        core.request.set_header(ctx, name, answer.headers[name])
    end
end


return _M
