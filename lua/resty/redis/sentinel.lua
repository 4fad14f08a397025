--- `resty.redis.sentinel`: where the master and the replicas of a name are.
-- @module resty.redis.sentinel
local ipairs = ipairs
local null = ngx.null
local tonumber = tonumber

local _M = { _VERSION = "0.11.0" }


--- The master.
-- @tparam table sentinel a connected `resty.redis` client
-- @treturn table|nil `host` and `port`
-- @treturn nil|string error
function _M.get_master(sentinel, master_name)
    local found, err = sentinel:sentinel("get-master-addr-by-name", master_name)
    if found == null then
        return nil, "invalid master name"
    end
    if not found or not found[1] or not found[2] then
        return nil, err
    end
    return { host = found[1], port = found[2] }
end


--- The replicas that are up.
-- @treturn table|nil each with the fields that Sentinel tells, and `host` and `port`
-- @treturn nil|string error
function _M.get_slaves(sentinel, master_name)
    local found, err = sentinel:sentinel("slaves", master_name)
    if not found then
        return nil, err
    end
    local replicas = {}
    for _, list in ipairs(found) do
        local fields = sentinel:array_to_hash(list)
        local linked = fields["master-link-status"]
        if (linked == nil or linked == "ok") and tonumber(fields["s-down-time"] or 0) == 0 then
            fields.host = fields.ip
            replicas[#replicas + 1] = fields
        end
    end
    return replicas
end


return _M
