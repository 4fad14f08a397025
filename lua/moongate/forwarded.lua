--- The gateway's own address as the browser knows it, by what proxies before it say.
-- @module moongate.forwarded
local lower = string.lower
local match = string.match
local type = type

local _M = {}


local function first(value)
    return type(value) == "table" and value[1] or value
end


-- A parameter of the first element of `Forwarded`.
local function forwarded(headers, name)
    local line = first(headers["Forwarded"])
    for pair in (line and match(line, "^[^,]*") or ""):gmatch("[^;]+") do
        local key, value = match(pair, "^%s*([^=%s]+)%s*=%s*(.-)%s*$")
        if key and lower(key) == name then
            return match(value, '^"(.*)"$') or value
        end
    end
end


local function forwarded_field(headers, name)
    local value = first(headers[name])
    return value and match(value, "^%s*([^,%s]+)")
end


--- Scheme and name, with the port if it is not the scheme's own. What a peer that is not
-- trusted says of it is not there any more.
-- @treturn string
-- @treturn string|nil nil if nobody says our name
function _M.own_address()
    local headers = ngx.req.get_headers()
    local scheme = forwarded(headers, "proto") or forwarded_field(headers, "X-Forwarded-Proto")
        or ngx.var.scheme
    local asked = ngx.var.http_host
    local name = forwarded(headers, "host") or forwarded_field(headers, "X-Forwarded-Host")
    -- The gateway itself forwards the name of the host without its port.
    if not name or (asked and name == match(asked, "^(.-):%d+$")) then
        name = asked
    end
    return scheme, name
end


return _M
