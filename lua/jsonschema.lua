--- `jsonschema`: validators for JSON schemas.
-- @module jsonschema
local host = require("moongate.host")

local error = error
local host_check = host.schema.check

local _M = { version = "0.9.9" }


--- A validator; the schema must be right, otherwise this raises.
-- @tparam table schema
-- @tparam[opt] table options `skip_validation`: let references to secrets pass
-- @treturn function validator(value) -> boolean, error
function _M.generate_validator(schema, options)
    local ok, err = host.schema.compile(schema)
    if not ok then
        error(err, 0)
    end
    local checks = { skip_secrets = options ~= nil and options.skip_validation ~= nil }
    return function(value)
        return host_check(schema, value, checks)
    end
end


return _M
