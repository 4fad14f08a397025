--- `core.etcd`: objects of one's own in the etcd that the configuration comes from.
--
-- Keys are below the prefix of `deployment.etcd` (`/apisix`), values are what JSON knows. Where
-- the objects come from somewhere else, each function returns nil and says so.
-- @module apisix.core.etcd
local client = require("moongate.etcd_client")
local config = require("apisix.core.config")
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")

local byte = string.byte
local find = string.find
local format = string.format
local ipairs = ipairs
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local type = type

local READ_ONLY = "Data plane role should not write to etcd. "
                  .. "This operation will be deprecated in future releases."
local WRITING = { "set", "setnx", "setx", "delete", "rmdir", "grant", "revoke", "keepalive" }
local SLASH = byte("/")

local _M = {}


local function deployment()
    return host.conf_local().deployment or {}
end


-- A data plane writes as well, and is told that it should not.
local function warn_if_read_only()
    if deployment().role == "data_plane" then
        log.warn(READ_ONLY)
    end
end


--- A client of this etcd; see `moongate.etcd_client`.
-- @treturn table|nil
-- @treturn nil|string prefix of all keys
-- @treturn nil|string error
function _M.new()
    local provider = config.type
    if provider ~= "etcd" then
        return nil, nil, "core.etcd is not available: the objects of this gateway come from "
                         .. "config_provider " .. provider .. ", not from etcd"
    end
    local conf = deployment().etcd or {}
    local made, err = client.new(conf)
    if not made then
        return nil, nil, err
    end
    for _, name in ipairs(WRITING) do
        local write = made[name]
        made[name] = function(...)
            warn_if_read_only()
            return write(...)
        end
    end
    return made, conf.prefix or "/apisix"
end


_M.new_without_proxy = _M.new
_M.get_etcd_syncer = _M.new
_M.switch_proxy = _M.new

local shared, shared_prefix, shared_conf


--- The client that all functions here use.
-- @treturn table|nil
-- @treturn nil|string prefix of all keys
-- @treturn nil|string error
function _M.get_etcd_cli()
    local conf = host.conf_local()
    if not shared or shared_conf ~= conf then
        local made, prefix, err = _M.new()
        if not made then
            return nil, nil, err
        end
        shared, shared_prefix, shared_conf = made, prefix, conf
    end
    return shared, shared_prefix
end


--- An entry as etcd v2 had it.
function _M.kvs_to_node(kv)
    return { key = kv.key, value = kv.value, createdIndex = tonumber(kv.create_revision),
             modifiedIndex = tonumber(kv.mod_revision) }
end


local kvs_to_node = _M.kvs_to_node


local function not_found(response)
    response.body.message = "Key not found"
    response.reason = "Not found"
    response.status = 404
    return response
end


-- Answers of version 2 of the Admin API tell what was done.
local function note_action(body, action)
    local admin = deployment().admin
    if not admin or admin.admin_api_version ~= "v3" then
        body.action = action
    end
end


-- Puts the revision where APISIX has it; errors of etcd become errors.
local function accepted(response)
    local body = response.body
    if body.error then
        return nil, body.error
    end
    local revision = type(body.header) == "table" and body.header.revision
    if not revision then
        return nil, "etcd response missing header.revision"
    end
    response.headers["X-Etcd-Index"] = revision
    return response
end


-- All entries below a key. Its own entry, where it has none of its own value, is APISIX's mark of
-- a folder and no entry.
local function as_list(body)
    local first, list = body.kvs[1], setmetatable({}, json.array_mt)
    local marked = first.value == nil
    for at = marked and 2 or 1, #body.kvs do
        list[#list + 1] = kvs_to_node(body.kvs[at])
    end
    local node = kvs_to_node(first)
    if marked then
        node.key = byte(node.key, -1) == SLASH and sub(node.key, 1, -2) or node.key
    else
        local slash = find(node.key, "/[^/]*$")
        node.key = slash and sub(node.key, 1, slash - 1) or node.key
    end
    node.dir, node.nodes = true, list
    local admin = deployment().admin
    if admin and admin.admin_api_version == "v3" then
        body.list = list
    else
        body.node = node
    end
end


--- What a range of etcd is for who asked for `real_key`: `body.node`, or `body.list`.
-- @tparam table response of the client
-- @tparam string real_key with the prefix
-- @tparam[opt] boolean is_dir whether all below the key is wanted
-- @tparam[opt] function formatter makes the result instead
function _M.get_format(response, real_key, is_dir, formatter)
    local text = response.body.error
    if text == "etcdserver: user name is empty" then
        return nil, "insufficient credentials code: 401"
    elseif text == "etcdserver: permission denied" then
        return nil, "etcd forbidden code: 403"
    end
    local ok, err = accepted(response)
    if not ok then
        return nil, err
    end
    local body = response.body
    if not body.kvs or not body.kvs[1] then
        return not_found(response)
    end
    note_action(body, "get")
    if formatter then
        return formatter(response)
    elseif is_dir then
        as_list(body)
    elseif body.kvs[1].key ~= real_key then
        return not_found(response)
    else
        body.node = kvs_to_node(body.kvs[1])
    end
    body.kvs = nil
    return response
end


--- Reads a key, or all below it.
-- @tparam string key without the prefix
-- @tparam[opt] boolean is_dir
-- @treturn table|nil `status` (200, or 404), `body.node.value` or `body.list`
-- @treturn nil|string error
function _M.get(key, is_dir)
    local cli, prefix, err = _M.get_etcd_cli()
    if not cli then
        return nil, err
    end
    local response
    if is_dir then
        response, err = cli:readdir(prefix .. key)
    else
        response, err = cli:get(prefix .. key)
    end
    if not response then
        return nil, err
    end
    return _M.get_format(response, prefix .. key, is_dir)
end


local function lease_for(cli, ttl)
    local response, err = cli:grant(ttl)
    if response and response.body.error then
        return nil, response.body.error
    elseif not response then
        return nil, err
    end
    return response.body.ID
end


--- Writes a key.
-- @tparam string key without the prefix
-- @param value
-- @tparam[opt] number ttl seconds that it stays; `body.lease_id` is then its lease
-- @treturn table|nil `status` 201, or 200 where there was a value
-- @treturn nil|string error
function _M.set(key, value, ttl)
    local cli, prefix, err = _M.get_etcd_cli()
    if not cli then
        return nil, err
    end
    local lease
    if ttl then
        lease, err = lease_for(cli, ttl)
        if not lease then
            return nil, err
        end
    end
    local response
    response, err = cli:set(prefix .. key, value, { prev_kv = true, lease = lease })
    if response then
        response, err = accepted(response)
    end
    if not response then
        return nil, err
    end
    local body = response.body
    note_action(body, "set")
    body.lease_id = lease
    body.node = { key = prefix .. key, value = value }
    response.status = body.prev_kv and 200 or 201
    body.prev_kv = nil
    return response
end


--- Writes a key if its last change is still `mod_revision`.
-- @treturn table|nil
-- @treturn nil|string "value changed before overwritten", or another error
function _M.atomic_set(key, value, ttl, mod_revision)
    local cli, prefix, err = _M.get_etcd_cli()
    if not cli then
        return nil, err
    end
    local lease
    if ttl then
        lease, err = lease_for(cli, ttl)
        if not lease then
            return nil, err
        end
    end
    key = prefix .. key
    warn_if_read_only()
    local response
    response, err = cli:txn(
        { { key = key, target = "MOD", result = "EQUAL", mod_revision = mod_revision } },
        { { requestPut = { key = key, value = value, lease = lease } } })
    if response then
        response, err = accepted(response)
    end
    if not response then
        return nil, err
    elseif not response.body.succeeded then
        return nil, "value changed before overwritten"
    end
    note_action(response.body, "compareAndSwap")
    response.body.node = { key = key, value = value }
    return response
end


--- Writes below a key, under a new id of 20 digits that the value gets as `id`.
function _M.push(key, value, ttl)
    local response, err = _M.set("/gen_id", 1)
    if not response then
        return nil, err
    end
    local id = format("%020d", tonumber(response.body.header.revision))
    value.id = id
    response, err = _M.set(key .. "/" .. id, value, ttl)
    if not response then
        return nil, err
    end
    note_action(response.body, "create")
    return response
end


local function removed(method, key, opts)
    local cli, prefix, err = _M.get_etcd_cli()
    if not cli then
        return nil, err
    end
    local response
    response, err = cli[method](cli, prefix .. key, opts)
    if response then
        response, err = accepted(response)
    end
    if not response then
        return nil, err
    elseif not response.body.deleted then
        return not_found(response)
    end
    note_action(response.body, "delete")
    response.body.node = {}
    response.body.key = prefix .. key
    return response
end


--- Deletes a key. `body.deleted` is "1"; `status` is 404 where there was none.
function _M.delete(key)
    return removed("delete", key)
end


--- Deletes all keys that begin with `key`.
function _M.rmdir(key, opts)
    return removed("rmdir", key, opts)
end


--- Versions of etcd: `body.etcdserver`, `body.etcdcluster`.
function _M.server_version()
    local cli, _, err = _M.get_etcd_cli()
    if not cli then
        return nil, err
    end
    return cli:version()
end


--- Gives a lease its whole time again.
function _M.keepalive(id)
    local cli, _, err = _M.get_etcd_cli()
    if not cli then
        return nil, err
    end
    local response
    response, err = cli:keepalive(id)
    if response and response.body.error then
        return nil, response.body.error
    end
    return response, err
end


return _M
