--- `apisix.core.dns.client`: names resolved by the host.
-- @module apisix.core.dns.client
local host = require("moongate.host")

local resolve = host.dns
local setmetatable = setmetatable

local ORDER = { "A", "AAAA" }

local _M = {
    --- Selector: all records instead of one.
    RETURN_ALL = "all",
    RETURN_RANDOM = "random",
}
local mt = { __index = _M }


--- A client. Servers and caching are the host's, so options are not needed.
function _M.new()
    return setmetatable({}, mt)
end


--- Addresses of a name.
-- @tparam string domain
-- @tparam[opt] string selector `RETURN_ALL` for the list
-- @return record (or list of records), or nil and an error
function _M:resolve(domain, selector)
    local last_err
    for i = 1, #ORDER do
        local records, err = resolve(domain, ORDER[i])
        if records and records[1] then
            if selector == _M.RETURN_ALL then
                return records
            end
            return records[math.random(#records)]
        end
        last_err = err or last_err
    end
    return nil, last_err or "empty record received"
end


return _M
