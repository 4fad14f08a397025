--- `skywalking.management`: what is said to the collector of the instance itself.
-- @module skywalking.management
local _M = {}


--- The body of `/v3/management/reportProperties`.
function _M.newReportInstanceProperties(service, instance)
    return {
        service = service,
        serviceInstance = instance,
        properties = { { key = "language", value = "lua" } },
    }
end


--- The body of `/v3/management/keepAlive`.
function _M.newServiceInstancePingPkg(service, instance)
    return { service = service, serviceInstance = instance }
end


return _M
