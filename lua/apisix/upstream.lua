--- `apisix.upstream`: choosing an upstream from a plugin.
-- @module apisix.upstream
local config = require("apisix.core.config")
local core_table = require("apisix.core.table")
local host = require("moongate.host")
local log = require("apisix.core.log")
local schema = require("apisix.core.schema")
local utils = require("apisix.core.utils")

local byte = string.byte
local error = error
local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring

-- Conf -> key -> { ver, id }: what the host has already made of a conf.
local made = setmetatable({}, { __mode = "k" })

local OPEN_BRACKET = byte("[")

local upstreams = config.collection("upstreams")

local _M = {
    scheme_to_port = { http = 80, https = 443, grpc = 80, grpcs = 443 },
}


local function take(conf, key, ver)
    local by_key = made[conf]
    local known = by_key and by_key[key]
    if known and known.ver == ver and host.upstream_reuse(key, known.id) then
        return
    end

    local id, err = host.upstream_set(conf, key)
    if not id then
        error("failed to set upstream " .. key .. ": " .. err, 3)
    end
    if not by_key then
        by_key = {}
        made[conf] = by_key
    end
    by_key[key] = { ver = ver, id = id }
end


--- Sends the request to the upstream `conf`.
-- @tparam table ctx
-- @tparam string key what the upstream is kept under (pools, health, balancer state)
-- @param ver changes when `conf` does
-- @tparam table conf an upstream object; while `ver` stays, it is read once
-- @raise what is wrong with `conf`: the request must not go to another upstream instead
function _M.set(ctx, key, ver, conf)
    if not ctx then
        error("missing argument ctx", 2)
    end
    if not key then
        error("missing argument key", 2)
    end
    if not ver then
        error("missing argument ver", 2)
    end
    if not conf then
        error("missing argument conf", 2)
    end

    ctx.upstream_conf = conf
    ctx.upstream_version = ver
    ctx.upstream_key = key
    take(conf, tostring(key), tostring(ver))
end


--- Takes over the upstream's scheme unless a plugin already chose one.
function _M.set_scheme(ctx, upstream)
    local scheme = ctx.upstream_scheme or upstream.scheme or "http"
    ctx.upstream_scheme = scheme
    ctx.var.upstream_scheme = scheme
end


local function is_bare_ipv6(address)
    return utils.parse_ipv6(address) and byte(address, 1) ~= OPEN_BRACKET
end


--- Checks an upstream object and fills its defaults.
function _M.check_schema(conf)
    for _, node in ipairs(conf.nodes or {}) do
        if is_bare_ipv6(node.host) then
            return false, "IPv6 address must be enclosed with '[' and ']'"
        end
    end
    return schema.check(schema.upstream, conf)
end


local function check_node_ports(nodes)
    for address in pairs(nodes) do
        local _, port = utils.parse_addr(address)
        if port and (port < 1 or port > 65535) then
            return false, "invalid port " .. tostring(port)
        end
    end
    return true
end


local HASH_KEYS = {
    vars = schema.upstream_hash_vars_schema,
    header = schema.upstream_hash_header_schema,
    cookie = schema.upstream_hash_header_schema,
    vars_combinations = schema.upstream_hash_vars_combinations_schema,
}


local function check_hash(conf)
    local hash_on = conf.hash_on
    if hash_on ~= "consumer" and not conf.key then
        return false, "missing key"
    end
    if not hash_on then
        return false, "type is chash, err: hash_on is nil"
    end
    if hash_on == "consumer" then
        return true
    end

    local key_schema = HASH_KEYS[hash_on]
    if not key_schema then
        return false, "type is chash, err: invalid hash_on type " .. hash_on
    end
    local ok, err = schema.check(key_schema, conf.key)
    if not ok then
        return false, "invalid configuration: " .. err
    end
    return true
end


--- `check_schema` and the rules that a schema cannot say.
function _M.check_upstream_conf(conf)
    local ok, err = _M.check_schema(conf)
    if not ok then
        return false, "invalid configuration: " .. err
    end
    if conf.nodes and not core_table.isarray(conf.nodes) then
        ok, err = check_node_ports(conf.nodes)
        if not ok then
            return false, err
        end
    end
    if conf.pass_host == "rewrite" and (conf.upstream_host or "") == "" then
        return false, "`upstream_host` can't be empty when `pass_host` is `rewrite`"
    end
    if conf.type == "chash" then
        return check_hash(conf)
    end
    return true
end


local function is_domain(address)
    return not utils.parse_ipv4(address) and not utils.parse_ipv6(address)
end


--- Turns the nodes of an upstream from a map into a list, and notes which object it came
-- from and whether names must be resolved.
-- @tparam table|nil value the upstream
-- @tparam table parent the item that holds it
function _M.filter_upstream(value, parent)
    if not value then
        return
    end
    value.resource_key = parent and parent.key
    value.resource_version = parent and parent.modifiedIndex or value.modifiedIndex
    value.resource_id = parent and parent.value.id or value.id
    if not value.nodes then
        return
    end

    if not core_table.isarray(value.nodes) then
        local nodes = {}
        for address, weight in pairs(value.nodes) do
            local name, port = utils.parse_addr(address)
            nodes[#nodes + 1] = { host = name, port = port, weight = weight }
        end
        value.nodes = nodes
    end
    for _, node in ipairs(value.nodes) do
        if is_domain(node.host) then
            parent.has_domain = true
            value.dns_nodes = value.nodes
            return
        end
    end
end


--- An upstream object by id, or nil after an error line.
function _M.get_by_id(id)
    local item = upstreams:get(tostring(id))
    if not item then
        log.error("failed to find upstream by id: ", id)
        return nil
    end
    return item.value
end


--- All upstream objects and their version.
function _M.upstreams()
    return upstreams.values, upstreams.conf_version
end


return _M
