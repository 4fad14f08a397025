--- A client of etcd v3 by its HTTP gateway (`/v3/...`, keys and values in base64).
--
-- It has the methods of `resty.etcd`'s v3 client that plugins call, with its results: a table of
-- `status`, `headers` and decoded `body`, whose keys and values are decoded as well. What Lua
-- writes is one JSON text per key. Nothing here watches: moongate follows etcd in Rust.
-- @module moongate.etcd_client
local call = require("moongate.etcd_call").call
local json = require("apisix.core.json")
local unsupported = require("moongate.unsupported")

local byte = string.byte
local char = string.char
local encode_base64 = ngx.encode_base64
local gsub = string.gsub
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local TIMEOUT_SECONDS = 30

local client = {}
local client_mt = { __index = client }

local _M = {}


-- The first key that does not begin with `prefix`.
local function prefix_end(prefix)
    for at = #prefix, 1, -1 do
        local last = byte(prefix, at)
        if last < 255 then
            return sub(prefix, 1, at - 1) .. char(last + 1)
        end
    end
    return "\0"
end


local function value_text(value)
    local text, err = json.encode(value)
    if not text then
        return nil, "failed to encode the value: " .. tostring(err)
    end
    return encode_base64(text)
end


--- Reads a key.
function client:get(key)
    return call(self, "POST", "/v3/kv/range", { key = encode_base64(key) })
end


--- Reads all keys that begin with `key`.
function client:readdir(key)
    return call(self, "POST", "/v3/kv/range", {
        key = encode_base64(key), range_end = encode_base64(prefix_end(key)),
    })
end


--- Writes a key.
-- @tparam string key
-- @param value what JSON knows
-- @tparam[opt] table opts `prev_kv`, `lease`
function client:set(key, value, opts)
    local text, err = value_text(value)
    if not text then
        return nil, err
    end
    opts = opts or {}
    return call(self, "POST", "/v3/kv/put", {
        key = encode_base64(key), value = text, prev_kv = opts.prev_kv, lease = opts.lease,
    })
end


-- Writes a key if it is not there (`VERSION` 0), or if it is.
local function set_if(self, key, value, result)
    return self:txn({ { key = key, target = "VERSION", result = result, version = 0 } },
                    { { requestPut = { key = key, value = value } } })
end


--- Writes a key that is not there yet.
function client:setnx(key, value)
    return set_if(self, key, value, "EQUAL")
end


--- Writes a key that is there.
function client:setx(key, value)
    return set_if(self, key, value, "GREATER")
end


--- Deletes a key.
function client:delete(key, opts)
    return call(self, "POST", "/v3/kv/deleterange", {
        key = encode_base64(key), prev_kv = opts and opts.prev_kv,
    })
end


--- Deletes all keys that begin with `key`.
function client:rmdir(key, opts)
    return call(self, "POST", "/v3/kv/deleterange", {
        key = encode_base64(key), range_end = encode_base64(prefix_end(key)),
        prev_kv = opts and opts.prev_kv,
    })
end


-- A request of a transaction with its texts in base64.
local function coded(operation)
    local out = {}
    for name, request in pairs(operation) do
        local copy = {}
        for field, value in pairs(request) do
            copy[field] = value
        end
        copy.key = copy.key and encode_base64(copy.key)
        copy.range_end = copy.range_end and encode_base64(copy.range_end)
        if copy.value ~= nil then
            local text, err = value_text(copy.value)
            if not text then
                return nil, err
            end
            copy.value = text
        end
        out[name] = copy
    end
    return out
end


local function coded_list(list)
    local out = setmetatable({}, json.array_mt)
    for at, operation in ipairs(list or {}) do
        local one, err = coded(operation)
        if not one then
            return nil, err
        end
        out[at] = one
    end
    return out
end


--- A transaction: `compare` decides between the operations `success` and `failure`.
function client:txn(compare, success, failure)
    local conditions = setmetatable({}, json.array_mt)
    for at, condition in ipairs(compare) do
        local wrapped, err = coded({ one = condition })
        if not wrapped then
            return nil, err
        end
        conditions[at] = wrapped.one
    end
    local done, err = coded_list(success)
    local otherwise
    if done then
        otherwise, err = coded_list(failure)
    end
    if not otherwise then
        return nil, err
    end
    return call(self, "POST", "/v3/kv/txn",
                { compare = conditions, success = done, failure = otherwise })
end


--- Makes a lease of `ttl` seconds; `body.ID` is its id.
function client:grant(ttl, id)
    return call(self, "POST", "/v3/lease/grant", { TTL = tonumber(ttl), ID = id or 0 })
end


function client:revoke(id)
    return call(self, "POST", "/v3/lease/revoke", { ID = id })
end


--- Gives a lease its whole time again.
function client:keepalive(id)
    return call(self, "POST", "/v3/lease/keepalive", { ID = id })
end


function client:timetolive(id, keys)
    return call(self, "POST", "/v3/lease/timetolive", { ID = id, keys = keys or false })
end


function client:leases()
    return call(self, "POST", "/v3/lease/leases", {})
end


--- What etcd says of itself: `body.etcdserver`, `body.etcdcluster`.
function client:version()
    return call(self, "GET", "/version")
end


--- Nothing to close: connections are in the worker's pool.
function client:close() end


unsupported.absent(client, "resty.etcd ", { "watch", "watchdir", "watchcancel", "read_watch" },
                   "moongate follows etcd by itself: core.config has what it sees")


--- A client.
-- @tparam table conf `deployment.etcd` of config.yaml: `host`, `user`, `password`, `timeout`,
--   `tls`
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(conf)
    local hosts = conf.host
    hosts = type(hosts) == "string" and { hosts } or hosts
    if type(hosts) ~= "table" or #hosts == 0 then
        return nil, "deployment.etcd.host names no address"
    end
    local addresses = {}
    for at, address in ipairs(hosts) do
        addresses[at] = (gsub(tostring(address), "/+$", ""))
    end
    local user = conf.user
    return setmetatable({
        hosts = addresses, at = 1, tls = conf.tls or {},
        user = user and user ~= "" and user or nil, password = conf.password,
        timeout = tonumber(conf.timeout) or TIMEOUT_SECONDS,
    }, client_mt)
end


return _M
