--- `apisix.consumer`: finding the consumer behind a credential.
--
-- The index of a plugin (key -> consumer) is built when the plugin first asks, and again
-- when a consumer changed.
-- @module apisix.consumer
local config = require("apisix.core.config")
local core_table = require("apisix.core.table")
local host = require("moongate.host")
local iterate_values = require("apisix.core.config_util").iterate_values
local log = require("apisix.core.log")
local plugin = require("apisix.plugin")
local request = require("apisix.core.request")
local secret = require("apisix.secret")

local clone = core_table.clone
local conf_version = host.conf_version
local ipairs = ipairs
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

-- The field that must be unique per plugin.
local UNIQUE_FIELDS = {
    ["key-auth"] = "key",
    ["basic-auth"] = "username",
    ["jwt-auth"] = "key",
    ["hmac-auth"] = "key_id",
    ["anti-tamper"] = "key_id",
    ["anti-replay"] = "key_id",
    ["ldap-auth"] = "user_dn",
    ["ldap-auth-advanced"] = "user_dn",
}

local consumers = config.collection("consumers")

-- item -> plugin name -> consumer; an unchanged item gives the same consumer table, by
-- whose identity plugins keep state.
local built = setmetatable({}, { __mode = "k" })

local index_version
local nodes_of = {}
local keys_of = {}

local _M = { version = 0.3 }


-- A credential's key is ".../consumers/<name>/credentials/<id>".
local function credential_of(key)
    return match(key or "", "/consumers/([^/]+)/credentials/([^/]+)$")
end


local function build(item, owner, credential_id, plugin_name, conf)
    local by_plugin = built[item]
    if not by_plugin then
        by_plugin = {}
        built[item] = by_plugin
    end

    local consumer = by_plugin[plugin_name]
    if consumer and consumer.owner_version == owner.modifiedIndex then
        return consumer
    end
    consumer = clone(owner.value)
    consumer.id = consumer.id or consumer.username
    consumer.modifiedIndex = owner.modifiedIndex
    consumer.owner_version = owner.modifiedIndex
    consumer.credential_id = credential_id
    consumer.consumer_name = consumer.id
    consumer.custom_id = consumer.labels and consumer.labels.custom_id
    consumer.auth_conf = conf
    by_plugin[plugin_name] = consumer
    return consumer
end


local function nodes_with(plugin_name)
    local nodes = {}
    for _, item in iterate_values(consumers.values) do
        local conf = item.value.plugins and item.value.plugins[plugin_name]
        if conf then
            local name, credential_id = credential_of(item.key)
            local owner = name and consumers:get(name) or item
            if name and owner == item then
                log.error("failed to get the consumer for the credential ", item.key)
            else
                nodes[#nodes + 1] = build(item, owner, credential_id, plugin_name, conf)
            end
        end
    end
    return nodes
end


local function refresh_index()
    local version = conf_version("consumers")
    if version ~= index_version then
        index_version = version
        nodes_of = {}
        keys_of = {}
    end
end


--- The consumers that have a conf of this auth plugin.
-- @treturn table|nil `{ nodes, len, conf_version }`; nil if there is none
function _M.plugin(plugin_name)
    refresh_index()
    local entry = nodes_of[plugin_name]
    if entry == nil then
        local nodes = nodes_with(plugin_name)
        local object = plugin.get(plugin_name)
        entry = nodes[1] and (not object or object.type == "auth")
                and { nodes = nodes, len = #nodes, conf_version = index_version }
        nodes_of[plugin_name] = entry or false
    end
    return entry or nil
end


_M.consumers_conf = _M.plugin


local function index_nodes(nodes, key_attr)
    local index = {}
    for _, consumer in ipairs(nodes) do
        if secret.has_secret_ref(consumer.auth_conf) then
            consumer = clone(consumer)
            consumer.auth_conf = secret.fetch_secrets(consumer.auth_conf, false)
        end

        local key = consumer.auth_conf[key_attr]
        if key == nil then
            log.error("missing consumer auth credential '", key_attr, "', skipping consumer: ",
                      consumer.consumer_name)
        elseif secret.has_secret_ref(consumer.auth_conf) then
            log.error("failed to resolve secret reference in consumer auth credential, ",
                      "skipping consumer: ", consumer.consumer_name)
        else
            index[key] = consumer
        end
    end
    return index
end


--- Value of the field `key_attr` -> consumer.
-- @tparam string plugin_name
-- @tparam table consumer_conf from `plugin`
-- @tparam string key_attr
function _M.consumers_kv(plugin_name, consumer_conf, key_attr)
    local entry = keys_of[plugin_name]
    if not entry or entry.conf ~= consumer_conf or entry.attr ~= key_attr then
        entry = {
            conf = consumer_conf,
            attr = key_attr,
            index = index_nodes(consumer_conf.nodes, key_attr),
        }
        keys_of[plugin_name] = entry
    end
    return entry.index
end


--- The consumer whose conf of the plugin has `key_attr` = `value`.
-- @treturn table|nil consumer
-- @treturn table|nil what `attach_consumer` wants as its third argument
-- @treturn nil|string error
function _M.find_consumer(plugin_name, key_attr, value)
    local conf = _M.plugin(plugin_name)
    if not conf then
        return nil, nil, "Missing related consumer"
    end
    return _M.consumers_kv(plugin_name, conf, key_attr)[value], conf
end


--- Makes `consumer` the consumer of the request and tells the upstream its names.
function _M.attach_consumer(ctx, consumer, conf)
    ctx.consumer = consumer
    ctx.consumer_name = consumer.consumer_name
    -- Assigning nil to a key that is not there would make room for it.
    if ctx.consumer_group_id ~= consumer.group_id then
        ctx.consumer_group_id = consumer.group_id
    end
    ctx.consumer_ver = conf.conf_version

    request.set_headers(ctx, "X-Consumer-Username", consumer.username,
                        "X-Credential-Identifier", consumer.credential_id,
                        "X-Consumer-Custom-ID", consumer.custom_id)
end


--- The consumer that stands for requests without credentials.
-- @treturn table|nil consumer
-- @treturn table|nil what `attach_consumer` wants
-- @treturn nil|string error
function _M.get_anonymous_consumer(name)
    local item = consumers:get(name)
    if not item or not item.value then
        return nil, nil, "failed to get anonymous consumer " .. tostring(name)
    end
    local consumer = build(item, item, nil, "", nil)
    return consumer, { conf_version = item.modifiedIndex }
end


--- All items that are consumers, not credentials.
function _M.filter_consumers_list(items)
    local list = {}
    for _, item in iterate_values(items or {}) do
        if not credential_of(item.key) then
            list[#list + 1] = item
        end
    end
    return list
end


function _M.consumers()
    return _M.filter_consumers_list(consumers.values), consumers.conf_version
end


function _M.get_consumer_key_from_credential_key(key)
    return "/consumers/" .. (credential_of(key) or "")
end


--- Whether the credentials in `plugins_conf` belong to nobody else.
-- @treturn boolean|nil
-- @treturn nil|string whose they are
function _M.check_duplicate_key(plugins_conf, consumer_name, credential_id)
    credential_id = credential_id and tostring(credential_id)
    for plugin_name, conf in pairs(plugins_conf or {}) do
        local field = UNIQUE_FIELDS[plugin_name]
        local value = field and type(conf) == "table" and conf[field]
        if type(value) == "string" and not secret.is_secret_ref(value) then
            local owner = _M.find_consumer(plugin_name, field, value)
            local is_self = owner and owner.consumer_name == consumer_name
                and (not credential_id or owner.credential_id == credential_id)
            if owner and not is_self then
                local who = "consumer: " .. owner.consumer_name
                if owner.credential_id then
                    who = "credential: " .. owner.credential_id .. " of " .. who
                end
                return nil, "duplicate " .. field .. " of plugin " .. plugin_name
                            .. " found with " .. who
            end
        end
    end
    return true
end


return _M
