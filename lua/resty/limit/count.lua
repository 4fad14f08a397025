--- `resty.limit.count`: so many requests in a window of time.
-- @module resty.limit.count
local host = require("moongate.host")

local assert = assert
local dict_get = host.dict.get
local setmetatable = setmetatable

local _M = { _VERSION = "0.09" }
local mt = { __index = _M }


--- A limiter.
-- @tparam string dict_name
-- @tparam number limit requests per window
-- @tparam number window seconds; it begins with a key's first request
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(dict_name, limit, window)
    local dict = dict_get(dict_name)
    if not dict then
        return nil, "shared dict not found"
    end
    assert(limit > 0 and window > 0)
    return setmetatable({ dict = dict, limit = limit, window = window }, mt)
end


--- Counts a request.
-- @tparam string key
-- @tparam boolean commit whether to count it, or only to look
-- @tparam[opt=1] number cost how many requests it counts for
-- @treturn number|nil 0
-- @treturn number|string how many are left, or "rejected", or another error
function _M:incoming(key, commit, cost)
    cost = cost or 1
    local remaining, err
    if commit then
        remaining, err = self.dict:incr(key, -cost, self.limit, self.window)
        if not remaining then
            return nil, err
        end
    else
        remaining = (self.dict:get(key) or self.limit) - cost
    end

    if remaining < 0 then
        return nil, "rejected"
    end
    return 0, remaining
end


--- Takes back a request that was counted but then not let through.
function _M:uncommit(key, cost)
    local remaining, err = self.dict:incr(key, cost or 1)
    if not remaining then
        if err == "not found" then
            return self.limit
        end
        return nil, err
    end
    return remaining
end


return _M
