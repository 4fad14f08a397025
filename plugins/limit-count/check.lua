--- Checking a conf of limit-count beyond what a schema can say.
-- @module apisix.plugins.limit-count.check
local core = require("apisix.core")
local schemas = require("apisix.plugins.limit-count.schema")

local find = string.find
local ipairs = ipairs
local pairs = pairs
local type = type

local DIRECT_SYNC = -1
local SYNC_INTERVAL_MIN = 0.1

local BOTH = "count/time_window and rules cannot be specified at the same time"

local group_confs = core.lrucache.new({ type = "plugin" })

-- Policy -> the fields that all confs of a group must agree on. Written down before the
-- gateway adds its own to the schema.
local shared_fields = { ["local"] = {} }
for policy in pairs(schemas.policies) do
    shared_fields[policy] = {}
end
for policy, fields in pairs(shared_fields) do
    for field in pairs(schemas.schema.properties) do
        fields[#fields + 1] = field
    end
    local own = schemas.policies[policy]
    for field in pairs(own and own.properties or {}) do
        fields[#fields + 1] = field
    end
end


local function same(conf)
    return conf
end


local function check_group(conf)
    if conf.rules then
        return false, "group and rules cannot be specified at the same time"
    end
    if conf._vid then
        return false, "group is not supported"
    end

    local first = group_confs(conf.group, "", same, conf)
    for _, field in ipairs(shared_fields[conf.policy]) do
        if not core.table.deep_eq(first[field], conf[field]) then
            core.log.error("previous limit-count group ", conf.group, " conf: ",
                           core.json.encode(first))
            core.log.error("current limit-count group ", conf.group, " conf: ",
                           core.json.encode(conf))
            return false, "group conf mismatched"
        end
    end
    return true
end


local function check_sync_interval(conf)
    local interval = conf.sync_interval
    if not interval or interval == DIRECT_SYNC then
        return true
    end
    if interval < SYNC_INTERVAL_MIN then
        return false, "sync_interval should not be smaller than 0.1"
    end
    if type(conf.time_window) == "number" and interval >= conf.time_window then
        return false, "sync_interval should be smaller than time_window"
    end
    return true
end


local function check_redis(conf)
    if conf.policy == "redis-sentinel" and conf.redis_role == "slave" then
        return false, "redis_role slave is not supported: a counter must be written"
    end
    return check_sync_interval(conf)
end


-- Rules with one key would count a request twice in one counter.
local function check_rules(rules)
    local seen = {}
    for _, rule in ipairs(rules or {}) do
        if seen[rule.key] then
            return false, "duplicate key '" .. rule.key .. "' in rules"
        end
        seen[rule.key] = true
    end
    return true
end


--- Checks a conf or the metadata.
-- @tparam table conf
-- @tparam[opt] number schema_type
-- @treturn boolean
-- @treturn nil|string what is wrong
return function(conf, schema_type)
    if schema_type == core.schema.TYPE_METADATA then
        return core.schema.check(schemas.metadata_schema, conf)
    end

    local ok, err = core.schema.check(schemas.schema, conf)
    if type(conf) == "table" and conf.rules and (conf.count or conf.time_window) then
        if ok or find(err, "value should match only one schema", 1, true) then
            return false, BOTH
        end
    end
    if not ok then
        return false, err
    end

    if conf.policy ~= "local" then
        ok, err = check_redis(conf)
        if not ok then
            return false, err
        end
    end
    ok, err = check_rules(conf.rules)
    if not ok then
        return false, err
    end
    if conf.group then
        return check_group(conf)
    end
    return true
end
