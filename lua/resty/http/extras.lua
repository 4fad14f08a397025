--- What the HTTP client has beside asking: pipelines, the client's own body, proxies by option.
-- @module resty.http.extras
local body_readers = require("resty.http.body")
local proxies = require("resty.http.proxy")

local ipairs = ipairs
local lower = string.lower
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable

local CHUNK_BYTES = 65536

-- What belongs to one connection only (RFC 9110, section 7.6.1).
local HOP_BY_HOP = {
    connection = true, ["keep-alive"] = true, ["proxy-authenticate"] = true,
    ["proxy-authorization"] = true, te = true, trailers = true, ["transfer-encoding"] = true,
    upgrade = true, ["content-length"] = true,
}

local _M = {}


-- A response that is read when somebody asks for one of its fields.
local function later(client, params)
    local done = false
    return setmetatable({}, {
        __index = function(response, name)
            if done then
                return nil
            end
            done = true
            local read, err = client:read_response(params)
            if not read then
                ngx.log(ngx.ERR, "failed to read a pipelined response: ", err)
                return nil
            end
            for key, value in pairs(read) do
                response[key] = value
            end
            return response[name]
        end,
    })
end


local function add_proxies(Client)
    --- Has later connections go through proxies.
    -- @tparam table options `http_proxy`, `http_proxy_authorization`, `https_proxy`,
    --   `https_proxy_authorization`, `no_proxy`
    function Client:set_proxy_options(options)
        local copy = {}
        for name, value in pairs(options) do
            copy[name] = value
        end
        self.proxy_opts = copy
    end

    --- The proxy for a server.
    -- @treturn string|nil
    function Client:get_proxy_uri(scheme, host)
        return proxies.uri(self.proxy_opts, scheme, host)
    end

    --- Connects to a server through a proxy.
    -- @tparam string uri of the proxy
    -- @tparam string scheme of the server
    -- @tparam string host
    -- @tparam number port
    -- @tparam[opt] string authorization
    function Client:connect_proxy(uri, scheme, host, port, authorization)
        return self:connect({ scheme = scheme, host = host, port = port, proxy_opts = {
            [scheme .. "_proxy"] = uri, [scheme .. "_proxy_authorization"] = authorization,
        } })
    end
end


--- Gives the client its methods.
function _M.extend(Client)
    --- Sends several requests before it reads the first answer; each answer's body must be read
    -- before the next answer.
    -- @tparam {table,...} requests as for `request`
    -- @treturn {table,...}|nil
    -- @treturn nil|string error
    function Client:request_pipeline(requests)
        local responses = {}
        for i, params in ipairs(requests) do
            if params.headers and params.headers["Expect"] == "100-continue" then
                return nil, "Cannot pipeline request specifying Expect: 100-continue"
            end
            local ok, err = self:send_request(params)
            if not ok then
                return nil, err
            end
            responses[i] = later(self, params)
        end
        return responses
    end

    --- A reader for the body of the request that runs now.
    -- @tparam[opt=65536] number size
    -- @tparam[opt] table sock
    -- @treturn function|nil nil also if there is no body
    -- @treturn nil|string error
    function Client.get_client_body_reader(_, size, sock)
        if not sock then
            local ok, found, err = pcall(ngx.req.socket)
            if not ok then
                return nil, found
            elseif not found then
                return nil, err ~= "no body" and err or nil
            end
            sock = found
        end
        local length = tonumber((ngx.req.get_headers()["content-length"]))
        if not length then
            return nil
        end
        local reader = body_readers.by_length(sock, length)
        return function(most)
            return reader(most or size or CHUNK_BYTES)
        end
    end

    --- Sends the request that runs now to the server.
    function Client:proxy_request(size)
        return self:request({
            method = ngx.req.get_method(),
            path = ngx.var.uri:gsub("%s", "%%20") .. ngx.var.is_args
                   .. (ngx.var.query_string or ""),
            body = self:get_client_body_reader(size),
            headers = ngx.req.get_headers(),
        })
    end

    --- Answers the request that runs now with a response.
    function Client.proxy_response(_, response, size)
        if not response then
            ngx.log(ngx.ERR, "no response provided")
            return
        end
        ngx.status = response.status
        for name, value in pairs(response.headers) do
            if not HOP_BY_HOP[lower(name)] then
                ngx.header[name] = value
            end
        end
        repeat
            local piece, err = response.body_reader(size)
            if err then
                ngx.log(ngx.ERR, err)
            elseif piece then
                ngx.print(piece)
            end
        until err or not piece
    end

    add_proxies(Client)
end


return _M
