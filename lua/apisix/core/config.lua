--- `core.config`: collections of objects (routes, consumers ...) as the host holds them.
--
-- A collection looks like APISIX's: `values` (an array of items), `conf_version`, `get`.
-- Items are made when they are first looked at; a VM never holds the whole configuration
-- unless a plugin walks through it.
-- @module apisix.core.config
local host = require("moongate.host")
local log = require("apisix.core.log")

local conf_ids = host.conf_ids
local conf_item = host.conf_item
local conf_version = host.conf_version
local pcall = pcall
local rawget = rawget
local rawset = rawset
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring
local type = type

local KINDS = {
    routes = true,
    services = true,
    upstreams = true,
    consumers = true,
    plugin_configs = true,
    global_rules = true,
    plugin_metadata = true,
    consumer_groups = true,
    protos = true,
    ssls = true,
    secrets = true,
    stream_routes = true,
}

local created = {}
local methods = {}

local _M = {
    version = 0.2,
    local_conf = host.conf_local,
}


-- What the owner of the collection wants done to an item, once per item.
local function accept(collection, item)
    local accepted = collection.accepted
    local state = accepted[item]
    if state ~= nil then
        return state
    end

    state = true
    local key = item.key
    if collection.checker then
        local ok, valid, err = pcall(collection.checker, item.value, key)
        if not ok or not valid then
            log.error("failed to check the object ", key, ": ", ok and err or valid)
            state = false
        end
    end
    if state and collection.filter then
        local ok, err = pcall(collection.filter, item)
        if not ok then
            log.error("failed to filter the object ", key, ": ", err)
            state = false
        end
    end
    accepted[item] = state
    return state
end


local function item_of(collection, id)
    local item = conf_item(collection.kind, id)
    if item and (collection.plain or accept(collection, item)) then
        return item
    end
end


-- The item at a place of the list; `false` where it was deleted since.
local function value_at(values, place)
    local id = values.ids[place]
    if id == nil then
        return nil
    end
    return item_of(values.collection, id) or false
end


local function step(values, place)
    place = place + 1
    local item = values[place]
    if item ~= nil then
        return place, item
    end
end


local function walk(values)
    return step, values, 0
end


local values_mt = {
    __index = function(values, place)
        if type(place) == "number" then
            return value_at(values, place)
        end
    end,
    __len = function(values)
        return #rawget(values, "ids")
    end,
    __pairs = walk,
    __ipairs = walk,
}


local function values_of(collection)
    local version = conf_version(collection.kind)
    local values = rawget(collection, "current_values")
    if not values or values.version ~= version then
        values = setmetatable({
            ids = conf_ids(collection.kind) or {},
            collection = collection,
            version = version,
        }, values_mt)
        rawset(collection, "current_values", values)
    end
    return values
end


--- The item with an id, or nil.
function methods:get(id)
    if not self.kind then
        return nil
    end
    return item_of(self, tostring(id))
end


--- Kept for compatibility: the host decides when to read again.
function methods.upgrade_version() end


--- Ends nothing: there is no thread behind a collection.
function methods.close()
    return true
end


local collection_mt = {
    __index = function(collection, name)
        local method = methods[name]
        if method then
            return method
        end
        local kind = rawget(collection, "kind")
        if name == "values" then
            return kind and values_of(collection) or nil
        end
        if name == "conf_version" or name == "prev_index" then
            return kind and conf_version(kind) or 0
        end
    end,
}


--- A collection.
-- @tparam string key "/routes"; a kind that moongate does not know stays empty
-- @tparam[opt] table opts `checker(value, key)` and `filter(item)` run once on every item
--   that is looked at; an item that fails is left out with an error line
-- @treturn table
function _M.new(key, opts)
    opts = opts or {}
    local kind = key and sub(key, 2)
    if opts.automatic and not key then
        return nil, "missing `key` argument"
    end

    local collection = setmetatable({
        key = kind,
        kind = KINDS[kind] and kind or nil,
        checker = opts.checker,
        filter = opts.filter,
        plain = not opts.checker and not opts.filter,
        automatic = opts.automatic,
        single_item = opts.single_item,
        accepted = setmetatable({}, { __mode = "k" }),
    }, collection_mt)
    if kind then
        created[kind] = collection
    end
    return collection
end


--- The collection made for a key, or a plain one for a kind that moongate knows.
function _M.fetch_created_obj(key)
    local kind = sub(key, 2)
    local collection = created[kind]
    if not collection and KINDS[kind] then
        collection = _M.new(key)
    end
    return collection
end


--- A plain collection that does not replace one that a plugin made.
-- @tparam string kind "routes"
function _M.collection(kind)
    return setmetatable({ key = kind, kind = kind, plain = true }, collection_mt)
end


local function provider()
    local deployment = host.conf_local().deployment
    if not deployment then
        return "yaml"
    end
    local role = deployment.role and deployment["role_" .. deployment.role]
    return deployment.config_provider or role and role.config_provider or "yaml"
end


return setmetatable(_M, {
    __index = function(_, name)
        if name == "type" then
            return provider()
        end
    end,
})
