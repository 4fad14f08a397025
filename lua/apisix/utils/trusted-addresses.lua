--- `apisix.utils.trusted-addresses`: peers whose X-Forwarded-* headers are believed.
-- @module apisix.utils.trusted-addresses
local host = require("moongate.host")
local ip = require("apisix.core.ip")

local known_list
local matcher

local _M = {}


local function current()
    local conf = host.conf_local()
    local list = conf.apisix and conf.apisix.trusted_addresses
    if list ~= known_list then
        known_list = list
        matcher = list and ip.create_ip_matcher(list)
    end
    return matcher
end


function _M.is_configured()
    return current() ~= nil
end


--- Whether an address is one of `apisix.trusted_addresses`.
function _M.is_trusted(address)
    local trusted = current()
    return trusted ~= nil and trusted:match(address) == true
end


return _M
