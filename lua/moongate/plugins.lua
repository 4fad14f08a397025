--- The plugins of this VM: loading them, checking their shape, their life.
--
-- Called by Rust only, once per plugin and step, so that a worker can do something else
-- in between. Knows nothing of requests; those are the runner's.
local host = require("moongate.host")
local core = require("apisix.core")
local masked = require("moongate.masked")
local registry = require("moongate.registry")

local error = error
local loaded = registry.loaded
local pcall = pcall

local dict_methods = host.dict.methods
local delete, flush_all = dict_methods.delete, dict_methods.flush_all

local _M = {}

-- The schema of `_meta`, which every plugin's schema gets.
local META_SCHEMA = {
    type = "object",
    properties = {
        disable = { type = "boolean" },
        error_response = { oneOf = { { type = "string" }, { type = "object" } } },
        priority = { type = "integer" },
        filter = { type = "array" },
        pre_function = { type = "string" },
    },
    additionalProperties = false,
}

local META_MARK = "carries the schema of _meta"


local function shape_error(name, plugin)
    if type(plugin) ~= "table" then
        return "a plugin file returns one table, this one returned " .. type(plugin)
    end
    if not plugin.priority then
        return "field priority is missing"
    end
    if type(plugin.priority) ~= "number" then
        return "field priority is a " .. type(plugin.priority) .. ", a number is expected"
    end
    if not plugin.version then
        return "field version is missing"
    end
    if type(plugin.schema) ~= "table" then
        return "field schema is missing or not a table"
    end
    local properties = plugin.schema.properties
    if properties and properties._meta and plugin.schema["$comment"] ~= META_MARK then
        return "the schema declares a property _meta, which belongs to the gateway"
    end
end


local function inject_meta(plugin)
    local schema = plugin.schema
    if schema["$comment"] == META_MARK then
        return
    end
    schema.properties = schema.properties or {}
    schema.properties._meta = META_SCHEMA
    schema["$comment"] = META_MARK
end


--- Loads one plugin by name. Raises with file and line if its file does.
-- @treturn number|nil its priority
-- @treturn string|nil what is wrong with its shape
function _M.load(name)
    local plugin = require("apisix.plugins." .. name)
    local problem = shape_error(name, plugin)
    if problem then
        package.loaded["apisix.plugins." .. name] = nil
        return nil, problem
    end
    inject_meta(plugin)
    plugin.name = name
    plugin.attr = core.table.try_read_attr(core.config.local_conf(), "plugin_attr", name)
    if not plugin.check_schema then
        plugin.check_schema = function(conf, schema_type)
            local schema = plugin.schema
            if schema_type == core.schema.TYPE_CONSUMER then
                schema = plugin.consumer_schema or schema
            elseif schema_type == core.schema.TYPE_METADATA then
                schema = plugin.metadata_schema or schema
            end
            return core.schema.check(schema, conf)
        end
    end
    loaded[name] = plugin
    masked.learn(plugin)
    return plugin.priority
end


--- Orders what was loaded: by priority, then by name.
-- @treturn table names of pairs that share a priority, as "a and b (1000)"
function _M.order()
    local list = {}
    for _, plugin in pairs(loaded) do
        list[#list + 1] = plugin
    end
    table.sort(list, function(a, b)
        if a.priority == b.priority then
            return a.name < b.name
        end
        return a.priority > b.priority
    end)
    local clashes = {}
    for at, plugin in ipairs(list) do
        registry.rank[plugin.name] = at
        local above = list[at - 1]
        if above and above.priority == plugin.priority then
            clashes[#clashes + 1] = above.name .. " and " .. plugin.name
                                    .. " (" .. plugin.priority .. ")"
        end
    end
    registry.list = list
    return clashes
end


-- APISIX lets a process of its own write out the metrics of its prometheus plugin now and then.
-- There is none here: the first worker does.
local function start_exporter()
    local exporter = package.loaded["apisix.plugins.prometheus.exporter"]
    if type(exporter) ~= "table" or not exporter.init_exporter_timer or ngx.worker.id() ~= 0 then
        return
    end
    local process = require("ngx.process")
    local usual = process.type
    process.type = function()
        return "privileged agent"
    end
    local ok, err = pcall(exporter.init_exporter_timer)
    process.type = usual
    if not ok then
        error(err, 0)
    end
end


--- Runs a plugin's `init` and, as APISIX does, its `workflow_handler`.
function _M.init(name)
    local plugin = loaded[name]
    if plugin.init then
        plugin.init()
    end
    if name == "prometheus" then
        start_exporter()
    end
    if plugin.workflow_handler then
        plugin.workflow_handler()
    end
end


-- In APISIX `destroy` comes before the `init` of the code that follows. Here that code serves
-- already when the last request of the old one has ended, and what `destroy` then deletes
-- from a shared dict would be what its successor put there.
local function kept_delete()
    return true
end


local function kept_flush()
end


--- Runs a plugin's `destroy`.
-- @tparam string name
-- @tparam[opt] boolean lives_on other code of this plugin serves; shared dicts are its now
function _M.destroy(name, lives_on)
    local plugin = loaded[name]
    if not (plugin and plugin.destroy) then
        return
    end
    if not lives_on then
        plugin.destroy()
        return
    end
    dict_methods.delete, dict_methods.flush_all = kept_delete, kept_flush
    local ok, err = pcall(plugin.destroy)
    dict_methods.delete, dict_methods.flush_all = delete, flush_all
    if not ok then
        error(err, 0)
    end
end


--- Checks one conf of one plugin and fills in the defaults. What is below `_meta`, and means the
-- same for all plugins, is checked by who asks.
-- @tparam string name the plugin
-- @tparam table conf changed in place
-- @tparam number|nil schema_type nil, TYPE_CONSUMER or TYPE_METADATA
-- @treturn boolean whether it is good
-- @treturn string|nil why not
function _M.check(name, conf, schema_type)
    local plugin = loaded[name]
    if schema_type == core.schema.TYPE_METADATA and not plugin.metadata_schema then
        return true
    end
    local ok, err = plugin.check_schema(conf, schema_type)
    if not ok then
        return false, tostring(err)
    end
    return true
end


--- What a loaded plugin is and takes.
-- @treturn string|nil as JSON
-- @treturn string|nil why its schemas are none
function _M.describe(name)
    local plugin = loaded[name]
    return core.json.encode({
        name = name, priority = plugin.priority, version = plugin.version,
        type = plugin.type, scope = plugin.scope, schema = plugin.schema,
        consumer_schema = plugin.consumer_schema, metadata_schema = plugin.metadata_schema,
    })
end


return _M
