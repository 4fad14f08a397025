--- `apisix.consumer`: finding the consumer behind a credential.
--
-- The host knows who has which credential, and keeps that up change by change. Here are only
-- the consumers that were asked for, until one of them changes.
-- @module apisix.consumer
local config = require("apisix.core.config")
local core_table = require("apisix.core.table")
local host = require("moongate.host")
local iterate_values = require("apisix.core.config_util").iterate_values
local log = require("apisix.core.log")
local plugin = require("apisix.plugin")
local request = require("apisix.core.request")
local secret = require("apisix.secret")

local can_wait = require("apisix.core.lrucache").can_wait
local clone = core_table.clone
local conf_version = host.conf_version
local consumer_count = host.consumer_count
local consumer_find = host.consumer_find
local consumer_references = host.consumer_references
local getmetatable = getmetatable
local huge = math.huge
local ipairs = ipairs
local match = string.match
local next = next
local now = host.time.now
local pairs = pairs
local resolve_conf = secret.resolve_conf
local setmetatable = setmetatable
local tostring = tostring
local type = type

-- The field that must be unique per plugin; it is the one that is looked up.
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

-- The longest time that reading the references of all consumers may take.
local RENEWAL_SECONDS = 30

local consumers = config.collection("consumers")

-- item -> plugin name -> consumer; an unchanged item gives the same consumer table, by
-- whose identity plugins keep state.
local built = setmetatable({}, { __mode = "k" })

-- Credentials of nobody, which the log was told of.
local orphans = setmetatable({}, { __mode = "k" })

-- Consumer -> the same with its secrets, or `false` if one could not be had.
local with_secrets = setmetatable({}, { __mode = "k" })

-- Plugin name -> what `plugin` gives, of the consumers as they are now.
local entries = {}
local entries_version

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


local function node_of(item, plugin_name)
    local conf = item.value.plugins and item.value.plugins[plugin_name]
    if not conf then
        return nil
    end
    local name, credential_id = credential_of(item.key)
    local owner = name and consumers:get(name) or item
    if name and owner == item then
        if not orphans[item] then
            orphans[item] = true
            log.error("failed to get the consumer for the credential ", item.key)
        end
        return nil
    end
    return build(item, owner, credential_id, plugin_name, conf)
end


local function nodes_with(plugin_name)
    local nodes = {}
    for _, item in iterate_values(consumers.values) do
        nodes[#nodes + 1] = node_of(item, plugin_name)
    end
    return nodes
end


-- Few plugins walk through all; for the others they are not made.
local entry_mt = {
    __index = function(entry, name)
        if name ~= "nodes" and name ~= "len" then
            return nil
        end
        local nodes = nodes_with(entry.plugin_name)
        entry.nodes, entry.len = nodes, #nodes
        return entry[name]
    end,
}


local function new_entry(plugin_name)
    local object = plugin.get(plugin_name)
    local field = UNIQUE_FIELDS[plugin_name] or ""
    if (object and object.type ~= "auth") or consumer_count(plugin_name, field) == 0 then
        return false
    end
    return setmetatable({ plugin_name = plugin_name, conf_version = entries_version, kv = {} },
                        entry_mt)
end


--- The consumers that have a conf of this auth plugin.
-- @treturn table|nil `{ nodes, len, conf_version }`; nil if there is none
function _M.plugin(plugin_name)
    local version = conf_version("consumers")
    if version ~= entries_version then
        entries_version = version
        entries = {}
    end
    local entry = entries[plugin_name]
    if entry == nil then
        entry = new_entry(plugin_name)
        entries[plugin_name] = entry
    end
    return entry or nil
end


_M.consumers_conf = _M.plugin


-- The consumer with its secrets in place of references; nil if one cannot be had. What a secret
-- is may change while the consumer does not.
local function usable(consumer)
    local conf = resolve_conf(consumer.auth_conf)
    if conf == consumer.auth_conf then
        return consumer
    end
    local known = with_secrets[consumer]
    if not known or known.conf ~= conf then
        known = { conf = conf, consumer = false }
        with_secrets[consumer] = known
        if secret.has_secret_ref(conf) then
            log.error("failed to resolve secret reference in consumer auth credential, ",
                      "skipping consumer: ", consumer.consumer_name)
        else
            known.consumer = clone(consumer)
            known.consumer.auth_conf = conf
        end
    end
    return known.consumer or nil
end


-- Credential -> consumer; and whether a secret could not be had.
local function index_nodes(nodes, key_attr)
    local index, failed = {}, false
    for _, node in ipairs(nodes) do
        local consumer = usable(node)
        local key = consumer and consumer.auth_conf[key_attr]
        failed = failed or not consumer
        if key ~= nil then
            index[key] = consumer
        elseif consumer then
            log.error("missing consumer auth credential '", key_attr, "', skipping consumer: ",
                      consumer.consumer_name)
        end
    end
    return index, failed
end


-- Those whose credential itself is a reference, by what it is at the moment.
local function by_reference(index, value)
    local about = getmetatable(index)
    local version = conf_version("secrets")
    local due = about.secrets_version ~= version or about.references_due <= now() and can_wait()
    if due or not about.references then
        if about.references then
            -- While this request reads them anew, others go on with what there is.
            about.secrets_version, about.references_due = version, now() + RENEWAL_SECONDS
        end
        local nodes = {}
        for _, id in ipairs(consumer_references(about.plugin_name, about.key_attr)) do
            local item = consumers:get(id)
            nodes[#nodes + 1] = item and node_of(item, about.plugin_name)
        end
        local references, failed = index_nodes(nodes, about.key_attr)
        local ttl, failed_ttl = secret.lifetimes()
        about.references, about.secrets_version = references, version
        about.references_due = nodes[1] and now() + (failed and failed_ttl or ttl) or huge
    end
    return about.references[value]
end


-- A value that `index` does not have yet. What is not there is not remembered: strangers choose
-- what they ask for.
local function look_up(index, value)
    local kind = type(value)
    if kind ~= "string" and kind ~= "number" then
        return nil
    end
    local about = getmetatable(index)
    local skip = 0
    while true do
        local id = consumer_find(about.plugin_name, about.key_attr, tostring(value), skip)
        if not id then
            return by_reference(index, value)
        end
        local item = consumers:get(id)
        local node = item and node_of(item, about.plugin_name)
        -- A number is found by its text, and is not it.
        if node and node.auth_conf[about.key_attr] == value then
            local consumer = usable(node)
            if consumer == node then
                index[value] = consumer
            end
            return consumer
        end
        skip = skip + 1
    end
end


local function walk(index)
    local about = getmetatable(index)
    return next, (index_nodes(about.entry.nodes, about.key_attr)), nil
end


local function new_index(entry, key_attr)
    return setmetatable({}, {
        __index = look_up,
        __pairs = walk,
        entry = entry,
        plugin_name = entry.plugin_name,
        key_attr = key_attr,
        references_due = 0,
    })
end


--- Value of the field `key_attr` -> consumer.
-- @tparam string plugin_name
-- @tparam table consumer_conf from `plugin`
-- @tparam string key_attr
function _M.consumers_kv(plugin_name, consumer_conf, key_attr)
    local indexes = consumer_conf.kv
    if not indexes then
        -- Somebody's own list.
        return (index_nodes(consumer_conf.nodes, key_attr))
    end
    local index = indexes[key_attr]
    if not index then
        index = new_index(consumer_conf, key_attr)
        indexes[key_attr] = index
    end
    return index
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
    log.info("find consumer ", consumer.username)

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
