--- `core.schema`: checking a conf against a JSON schema, which also fills its defaults.
--
-- Reading any other name gives the shared fragments of `apisix.schema_def`.
-- @module apisix.core.schema
local host = require("moongate.host")
local schema_def = require("apisix.schema_def")

local error = error
local host_check = host.schema.check
local setmetatable = setmetatable

-- A string such as `$secret://...` stands for a value that is known only later.
local OPTIONS = { skip_secrets = true }

local _M = {
    version = 0.3,
    TYPE_CONSUMER = 1,
    TYPE_METADATA = 2,
}


--- Checks `conf` and writes defaults into it.
-- @tparam table schema compiled once per identity of this table
-- @param conf
-- @treturn boolean
-- @treturn nil|string what is wrong
function _M.check(schema, conf)
    return host_check(schema, conf, OPTIONS)
end


--- Compiles a schema.
-- @treturn function|nil validator(conf) -> boolean, error
-- @treturn nil|string what is wrong with the schema
function _M.valid(schema)
    local ok, err = host.schema.compile(schema)
    if not ok then
        return nil, err
    end
    return function(conf)
        return host_check(schema, conf, OPTIONS)
    end
end


return setmetatable(_M, {
    __index = schema_def,
    __newindex = function()
        error("no modification allowed", 2)
    end,
})
