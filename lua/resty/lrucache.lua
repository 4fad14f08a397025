--- `resty.lrucache`: a cache that forgets what was not used for longest.
--
-- Places of a fixed number are linked in two arrays, so that no operation allocates once
-- the cache is full. Place 0 is the end of the ring: `after[0]` was used last.
-- @module resty.lrucache
local host = require("moongate.host")
local new_tab = require("table.new")

local now = host.time.now
local setmetatable = setmetatable
local tonumber = tonumber

local NEVER = -1

local _M = { _VERSION = "0.15" }
local mt = { __index = _M }


local function empty(self)
    local size = self.size
    self.places = new_tab(0, size)
    self.keys = new_tab(size, 0)
    self.values = new_tab(size, 0)
    self.expires = new_tab(size, 0)
    self.flags = new_tab(size, 0)
    self.before = new_tab(size, 1)
    self.after = new_tab(size, 1)
    self.before[0] = 0
    self.after[0] = 0
    self.free = new_tab(size, 0)
    self.free_count = 0
    self.used = 0
    self.items = 0
end


--- A cache for `size` values.
function _M.new(size)
    size = tonumber(size)
    if not size or size < 1 then
        return nil, "size too small"
    end
    local self = setmetatable({ size = size }, mt)
    empty(self)
    return self
end


local function unlink(self, place)
    local before, after = self.before, self.after
    local prev, next_place = before[place], after[place]
    after[prev] = next_place
    before[next_place] = prev
end


local function link_first(self, place)
    local before, after = self.before, self.after
    local first = after[0]
    before[place] = 0
    after[place] = first
    before[first] = place
    after[0] = place
end


--- A value.
-- @return the value, nil if there is none or it expired
-- @return the expired value, if it is still there
-- @treturn number flags given to `set`
function _M:get(key)
    local place = self.places[key]
    if not place then
        return nil
    end

    if self.after[0] ~= place then
        unlink(self, place)
        link_first(self, place)
    end
    local expires = self.expires[place]
    if expires ~= NEVER and expires < now() then
        return nil, self.values[place], self.flags[place]
    end
    return self.values[place], nil, self.flags[place]
end


-- A place for a new key: a freed one, an unused one, or that of the oldest value.
local function take_place(self)
    if self.free_count > 0 then
        local place = self.free[self.free_count]
        self.free_count = self.free_count - 1
        self.items = self.items + 1
        return place
    end
    if self.used < self.size then
        self.used = self.used + 1
        self.items = self.items + 1
        return self.used
    end

    local place = self.before[0]
    unlink(self, place)
    self.places[self.keys[place]] = nil
    return place
end


--- Keeps a value.
-- @param key
-- @param value
-- @tparam[opt] number ttl seconds; without it the value does not expire
-- @tparam[opt=0] number flags
function _M:set(key, value, ttl, flags)
    local place = self.places[key]
    if place then
        unlink(self, place)
    else
        place = take_place(self)
        self.places[key] = place
        self.keys[place] = key
    end

    link_first(self, place)
    self.values[place] = value
    self.expires[place] = ttl and now() + ttl or NEVER
    self.flags[place] = flags or 0
end


function _M:delete(key)
    local place = self.places[key]
    if not place then
        return false
    end
    unlink(self, place)
    self.places[key] = nil
    self.keys[place] = false
    self.values[place] = false
    self.free_count = self.free_count + 1
    self.free[self.free_count] = place
    self.items = self.items - 1
    return true
end


--- How many values there are, expired ones included.
function _M:count()
    return self.items
end


function _M:capacity()
    return self.size
end


--- Keys, the one used last first.
-- @tparam[opt=0] number max 0 for all
-- @tparam[opt] table res filled and returned
function _M:get_keys(max, res)
    if not max or max == 0 then
        max = self.items
    end
    res = res or {}

    local place, count = self.after[0], 0
    while place ~= 0 and count < max do
        count = count + 1
        res[count] = self.keys[place]
        place = self.after[place]
    end
    res[count + 1] = nil
    return res
end


function _M:flush_all()
    empty(self)
end


return _M
