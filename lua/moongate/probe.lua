--- Answers what `moongate plugin check` asks of a VM: which names and modules exist, and
-- what a loaded plugin is made of.
--
-- Never called while serving. Everything comes and goes as strings.
local core = require("apisix.core")
local registry = require("moongate.registry")
local unsupported = require("moongate.unsupported")

local ipairs = ipairs
local pcall = pcall
local select = select
local tostring = tostring
local type = type

local _M = {}

-- What lies below these belongs to a request, or is whatever a plugin puts there.
local OPEN = { arg = true, ctx = true, header = true, status = true, var = true }

-- What official plugins name, and APISIX has not either: nil is what they expect.
local NOWHERE = {
    ["apisix.core.schema.uri"] = true, ["apisix.core.schema.ssl.properties.gm"] = true,
}

local PHASES = {
    "rewrite", "access", "before_proxy", "balancer", "header_filter", "body_filter",
    "delayed_body_filter", "log", "init", "destroy",
}

local SCHEMAS = { "schema", "consumer_schema", "metadata_schema" }


local function index(value, field)
    return value[field]
end


--- Whether `require(name)` would find a file, a C module, or something built in.
-- @tparam string name
-- @treturn string "yes", "no", or "broken"
-- @treturn string|nil why it is broken
function _M.module(name)
    if package.loaded[name] ~= nil then
        return "yes"
    end
    for _, loader in ipairs(package.loaders) do
        local ok, found = pcall(loader, name)
        if not ok then
            return "broken", tostring(found)
        end
        if type(found) == "function" then
            return "yes"
        end
    end
    return "no"
end


--- Whether a name leads to something.
-- @tparam string module where it starts, or "" for the globals
-- @tparam string ... the fields, outermost first
-- @treturn string "yes", "no", "nowhere" for what is nil in APISIX too, or "raises" for what
-- exists by name only
-- @treturn string|nil why it raises
function _M.name(module, ...)
    local value = _G
    if module ~= "" then
        local ok
        ok, value = pcall(require, module)
        if not ok then
            -- The missing module is reported where it is required.
            return "yes"
        end
    end
    for at = 1, select("#", ...) do
        if type(value) ~= "table" or (value == ngx and OPEN[(select(at, ...))]) then
            return "yes"
        end
        local ok
        ok, value = pcall(index, value, (select(at, ...)))
        if ok and value == nil then
            if NOWHERE[table.concat({ module, ... }, ".")] then
                return "nowhere"
            end
            -- A global that is not there is the plugin's own affair.
            return (module == "" and at == 1) and "yes" or "no"
        end
        local why = unsupported.why(value)
        if why then
            return "raises", why
        end
    end
    return "yes"
end


--- What loaded plugin `name` has.
-- @treturn string its version
-- @treturn string ... its phase functions
function _M.shape(name)
    local plugin = registry.loaded[name]
    local found = { tostring(plugin.version) }
    for _, phase in ipairs(PHASES) do
        if type(plugin[phase]) == "function" then
            found[#found + 1] = phase
        end
    end
    return unpack(found)
end


--- Which schemas of loaded plugin `name` do not compile.
-- @treturn string ... sentences
function _M.schemas(name)
    local plugin = registry.loaded[name]
    local problems = {}
    for _, field in ipairs(SCHEMAS) do
        local schema = plugin[field]
        if type(schema) == "table" then
            local ok, err = core.schema.valid(schema)
            if not ok then
                problems[#problems + 1] = field .. ": " .. tostring(err)
            end
        end
    end
    return unpack(problems)
end


return _M
