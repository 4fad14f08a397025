--- `cjson.safe`: errors are returned, not raised.
-- @module cjson.safe
local instances = require("moongate.cjson")

return instances.new(true)
