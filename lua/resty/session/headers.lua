--- What a session tells in headers, and how long it is good for.
-- @module resty.session.headers
local ipairs = ipairs
local select = select
local time = ngx.time
local tostring = tostring

local _M = {}


-- Seconds that are left by one of the three clocks; nil if it does not run.
function _M.left(self, kind)
    local settings, now = self.settings, time()
    local prefix = (self.remembered and kind ~= "idling") and "remember_" or ""
    local limit = settings[prefix .. kind .. "_timeout"]
    if not limit or limit == 0 then
        return nil
    end
    local since = kind == "idling" and self.info.touched or kind == "rolling" and self.info.rolled
                  or self.info.created
    return limit - (now - (since or now))
end


local HEADERS = { id = "Session-Id", audience = "Session-Audience", subject = "Session-Subject",
                  timeout = "Session-Timeout", ["idling-timeout"] = "Session-Idling-Timeout",
                  ["rolling-timeout"] = "Session-Rolling-Timeout",
                  ["absolute-timeout"] = "Session-Absolute-Timeout" }


local function each_header(self, names, set)
    for _, name in ipairs(names) do
        local value = HEADERS[name] and self:get_property(name)
        if value ~= nil and value ~= false then
            set(HEADERS[name], tostring(value))
        end
    end
end


--- Gives a class the methods for headers.
function _M.extend(Session)
    function Session:set_request_headers(...)
        local names = select("#", ...) > 0 and { ... } or self.settings.request_headers or {}
        each_header(self, names, ngx.req.set_header)
    end


    function Session:set_response_headers(...)
        local names = select("#", ...) > 0 and { ... } or self.settings.response_headers or {}
        each_header(self, names, function(name, value)
            ngx.header[name] = value
        end)
    end


    function Session:set_headers(...)
        self:set_request_headers(...)
        self:set_response_headers(...)
    end
end


return _M
