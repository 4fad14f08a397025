--- `resty.limit.req`: a leaky bucket.
--
-- The state of a key is its excess (1000 per request) and the time of the last request in
-- milliseconds, written as one text so that it is read and replaced at once.
-- @module resty.limit.req
local host = require("moongate.host")

local abs = math.abs
local assert = assert
local dict_get = host.dict.get
local floor = math.floor
local format = string.format
local match = string.match
local max = math.max
local now = host.time.now
local setmetatable = setmetatable
local tonumber = tonumber

local _M = { _VERSION = "0.09" }
local mt = { __index = _M }


--- A limiter.
-- @tparam string dict_name
-- @tparam number rate requests a second
-- @tparam number burst how many more are delayed instead of refused
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(dict_name, rate, burst)
    local dict = dict_get(dict_name)
    if not dict then
        return nil, "shared dict not found"
    end
    assert(rate > 0 and burst >= 0)
    return setmetatable({ dict = dict, rate = rate * 1000, burst = burst * 1000 }, mt)
end


local function read(dict, key)
    local text = dict:get(key)
    local excess, last = match(text or "", "^(%S+) (%S+)$")
    return tonumber(excess), tonumber(last)
end


--- Counts a request.
-- @tparam string key
-- @tparam boolean commit whether to count it, or only to look
-- @treturn number|nil seconds to wait before going on
-- @treturn number|string excess in requests, or "rejected", or another error
function _M:incoming(key, commit)
    local dict, rate = self.dict, self.rate
    local time = floor(now() * 1000)
    local excess, last = read(dict, key)

    if excess then
        excess = max(excess - rate * abs(time - last) / 1000 + 1000, 0)
        if excess > self.burst then
            return nil, "rejected"
        end
    else
        excess = 0
    end

    if commit then
        -- After this time the bucket is empty, which is what a missing key means.
        local ttl = excess / rate + 60
        local ok, err = dict:set(key, format("%.17g %.17g", excess, time), ttl)
        if not ok then
            return nil, err
        end
    end
    return excess / rate, excess / 1000
end


--- Takes back a request that was counted but then not let through.
function _M:uncommit(key)
    local excess, last = read(self.dict, key)
    if not excess then
        return nil, "not found"
    end
    excess = max(excess - 1000, 0)
    return self.dict:set(key, format("%.17g %.17g", excess, last), excess / self.rate + 60)
end


function _M:set_rate(rate)
    self.rate = rate * 1000
end


function _M:set_burst(burst)
    self.burst = burst * 1000
end


return _M
