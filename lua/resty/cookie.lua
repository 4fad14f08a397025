--- `resty.cookie`: cookies of the request, and new ones for the response.
-- @module resty.cookie
local host = require("moongate.host")
local resp = require("moongate.api.resp")

local concat = table.concat
local find = string.find
local gmatch = string.gmatch
local match = string.match
local setmetatable = setmetatable
local sub = string.sub

local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }

local _M = { _VERSION = "0.1.0" }
local mt = { __index = _M }


local function parse(header)
    local cookies = {}
    for pair in gmatch(header, "[^;]+") do
        local equals = find(pair, "=", 1, true)
        if equals then
            local name = match(sub(pair, 1, equals - 1), "^%s*(.-)%s*$")
            local value = match(sub(pair, equals + 1), "^%s*(.-)%s*$")
            -- The first of several with one name is the most specific.
            if name ~= "" and cookies[name] == nil then
                cookies[name] = match(value, '^"(.*)"$') or value
            end
        end
    end
    return cookies
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
function _M.bake(cookie)
    if not cookie.key or not cookie.value then
        return nil, 'missing cookie field "key" or "value"'
    end

    local same_site = cookie.samesite
    if same_site then
        same_site = SAME_SITE[same_site:lower()]
        if not same_site then
            return nil, "SameSite value must be 'Strict', 'Lax' or 'None'"
        end
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


--- Adds a Set-Cookie header to the response; fields as for `bake`.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M:set(cookie)
    local text, err = _M.bake(cookie)
    if not text then
        return nil, err
    end
    resp.add_header("Set-Cookie", text)
    return true
end


return _M
