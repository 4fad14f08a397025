--- Calls of etcd's HTTP gateway: endpoints, TLS, logging in.
-- @module moongate.etcd_call
local bounded_http = require("moongate.bounded_http")
local io = require("apisix.core.io")
local json = require("apisix.core.json")
local ssl = require("ngx.ssl")

local decode_base64 = ngx.decode_base64
local find = string.find
local ipairs = ipairs
local sub = string.sub
local tostring = tostring
local type = type

-- More than etcd sends at once by its own default (2 MiB to write, no bound to read).
local BODY_BYTES_MAX = 256 * 1024 * 1024
local MASK = "***"

local _M = {}


local function decode_kvs(kvs)
    for _, kv in ipairs(kvs) do
        kv.key = kv.key and decode_base64(kv.key)
        -- Null, and what is no JSON, is nothing.
        local value = kv.value and decode_base64(kv.value)
        value = value and json.decode(value)
        kv.value = value ~= json.null and value or nil
    end
end


local function readable(path, what)
    local text, err = io.get_file(path)
    if not text then
        return nil, "deployment.etcd.tls." .. what .. ": " .. err
    end
    return text
end


-- What a TLS connection needs, read once.
local function identity(self)
    local tls = self.tls
    if not tls.cert or self.parsed_cert then
        return true
    end
    local cert, err = readable(tls.cert, "cert")
    local key
    if cert then
        key, err = readable(tls.key, "key")
    end
    if not key then
        return nil, err
    end
    self.parsed_cert, err = ssl.parse_pem_cert(cert)
    if self.parsed_cert then
        self.parsed_key, err = ssl.parse_pem_priv_key(key)
    end
    return self.parsed_key ~= nil or nil, err
end


local function without_password(self, text)
    local password = self.password
    if password and password ~= "" then
        local from, to = find(text, password, 1, true)
        if from then
            return sub(text, 1, from - 1) .. MASK .. sub(text, to + 1)
        end
    end
    return text
end


-- One call; the endpoints are tried in turn until one takes the connection.
local function send(self, method, path, body, token)
    local ok, err = identity(self)
    if not ok then
        return nil, err
    end
    local text = body and json.encode(body)
    for _ = 1, #self.hosts do
        local response, step
        response, err, step = bounded_http.ask(self.hosts[self.at] .. path, {
            method = method, body = text, timeout = self.timeout * 1000,
            body_bytes_max = BODY_BYTES_MAX,
            headers = { ["Content-Type"] = "application/json", Authorization = token },
            ssl_verify = self.tls.verify ~= false, ssl_server_name = self.tls.sni,
            ssl_client_cert = self.parsed_cert, ssl_client_priv_key = self.parsed_key,
        })
        if response then
            return response
        end
        err = self.hosts[self.at] .. ": " .. err
        self.at = self.at % #self.hosts + 1
        -- What was sent may have been done: only who asks can know whether to ask again.
        if step ~= "connect" then
            break
        end
    end
    return nil, err
end


local function decoded(self, response)
    local body, err = json.decode(response.body)
    if type(body) ~= "table" then
        return nil, "etcd answered with status " .. response.status .. " and no JSON object"
                    .. (err and ": " .. err or "")
    end
    if type(body.error) == "table" then
        body.error = body.error.message
    end
    if body.error then
        body.error = without_password(self, tostring(body.error))
    end
    response.body = body
    return response
end


local function log_in(self)
    local response, err = send(self, "POST", "/v3/auth/authenticate",
                               { name = self.user, password = self.password })
    if response then
        response, err = decoded(self, response)
    end
    if not response then
        return nil, err
    elseif type(response.body.token) ~= "string" then
        return nil, "etcd does not take user " .. self.user .. ": "
                    .. (response.body.error or "no token")
    end
    self.token = response.body.token
    return true
end


-- Tokens end, and with etcd's own kind at its restart.
local function is_stale(response)
    local text = response.body.error
    return type(text) == "string" and (find(text, "invalid auth token", 1, true)
                                       or find(text, "auth: revision", 1, true)) ~= nil
end


--- Asks etcd, logging in where that is needed.
-- @tparam table self `hosts` (addresses), `at` (the one in use), `tls`, `timeout` (seconds), `user`
--   and `password`
-- @tparam string method
-- @tparam string path
-- @tparam[opt] table body
-- @treturn table|nil `status`, `headers`, `body` with its texts decoded; `body.error` is a text
-- @treturn nil|string error
function _M.call(self, method, path, body)
    local response, err
    for attempt = 1, 2 do
        if self.user and not self.token then
            local ok
            ok, err = log_in(self)
            if not ok then
                return nil, err
            end
        end
        response, err = send(self, method, path, body, self.token)
        if response then
            response, err = decoded(self, response)
        end
        if not response then
            return nil, err
        elseif attempt == 2 or not self.user or not is_stale(response) then
            break
        end
        self.token = nil
    end
    if type(response.body.kvs) == "table" then
        decode_kvs(response.body.kvs)
    end
    if type(response.body.prev_kv) == "table" then
        decode_kvs({ response.body.prev_kv })
    end
    return response
end


return _M
