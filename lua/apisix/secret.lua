--- `apisix.secret`: values that stand in the configuration as references.
--
-- `$ENV://NAME[/key]` is read from the environment; `$secret://manager/id/key` asks the
-- module `apisix.secret.<manager>`.
-- @module apisix.secret
local config = require("apisix.core.config")
local core_table = require("apisix.core.table")
local env = require("apisix.core.env")
local host = require("moongate.host")
local iterate_values = require("apisix.core.config_util").iterate_values
local log = require("apisix.core.log")
local lrucache = require("apisix.core.lrucache")
local schema = require("apisix.core.schema")

local byte = string.byte
local can_wait = lrucache.can_wait
local match = string.match
local pairs = pairs
local pcall = pcall
local require = require
local setmetatable = setmetatable
local sub = string.sub
local type = type
local upper = string.upper

local DOLLAR = byte("$")
local PREFIX = "$secret://"
local ENV_PREFIX = env.PREFIX
local TTL, COUNT = 300, 512
local FAILED_TTL, FAILED_COUNT = 60, 512

local _M = {}


-- Whether a secret object is as the schema of its manager wants it.
local function check_secret(value)
    local name = match(value.id or "", "^([^/]*)/")
    if not name then
        return false, "no secret id"
    end
    local ok, manager = pcall(require, "apisix.secret." .. name)
    if not ok then
        return false, "secret manager not exits, manager: " .. name
    end
    return schema.check(manager.schema, value)
end


local secrets = config.new("/secrets", { automatic = true, checker = check_secret })


local function is_manager_ref(text)
    return sub(text, 1, #PREFIX) == PREFIX
end


local function is_env_ref(text)
    return upper(sub(text, 1, #ENV_PREFIX)) == ENV_PREFIX
end


--- Whether a value is a reference.
-- @param value
-- @tparam[opt] table of schema of the field; a reference is always text
function _M.is_secret_ref(value, of)
    if type(value) ~= "string" or byte(value, 1) ~= DOLLAR then
        return false
    end
    if of and of.type and of.type ~= "string" then
        return false
    end
    return is_manager_ref(value) or is_env_ref(value)
end


--- Whether a text may be used as a reference.
function _M.check_secret_uri(uri)
    if type(uri) ~= "string" then
        return false, "error secret_uri type: " .. type(uri)
    end
    if not is_manager_ref(uri) and not is_env_ref(uri) then
        return false, "error secret_uri prefix: " .. uri
    end
    return true
end


local function parse(uri)
    local ok, err = _M.check_secret_uri(uri)
    if not ok then
        return ok, err
    end

    local manager, rest = match(sub(uri, #PREFIX + 1), "^(.-)/(.*)$")
    if not manager then
        return nil, "error format: no secret manager"
    end
    local id, key = match(rest, "^(.-)/(.*)$")
    if not id then
        return nil, "error format: no secret conf id"
    end
    if key == "" then
        return nil, "error format: no secret key id"
    end
    return { manager = manager, id = id, key = key }
end


--- The value behind `$secret://manager/id/key`.
-- @treturn string|nil
-- @treturn nil|string error
function _M.fetch_by_uri(uri)
    local ref, err = parse(uri)
    if not ref then
        return nil, err
    end

    local item = secrets:get(ref.manager .. "/" .. ref.id)
    if not item then
        return nil, "no secret conf, secret_uri: " .. uri
    end
    local ok, manager = pcall(require, "apisix.secret." .. ref.manager)
    if not ok then
        return nil, "no secret manager: " .. ref.manager
    end
    if not can_wait() then
        return nil, "a secret manager cannot be asked in this phase"
    end
    local value
    ok, value, err = pcall(manager.get, item.value, ref.key)
    if not ok then
        -- What was raised may quote what a manager sent, or was to be sent.
        return nil, "the secret manager " .. ref.manager .. " raised an error"
    end
    return value, err
end


-- Version of the object that a reference asks: what was read with an older one is not valid.
local function version_of(uri)
    local ref = is_manager_ref(uri) and parse(uri)
    local item = ref and secrets:get(ref.manager .. "/" .. ref.id)
    return item and item.modifiedIndex or ""
end


local function new_cache()
    local conf = core_table.try_read_attr(host.conf_local(), "apisix", "lru", "secret") or {}
    return lrucache.new({
        ttl = conf.ttl or TTL,
        count = conf.count or COUNT,
        neg_ttl = conf.neg_ttl or FAILED_TTL,
        neg_count = conf.neg_count or FAILED_COUNT,
        invalid_stale = true,
        refresh_stale = true,
        -- Requests that come together ask a manager once.
        serial_creating = true,
    }), conf.ttl or TTL, conf.neg_ttl or FAILED_TTL
end


local cache, ttl, failed_ttl = new_cache()


local function fetch(uri, use_cache)
    local get = is_env_ref(uri) and env.look_up or _M.fetch_by_uri
    if not use_cache then
        return get(uri)
    end
    return cache(uri, version_of(uri), get, uri)
end


local function resolve(t, use_cache, visited)
    if visited[t] then
        return t
    end
    visited[t] = true
    for key, value in pairs(t) do
        if type(value) == "table" then
            resolve(value, use_cache, visited)
        elseif _M.is_secret_ref(value) then
            local found, err = fetch(value, use_cache)
            if found == nil then
                log.error("failed to resolve secret reference: ", value, ", field: ", key,
                          ", err: ", err or "no value")
            else
                t[key] = found
            end
        end
    end
    return t
end


--- A copy of `conf` with references replaced; one that fails is logged and stays.
function _M.fetch_secrets(conf, use_cache)
    if type(conf) ~= "table" then
        return nil
    end
    return resolve(core_table.deepcopy(conf), use_cache, {})
end


local function has_ref(t, visited)
    if visited[t] then
        return false
    end
    visited[t] = true
    for _, value in pairs(t) do
        if type(value) == "table" then
            if has_ref(value, visited) then
                return true
            end
        elseif _M.is_secret_ref(value) then
            return true
        end
    end
    return false
end


--- Whether there is a reference anywhere in `conf`.
function _M.has_secret_ref(conf)
    return type(conf) == "table" and has_ref(conf, {})
end


local function collect(t, values, use_cache, visited)
    if visited[t] then
        return values
    end
    visited[t] = true
    for _, value in pairs(t) do
        if type(value) == "table" then
            collect(value, values, use_cache, visited)
        elseif _M.is_secret_ref(value) then
            values[value] = fetch(value, use_cache)
        end
    end
    return values
end


--- Reference -> its present value, for all in `conf`.
function _M.collect_secret_values(conf, use_cache)
    if type(conf) ~= "table" then
        return {}
    end
    return collect(conf, {}, use_cache, {})
end


local without_refs = setmetatable({}, { __mode = "k" })
local resolved_confs = setmetatable({}, { __mode = "k" })


--- `conf` itself if it has no reference, else a copy with the values. The same copy is
-- given out as long as the values stay, because plugins keep state by its identity; and where
-- no manager can be asked (in the phases behind access), the last one.
function _M.resolve_conf(conf)
    if without_refs[conf] then
        return conf
    end
    if not has_ref(conf, {}) then
        without_refs[conf] = true
        return conf
    end

    local known = resolved_confs[conf]
    if known and not can_wait() then
        return known.conf
    end
    local values = _M.collect_secret_values(conf, true)
    if known and core_table.deep_eq(known.values, values) then
        return known.conf
    end
    local resolved = _M.fetch_secrets(conf, true)
    resolved_confs[conf] = { conf = resolved, values = values }
    return resolved
end


--- Seconds that what was read is taken for true, and that a failure is.
-- @treturn number
-- @treturn number
function _M.lifetimes()
    return ttl, failed_ttl
end


local listed = {}


--- All secret objects that are as they should be, and their version.
function _M.secrets()
    local version = secrets.conf_version
    if listed.version ~= version then
        local list = {}
        for _, item in iterate_values(secrets.values) do
            list[#list + 1] = item
        end
        listed = { version = version, list = list }
    end
    return listed.list, version
end


return _M
