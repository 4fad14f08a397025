--- `resty.cookie`: cookies of the request, and new ones for the response.
-- @module resty.cookie
local host = require("moongate.host")
local resp = require("moongate.api.resp")

local concat = table.concat
local ipairs = ipairs
local log = ngx.log
local match = string.match
local setmetatable = setmetatable
local type = type
local WARN = ngx.WARN

local SAME_SITE = { Strict = true, Lax = true, None = true }

local _M = { _VERSION = "0.1.0" }
local mt = { __index = _M }


-- A name goes on to the "=", whatever it is made of; a value ends at a semicolon or a blank. Of
-- several cookies with one name the last one counts.
local function parse(header)
    local cookies, at = {}, 1
    while true do
        local name, value, next_at = match(header, "^[ \t]*([^=]*)=([^; \t]*)()", at)
        if not name then
            return cookies
        end
        cookies[name] = value
        at = next_at + 1
    end
end


--- The cookies of the request that runs now.
function _M:new()
    return setmetatable({ header = host.var_get("http_cookie") }, mt)
end


local function table_of(self)
    if not self.header then
        return nil, "no cookie found in the current request"
    end
    if not self.cookies then
        self.cookies = parse(self.header)
    end
    return self.cookies
end


--- The value of a cookie.
-- @treturn string|nil
-- @treturn nil|string error
function _M:get(name)
    local cookies, err = table_of(self)
    if not cookies then
        return nil, err
    end
    return cookies[name]
end


--- All cookies, name -> value.
function _M:get_all()
    return table_of(self)
end


local function attribute(parts, name, value)
    if value == true then
        parts[#parts + 1] = name
    elseif value then
        parts[#parts + 1] = name .. "=" .. value
    end
end


--- The text of a Set-Cookie header.
-- @tparam table cookie `key`, `value`, `expires`, `max_age`, `domain`, `path`, `secure`,
--   `httponly`, `samesite`, `extension`
-- @treturn string|nil
-- @treturn nil|string error
function _M.get_cookie_string(cookie)
    if not cookie.key or not cookie.value then
        return nil, 'missing cookie field "key" or "value"'
    end

    local same_site = cookie.samesite
    if same_site and not SAME_SITE[same_site] then
        log(WARN, "a cookie goes out without SameSite, which cannot be ", same_site)
        same_site = nil
    end

    local max_age = cookie["max-age"] or cookie.max_age
    local parts = { cookie.key .. "=" .. cookie.value }
    attribute(parts, "Expires", cookie.expires)
    attribute(parts, "Max-Age", max_age)
    attribute(parts, "Domain", cookie.domain)
    attribute(parts, "Path", cookie.path)
    attribute(parts, "Secure", cookie.secure and true)
    attribute(parts, "HttpOnly", cookie.httponly and true)
    attribute(parts, "SameSite", same_site)
    if cookie.extension then
        parts[#parts + 1] = cookie.extension
    end
    return concat(parts, "; ")
end


--- The bytes of the request's Cookie header.
function _M:get_cookie_size()
    return self.header and #self.header or 0
end


--- Adds a Set-Cookie header to the response, unless the very same is there.
-- @tparam table cookie fields as for `get_cookie_string`
-- @treturn boolean|nil
-- @treturn nil|string error
function _M:set(cookie)
    local text, err = _M.get_cookie_string(cookie)
    if not text then
        return nil, err
    end
    local there = ngx.header["Set-Cookie"]
    for _, one in ipairs(type(there) == "table" and there or { there }) do
        if one == text then
            return true
        end
    end
    resp.add_header("Set-Cookie", text)
    return true
end


return _M
