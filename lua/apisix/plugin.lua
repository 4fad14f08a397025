--- `apisix.plugin`: the loaded plugins, and what a plugin may ask about itself.
--
-- Loading, ordering and running are `moongate.plugins` and `moongate.runner`.
-- @module apisix.plugin
local config = require("apisix.core.config")
local core_table = require("apisix.core.table")
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local registry = require("moongate.registry")

local crc32 = host.crypto.crc32
local expr_new = host.expr.new
local getmetatable = getmetatable
local load = load
local loaded = registry.loaded
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local metadata = config.collection("plugin_metadata")

local _M = {
    version = 0.3,
    --- Name -> plugin.
    plugins_hash = loaded,
    plugin_metadatas = metadata,
}


--- A loaded plugin, or nil.
function _M.get(name)
    return loaded[name]
end


--- Plugins for layer 4 do not exist here yet.
function _M.get_stream()
    return nil
end


--- The named fields of all plugins, by plugin name; the second result is for layer 4.
function _M.get_all(attrs)
    local all = {}
    for name, plugin in pairs(loaded) do
        all[name] = core_table.pick(plugin, attrs)
    end
    return all, {}
end


--- `plugin_attr.<name>` of config.yaml.
function _M.plugin_attr(name)
    return core_table.try_read_attr(host.conf_local(), "plugin_attr", name)
end


--- The metadata object of a loaded plugin (`{ value = ... }`), or nil.
function _M.plugin_metadata(name)
    if not loaded[name] then
        return nil
    end
    return metadata:get(name)
end


--- A text that changes when the content of `conf` does; computed once per table.
function _M.conf_version(conf)
    local version = conf._version
    if not version then
        version = tostring(crc32(json.stably_encode(conf)))
        conf._version = version
    end
    return version
end


--- Keeps a plugin from running in the phases of this request that are still to come.
function _M.skip_plugin(ctx, name)
    local skipped = ctx._skip_plugins
    if not skipped then
        skipped = {}
        ctx._skip_plugins = skipped
    end
    skipped[name] = true
end


local function is_disabled(conf)
    local meta = conf._meta
    return type(meta) == "table" and meta.disable == true
end


local function check_meta(name, meta)
    if meta.filter then
        local ok, err = expr_new(meta.filter)
        if not ok then
            return nil, "failed to validate the 'vars' expression: " .. err
        end
    end
    if meta.pre_function then
        local func, err = load(meta.pre_function, "meta pre_function")
        if not func then
            return nil, "failed to load _meta.pre_function in plugin " .. name .. ": " .. err
        end
    end
    return true
end


--- Checks one plugin's conf as it stands in an object.
-- @tparam string name
-- @tparam table conf
-- @tparam[opt] number schema_type nil, `TYPE_CONSUMER` or `TYPE_METADATA`
-- @tparam[opt] boolean skip_unknown accept the conf of a plugin that is not loaded
-- @treturn boolean
-- @treturn nil|string error
function _M.check_conf(name, conf, schema_type, skip_unknown)
    if type(conf) ~= "table" then
        return false, "invalid plugin conf " .. json.encode(conf, true) .. " for plugin ["
                      .. tostring(name) .. "]"
    end

    local plugin = loaded[name]
    if not plugin then
        if not skip_unknown then
            return false, "unknown plugin [" .. name .. "]"
        end
        log.warn("skipping check schema for disabled or unknown plugin [", name,
                 "]. Enable the plugin or modify configuration")
        return true
    end
    if not plugin.check_schema then
        return true
    end

    local ok, err = plugin.check_schema(conf, schema_type)
    if not ok then
        if not is_disabled(conf) then
            return false, "failed to check the configuration of plugin " .. name .. " err: "
                          .. tostring(err)
        end
        log.warn("failed to check the configuration of disabled plugin ", name,
                 ", accepting it anyway")
    end
    if type(conf._meta) == "table" then
        return check_meta(name, conf._meta)
    end
    return true
end


--- Checks all plugin confs of an object. Arguments as for `check_conf`.
function _M.check_schema(plugins_conf, schema_type, skip_unknown)
    for name, conf in pairs(plugins_conf) do
        local ok, err = _M.check_conf(name, conf, schema_type, skip_unknown)
        if not ok then
            return false, err
        end
    end
    return true
end


--- Checks the `plugins` of an object, if it has any.
function _M.plugin_checker(item, schema_type)
    if not item.plugins then
        return true
    end
    local provider = config.type
    local strict = provider == "yaml" or provider == "json"
    return _M.check_schema(item.plugins, schema_type, not strict)
end


--- Notes in `_meta.parent` of every plugin conf which object it belongs to.
-- It is kept in a metatable, so that it is not part of the conf's text or version.
function _M.set_plugins_meta_parent(plugins, parent)
    if not plugins then
        return
    end

    local info = {
        resource_key = parent.key,
        resource_version = tostring(parent.modifiedIndex),
    }
    for _, conf in pairs(plugins) do
        if not conf._meta then
            conf._meta = {}
        end
        if not conf._meta.parent then
            local mt = getmetatable(conf._meta)
            if mt then
                mt.__index = mt.__index or { parent = info }
            else
                setmetatable(conf._meta, { __index = { parent = info } })
            end
        end
    end
end


-- conf -> its plugin's `lua_body_filter`, ready to be called.
local body_filters = setmetatable({}, { __mode = "k" })


local function body_filter_of(plugin, conf)
    local filter = body_filters[conf]
    if filter == nil then
        local func = plugin.lua_body_filter
        filter = type(func) == "function" and require("moongate.plan").prepared(func, conf) or false
        body_filters[conf] = filter
    end
    return filter
end


--- Sends a piece of an answer that a plugin has fetched by itself, after all plugins of the
-- request that have a `lua_body_filter` have seen it.
-- @tparam table ctx
-- @tparam table headers of the answer
-- @tparam string body
-- @tparam[opt] boolean no_flush leave it in the buffer
-- @tparam[opt] boolean wait until the client has taken it
-- @treturn boolean
-- @treturn nil|string error
function _M.lua_response_filter(ctx, headers, body, no_flush, wait)
    local plugins = ctx.plugins or {}
    for at = 1, #plugins, 2 do
        local plugin, conf = plugins[at], plugins[at + 1]
        local filter = body_filter_of(plugin, conf)
        if filter then
            ctx._plugin_name = plugin.name
            local code, new_body = filter(conf, ctx, headers, body)
            ctx._plugin_name = nil
            if code then
                if code ~= ngx.OK then
                    ngx.status = code
                end
                ngx.print(new_body)
                return ngx.exit(ngx.OK)
            end
            body = new_body or body
        end
    end
    local ok, err = ngx.print(body)
    if ok and not no_flush then
        ok, err = ngx.flush(wait == true)
    end
    if not ok then
        return false, err
    end
    return true
end


-- The list is made anew at every reload, so it is read where it is.
return setmetatable(_M, {
    __index = function(_, name)
        if name == "plugins" then
            return registry.list
        end
    end,
})
