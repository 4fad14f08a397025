--- `resty.http`: an HTTP/1.1 client on cosockets.
-- @module resty.http
local body_readers = require("resty.http.body")
local head = require("resty.http.head")
local proxies = require("resty.http.proxy")
local uris = require("resty.http.uri")

local concat = table.concat
local find = string.find
local lower = string.lower
local setmetatable = setmetatable
local sub = string.sub
local tcp = require("moongate.socket").tcp
local tonumber = tonumber
local tostring = tostring
local type = type
local upper = string.upper

local PORTS = uris.PORTS
local NOT_CONNECTED = "not initialized"

local _M = { _VERSION = "0.17.2" }
local mt = { __index = _M }

require("resty.http.extras").extend(_M)


--- A client: one connection at a time.
function _M.new()
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    return setmetatable({ sock = sock, keepalive = true }, mt)
end


--- Milliseconds for each single operation.
function _M:set_timeout(timeout)
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    return self.sock:settimeout(timeout)
end


function _M:set_timeouts(connect, send, read)
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    return self.sock:settimeouts(connect, send, read)
end


function _M:ssl_handshake(...)
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    self.ssl = true
    return self.sock:sslhandshake(...)
end


local function connect_tls(self, options)
    local server_name = options.ssl_server_name or options.host
    local verify = options.ssl_verify ~= false
    if options.ssl_client_cert and options.ssl_client_priv_key then
        local ok, err = self.sock:setclientcert(options.ssl_client_cert,
                                                options.ssl_client_priv_key)
        if not ok then
            return nil, err
        end
    end
    return self:ssl_handshake(nil, server_name, verify)
end


local function connect_with(self, options)
    local scheme = options.scheme and lower(options.scheme) or "http"
    if not PORTS[scheme] then
        return nil, "unsupported scheme: " .. scheme
    end
    if type(options.host) ~= "string" then
        return nil, "host is missing"
    end

    local plain = setmetatable({ scheme = scheme }, { __index = options })
    local port = tonumber(options.port) or PORTS[scheme]
    local pool = {
        pool = options.pool or uris.pool_name(plain),
        pool_size = options.pool_size,
        backlog = options.backlog,
    }
    self.scheme, self.host, self.port, self.keepalive = scheme, options.host, port, true

    local proxy, ok, err
    proxy, err = proxies.choose(options.proxy_opts or self.proxy_opts, scheme, options.host, port)
    self.proxy = proxy
    if err then
        return nil, err
    elseif proxy then
        pool.pool = pool.pool .. ":" .. proxy.uri .. ":" .. (proxy.authorization or "")
        ok, err = self.sock:connect(proxy.host, proxy.port, pool)
    elseif sub(options.host, 1, 5) == "unix:" then
        self.port = nil
        ok, err = self.sock:connect(options.host, pool)
    else
        ok, err = self.sock:connect(options.host, port, pool)
    end
    if not ok then
        return nil, err
    end

    if scheme == "https" and (self.sock:getreusedtimes() or 0) == 0 then
        if proxy then
            ok, err = proxies.tunnel(self.sock, proxy, options.host, port)
        end
        if ok then
            ok, err = connect_tls(self, options)
        end
        if not ok then
            self:close()
            return nil, err
        end
    end
    return true
end


--- Connects: with a table of options (`scheme`, `host`, `port`, `ssl_verify`,
-- `ssl_server_name`, `pool` ...), or with host, port and the socket's own options.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M:connect(options, ...)
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    if type(options) == "table" then
        return connect_with(self, options)
    end

    local port = ...
    self.host = options
    self.port = type(port) == "number" and port or nil
    self.scheme = "http"
    self.keepalive = true
    return self.sock:connect(options, ...)
end


--- Gives the connection back to its pool, or closes it if it cannot be used again.
-- @treturn number|nil 1; 2 when it was closed
-- @treturn nil|string error
function _M:set_keepalive(...)
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    if self.keepalive then
        return self.sock:setkeepalive(...)
    end
    local ok, err = self.sock:close()
    if not ok then
        return nil, err
    end
    return 2, "connection must be closed"
end


function _M:get_reused_times()
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    return self.sock:getreusedtimes()
end


function _M:close()
    if not self.sock then
        return nil, NOT_CONNECTED
    end
    return self.sock:close()
end


local function send_body(sock, body)
    if type(body) == "function" then
        while true do
            local chunk, err = body()
            if err then
                return nil, err
            end
            if chunk == nil then
                return true
            end
            local ok
            ok, err = sock:send(chunk)
            if not ok then
                return nil, err
            end
        end
    end

    if type(body) == "table" then
        body = concat(body)
    end
    if body and body ~= "" then
        return sock:send(body)
    end
    return true
end


--- Sends a request.
-- @tparam table params `method`, `path`, `query`, `headers`, `body`, `version`
-- @treturn boolean|nil
-- @treturn nil|string error
-- @treturn nil|table an answer that came instead of "100 Continue"
function _M:send_request(params)
    local sock = self.sock
    if not sock then
        return nil, NOT_CONNECTED
    end

    local method = upper(params.method or "GET")
    local headers, err = head.request_headers(self, params, method)
    if not headers then
        return nil, err
    end
    local proxy = self.proxy
    if proxy and proxy.prefix then
        params = setmetatable({ path = proxy.prefix .. (params.path or "/") }, { __index = params })
        headers["Proxy-Authorization"] = proxy.authorization
    end
    local text
    text, err = head.format_request(method, params, headers)
    if not text then
        return nil, err
    end

    local body = params.body
    local waits = headers["Expect"] and lower(tostring(headers["Expect"])) == "100-continue"
    if type(body) == "string" and not waits then
        -- One write for a whole small request.
        text, body = text .. body, nil
    end
    local ok
    ok, err = sock:send(text)
    if not ok then
        return nil, err
    end

    if waits then
        local answer
        answer, err = head.read_response(sock, true)
        if not answer then
            return nil, err
        end
        if answer.status ~= 100 then
            self.keepalive = false
            return true, nil, answer
        end
    end
    ok, err = send_body(sock, body)
    if not ok then
        return nil, err
    end
    return true
end


local function choose_reader(self, response, method)
    local headers = response.headers
    local status = response.status
    if method == "HEAD" or status < 200 or status == 204 or status == 304 then
        return body_readers.none, false
    end

    local encoding = headers["Transfer-Encoding"]
    if encoding and find(lower(tostring(encoding)), "chunked", 1, true) then
        return body_readers.chunked(self.sock, function(name, value)
            headers[name] = value
        end), true
    end
    local length = headers["Content-Length"]
    if type(length) == "table" then
        length = length[1]
    end
    length = tonumber(length)
    if length and length >= 0 then
        return body_readers.by_length(self.sock, length), true
    end
    self.keepalive = false
    return body_readers.until_close(self.sock), true
end


local function read_body(response, bytes_max)
    return body_readers.read_all(response.body_reader, bytes_max)
end


-- Trailers are in the headers once the body was read.
local function read_trailers()
    return true
end


--- Reads the head of the response.
-- @tparam table params of the request
-- @tparam[opt] table answer a head that was already read
-- @treturn table|nil `status`, `reason`, `headers`, `has_body`, `body_reader`, `read_body`
-- @treturn nil|string error
function _M:read_response(params, answer)
    local response, err = answer, nil
    if not response then
        response, err = head.read_response(self.sock)
    end
    if not response then
        return nil, err
    end

    self.keepalive = self.keepalive and head.keeps_alive(response)
    local method = upper(params.method or "GET")
    response.body_reader, response.has_body = choose_reader(self, response, method)
    response.read_body = read_body
    response.read_trailers = read_trailers
    return response
end


--- Sends a request on the open connection and reads the head of the response.
-- Params as for `send_request`, result as for `read_response`.
function _M:request(params)
    local sent, err, answer = self:send_request(params)
    if not sent then
        return nil, err
    end
    return self:read_response(params, answer)
end


--- Takes an absolute URI apart; see `resty.http.uri`.
function _M:parse_uri(uri, query_in_path)
    return uris.parse(uri, query_in_path)
end


-- After the exchange: keep the connection, as far as caller and server allow.
local function put_away(self, params)
    if params.keepalive == false then
        return self:close()
    end
    return self:set_keepalive(params.keepalive_timeout, params.keepalive_pool)
end


--- Connects, asks, reads everything and puts the connection away.
-- @tparam string uri
-- @tparam[opt] table params of `connect` and `request`; `keepalive` (true),
--   `keepalive_timeout` (ms), `keepalive_pool`; moongate's own `body_bytes_max`, beyond which
--   a response is an error
-- @treturn table|nil `status`, `reason`, `headers`, `has_body`, `body`
-- @treturn nil|string error
function _M:request_uri(uri, params)
    params = params or {}
    local parts, err = uris.parse(uri, false)
    if not parts then
        return nil, err
    end

    local request = setmetatable({}, { __index = params })
    request.path = params.path or parts[4]
    request.query = params.query or (parts[5] ~= "" and parts[5] or nil)

    local ok
    ok, err = self:connect(uris.connection_options(parts, params))
    if not ok then
        return nil, err
    end
    local response
    response, err = self:request(request)
    if not response then
        self:close()
        return nil, err
    end
    local body
    body, err = response:read_body(params.body_bytes_max)
    if not body then
        self:close()
        return nil, err
    end

    response.body = body
    put_away(self, params)
    return response
end


return _M
