--- `core.profile`: where the configuration files are.
-- @module apisix.core.profile
local host = require("moongate.host")

local getenv = os.getenv

local _M = {
    version = 0.1,
    profile = getenv("APISIX_PROFILE") or "",
    apisix_home = host.prefix(),
}


--- Path of a configuration file, with the profile in its name if there is one.
function _M.yaml_path(self, name)
    local path = self.apisix_home .. "conf/" .. name
    if self.profile ~= "" and name ~= "config-default" then
        path = path .. "-" .. self.profile
    end
    return path .. ".yaml"
end


return _M
