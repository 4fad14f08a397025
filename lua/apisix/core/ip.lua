--- `core.ip`.
-- @module apisix.core.ip
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")

local find = string.find
local parse_ipv4 = host.ip.parse_ipv4
local parse_ipv6 = host.ip.parse_ipv6
local sub = string.sub
local tonumber = tonumber

local _M = {}


--- A matcher for a list of addresses and CIDRs.
-- @treturn userdata|nil with `match(ip)`; nil, after an error line, for a bad list
function _M.create_ip_matcher(ip_list)
    local matcher, err = host.ip.matcher(ip_list)
    if not matcher then
        log.error("failed to create ip matcher: ", err, " ip list: ", json.delay_encode(ip_list))
        return nil
    end
    return matcher
end


--- Whether the text is an address or a CIDR.
function _M.validate_cidr_or_ip(ip)
    local mask = 0
    local slash = find(ip, "/", 1, true)
    if slash then
        mask = tonumber(sub(ip, slash + 1))
        if not mask or mask < 0 or mask > 128 then
            return false
        end
        ip = sub(ip, 1, slash - 1)
    end

    if parse_ipv4(ip) then
        return mask <= 32
    end
    return parse_ipv6(ip)
end


return _M
