--- `resty.limit.count`: so many requests in a window of time.
--
-- As of version 1.2, which APISIX 3.18 runs with, it counts up and tells what was used.
-- @module resty.limit.count
local host = require("moongate.host")

local assert = assert
local dict_get = host.dict.get
local setmetatable = setmetatable

local _M = { _VERSION = "1.2.0" }
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
-- @treturn number|string how many are counted now, or "rejected", or another error
function _M:incoming(key, commit, cost)
    cost = cost or 1
    local used, err
    if commit then
        used, err = self.dict:incr(key, cost, 0, self.window)
        if not used then
            return nil, err
        end
    else
        used = (self.dict:get(key) or 0) + cost
    end

    if used > self.limit then
        return nil, "rejected"
    end
    return 0, used
end


--- Takes back a request that was counted but then not let through.
-- @treturn number|nil how many are counted now
-- @treturn nil|string error
function _M:uncommit(key, cost)
    local used, err = self.dict:incr(key, -(cost or 1))
    if not used then
        if err == "not found" then
            return 0
        end
        return nil, err
    end
    return used
end


return _M
