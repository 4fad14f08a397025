--- `resty.ipmatcher`.
-- @module resty.ipmatcher
local host = require("moongate.host")

local ip = host.ip
local pairs = pairs
local setmetatable = setmetatable
local type = type

local _M = {
    _VERSION = "0.6.1",
    --- Number, or false.
    parse_ipv4 = ip.parse_ipv4,
    --- Table, or false.
    parse_ipv6 = ip.parse_ipv6,
}
local mt = { __index = _M }


--- A matcher for a list of addresses and CIDRs.
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(list)
    if type(list) ~= "table" then
        return nil, "missing valid ip argument"
    end
    local matcher, err = ip.matcher(list)
    if not matcher then
        return nil, err
    end
    return setmetatable({ matcher = matcher }, mt)
end


--- A matcher that gives a value instead of true.
-- @tparam table values address or CIDR -> value
function _M.new_with_value(values)
    if type(values) ~= "table" then
        return nil, "missing valid ip argument"
    end

    local entries = {}
    for address, value in pairs(values) do
        local matcher, err = ip.matcher({ address })
        if not matcher then
            return nil, err
        end
        entries[#entries + 1] = {
            matcher = matcher,
            value = value,
            bits = tonumber(address:match("/(%d+)$")) or 128,
        }
    end
    -- The narrowest network decides.
    table.sort(entries, function(a, b)
        return a.bits > b.bits
    end)
    return setmetatable({ entries = entries }, mt)
end


local function find(entries, method, address)
    for i = 1, #entries do
        local entry = entries[i]
        local ok, err = entry.matcher[method](entry.matcher, address)
        if err then
            return false, err
        end
        if ok then
            return entry.value
        end
    end
    return false
end


--- Whether an address is in the list.
-- @treturn boolean|nil
-- @treturn nil|string error, for instance "invalid ip address, not ipv4 and ipv6"
function _M:match(address)
    if self.entries then
        return find(self.entries, "match", address)
    end
    return self.matcher:match(address)
end


--- The same for the 4 or 16 bytes of `$binary_remote_addr`.
function _M:match_bin(bytes)
    if self.entries then
        return find(self.entries, "match_bin", bytes)
    end
    return self.matcher:match_bin(bytes)
end


return _M
