--- `core.id`: the identity of this gateway.
-- @module apisix.core.id
local host = require("moongate.host")

local _M = {
    gen_uuid_v4 = host.crypto.uuid_v4,
}


--- Nothing to prepare.
function _M.init() end


--- `apisix.id` of config.yaml if set, else an id that is made at start and is the same
-- on all workers of the process.
function _M.get()
    local conf = host.conf_local()
    local id = conf and conf.apisix and conf.apisix.id
    return id or host.instance_id()
end


return _M
