--- `cjson`, raising on errors. Each instance keeps its own options.
-- @module cjson
local instances = require("moongate.cjson")

return instances.new(false)
