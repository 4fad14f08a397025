--- Sessions in a shared dictionary.
-- @module resty.session.shm
local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


--- @tparam table config `zone`, `prefix`, `suffix`
function _M.new(config)
    local zone = config.zone or "sessions"
    local dict = ngx.shared[zone]
    if not dict then
        error("lua_shared_dict " .. zone .. " is missing", 4)
    end
    return setmetatable({ dict = dict, prefix = config.prefix and config.prefix .. ":" or "",
                          suffix = config.suffix and ":" .. config.suffix or "" }, mt)
end


local function key_of(self, id, settings)
    return self.prefix .. settings.cookie_name .. ":" .. id .. self.suffix
end


function _M:get(id, settings)
    return self.dict:get(key_of(self, id, settings))
end


function _M:set(id, value, seconds, settings)
    return self.dict:set(key_of(self, id, settings), value, seconds)
end


--- Deletes now, or has it go in a while.
function _M:delete(id, settings, seconds)
    if seconds and seconds > 0 then
        return self.dict:expire(key_of(self, id, settings), seconds)
    end
    return self.dict:delete(key_of(self, id, settings))
end


return _M
