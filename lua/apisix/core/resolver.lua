--- `core.resolver`: names to addresses. The host knows /etc/hosts and caches.
-- @module apisix.core.resolver
local dns_client = require("apisix.core.dns.client")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local utils = require("apisix.core.utils")

local ipairs = ipairs
local sort = table.sort

local _M = {}


--- Remembers the servers from the configuration; the host uses them by itself.
function _M.init_resolver(args)
    utils.set_resolver(args and args.dns_resolver)
end


--- One address of a name.
-- @treturn string|nil
-- @treturn nil|string error
function _M.parse_domain(domain)
    local record, err = utils.dns_parse(domain)
    if not record then
        log.error("failed to parse domain: ", domain, ", error: ", err)
        return nil, err
    end
    if not record.address then
        return nil, "failed to parse domain"
    end
    log.info("dns resolver domain: ", domain, " to ", record.address)
    return record.address
end


--- All addresses of a name, sorted.
-- @treturn table|nil
-- @treturn nil|string error
function _M.parse_domain_all(domain)
    local records, err = utils.dns_parse(domain, dns_client.RETURN_ALL)
    if not records then
        log.error("failed to parse domain: ", domain, ", error: ", err)
        return nil, err
    end

    local addresses, seen = {}, {}
    for _, record in ipairs(records) do
        local address = record.address
        if address and not seen[address] then
            seen[address] = true
            addresses[#addresses + 1] = address
        end
    end
    if #addresses == 0 then
        return nil, "failed to parse domain"
    end

    sort(addresses)
    log.info("dns resolve ", domain, ", result: ", json.delay_encode(addresses))
    return addresses
end


return _M
