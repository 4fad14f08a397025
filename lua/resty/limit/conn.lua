--- `resty.limit.conn`: requests at the same time.
-- @module resty.limit.conn
local host = require("moongate.host")

local assert = assert
local dict_get = host.dict.get
local floor = math.floor
local setmetatable = setmetatable

local _M = { _VERSION = "0.09" }
local mt = { __index = _M }


--- A limiter.
-- @tparam string dict_name
-- @tparam number max requests that go on at once
-- @tparam number burst how many more are delayed instead of refused
-- @tparam number default_conn_delay seconds a request usually takes
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(dict_name, max, burst, default_conn_delay)
    local dict = dict_get(dict_name)
    if not dict then
        return nil, "shared dict not found"
    end
    assert(max > 0 and burst >= 0 and default_conn_delay > 0)
    return setmetatable({
        dict = dict,
        max = max,
        burst = burst,
        unit_delay = default_conn_delay,
    }, mt)
end


--- Counts a request in.
-- @tparam string key
-- @tparam boolean commit whether to count it, or only to look
-- @treturn number|nil seconds to wait before going on
-- @treturn number|string how many there are now, or "rejected", or another error
function _M:incoming(key, commit)
    local dict, max = self.dict, self.max
    self.committed = false

    local count, err
    if commit then
        count, err = dict:incr(key, 1, 0)
        if not count then
            return nil, err
        end
        if count > max + self.burst then
            count, err = dict:incr(key, -1)
            if not count then
                return nil, err
            end
            return nil, "rejected"
        end
        self.committed = true
    else
        count = (dict:get(key) or 0) + 1
        if count > max + self.burst then
            return nil, "rejected"
        end
    end

    if count > max then
        return self.unit_delay * floor((count - 1) / max), count
    end
    return 0, count
end


--- Whether the last `incoming` counted.
function _M:is_committed()
    return self.committed
end


--- Counts a request out.
-- @tparam string key
-- @tparam[opt] number req_latency seconds it took, to learn the usual time
-- @treturn number|nil how many there are now
-- @treturn nil|string error
function _M:leaving(key, req_latency)
    local count, err = self.dict:incr(key, -1)
    if not count then
        return nil, err
    end
    if req_latency then
        self.unit_delay = (req_latency + self.unit_delay) / 2
    end
    return count
end


--- Takes back a request that was counted but then not let through.
function _M:uncommit(key)
    return self.dict:incr(key, -1)
end


function _M:set_conn(max)
    self.max = max
end


function _M:set_burst(burst)
    self.burst = burst
end


return _M
