--- `net.url`: URLs taken apart and put together.
-- @module net.url
local concat = table.concat
local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local PORTS = { http = 80, https = 443, ftp = 21, ws = 80, wss = 443 }

local _M = { version = "1.2.0", options = { separator = "&", plus = false } }
_M.__index = _M


local function decode(text, plus)
    if plus then
        text = gsub(text, "+", " ")
    end
    return (gsub(text, "%%(%x%x)", function(digits)
        return string.char(tonumber(digits, 16))
    end))
end


local function encode(text, extra)
    return (gsub(text, "([^%w%-%._~" .. (extra or "") .. "])", function(char)
        return format("%%%02X", char:byte())
    end))
end


local function add_pairs(out, prefix, value)
    if type(value) ~= "table" then
        local text = encode(prefix)
        if value ~= true and value ~= "" then
            text = text .. "=" .. encode(tostring(value))
        end
        out[#out + 1] = text
        return
    end

    local keys = {}
    for key in pairs(value) do
        keys[#keys + 1] = key
    end
    sort(keys, function(a, b)
        return tostring(a) < tostring(b)
    end)
    for _, key in ipairs(keys) do
        add_pairs(out, prefix and prefix .. "[" .. tostring(key) .. "]" or tostring(key),
                  value[key])
    end
end


--- The text of a query table, keys sorted.
function _M.buildQuery(query)
    local out = {}
    add_pairs(out, nil, query)
    return concat(out, _M.options.separator)
end


local query_mt = { __tostring = _M.buildQuery }


-- Writes "a[b][]=v" into nested tables.
local function put(query, name, value)
    local base, rest = match(name, "^([^%[]+)(.*)$")
    if not base then
        return
    end
    local node, key = query, base
    for inner in gmatch(rest, "%[([^%]]*)%]") do
        if type(node[key]) ~= "table" then
            node[key] = {}
        end
        node = node[key]
        key = inner == "" and #node + 1 or tonumber(inner) or inner
    end

    if node[key] ~= nil and type(node[key]) ~= "table" then
        node[key] = { node[key] }
    end
    if type(node[key]) == "table" then
        node[key][#node[key] + 1] = value
    else
        node[key] = value
    end
end


--- A table from the text of a query.
function _M.parseQuery(text, separator)
    local query = setmetatable({}, query_mt)
    for pair in gmatch(text, "[^" .. (separator or _M.options.separator) .. "]+") do
        local name, value = match(pair, "^([^=]*)=?(.*)$")
        put(query, decode(name, _M.options.plus), decode(value, true))
    end
    return query
end


--- Replaces the query; text or table.
function _M:setQuery(query)
    if type(query) == "table" then
        query = _M.buildQuery(query)
    end
    self.query = _M.parseQuery(query)
    return self.query
end


--- Replaces user, host and port.
function _M:setAuthority(authority)
    self.authority = authority
    local info, rest = match(authority, "^(.*)@(.*)$")
    if info then
        self.userinfo = info
        self.user, self.password = match(info, "^([^:]*):?(.*)$")
        if self.password == "" then
            self.password = nil
        end
    end

    rest = rest or authority
    local name, port = match(rest, "^(%[[^%]]*%]):?(%d*)$")
    if not name then
        name, port = match(rest, "^([^:]*):?(%d*)$")
    end
    if name and name ~= "" then
        self.host = lower(name)
    end
    self.port = tonumber(port)
    return authority
end


--- Adds one more segment to the path.
function _M:addSegment(path)
    if type(path) == "string" then
        self.path = (self.path or "") .. "/" .. encode(gsub(path, "^/+", ""), "/!$&'()*+,;=:@")
    end
    return self
end


--- A URL object: `scheme`, `user`, `password`, `host`, `port`, `path`, `query` (table),
-- `fragment`. Making it text gives the URL.
function _M.parse(url)
    local object = setmetatable({ query = setmetatable({}, query_mt) }, _M)
    url = tostring(url or "")

    local before, fragment = match(url, "^([^#]*)#(.*)$")
    if before then
        url = before
        object.fragment = decode(fragment)
    end
    local scheme, rest = match(url, "^(%a[%w+.-]*):(.*)$")
    if scheme and not match(rest, "^%d+$") then
        object.scheme = lower(scheme)
        url = rest
    end
    local path, query = match(url, "^([^?]*)%?(.*)$")
    if path then
        url = path
        object:setQuery(query)
    end
    local authority, after = match(url, "^//([^/]*)(.*)$")
    if authority then
        object:setAuthority(authority)
        url = after
    end
    if url ~= "" then
        object.path = encode(decode(url), "/!$&'()*+,;=:@")
    end
    return object
end


local function authority_of(self)
    if not self.host then
        return nil
    end
    local text = self.host
    if self.port and self.port ~= PORTS[self.scheme] then
        text = text .. ":" .. self.port
    end
    if self.user and self.user ~= "" then
        local info = encode(self.user)
        if self.password then
            info = info .. ":" .. encode(self.password)
        end
        text = info .. "@" .. text
    end
    return text
end


--- The URL as text.
function _M:build()
    local out = self.path or ""
    local query = tostring(self.query or "")
    if query ~= "" then
        out = out .. "?" .. query
    end
    local authority = authority_of(self)
    if authority then
        if out ~= "" and not find(out, "^[/?]") then
            out = "/" .. out
        end
        out = "//" .. authority .. out
    end
    if self.scheme then
        out = self.scheme .. ":" .. out
    end
    if self.fragment then
        out = out .. "#" .. encode(self.fragment, "/?!$&'()*+,;=:@")
    end
    return out
end


_M.__tostring = _M.build


--- A path without "." and "..".
function _M.removeDotSegments(path)
    local out = {}
    local absolute = sub(path, 1, 1) == "/"
    local trailing = match(path, "/$") or match(path, "/%.%.?$")
    for segment in gmatch(path, "[^/]+") do
        if segment == ".." then
            out[#out] = nil
        elseif segment ~= "." then
            out[#out + 1] = segment
        end
    end
    local text = concat(out, "/")
    if absolute then
        text = "/" .. text
    end
    if trailing and #out > 0 then
        text = text .. "/"
    end
    return text
end


--- Takes dots out of the path; the root path is "/".
function _M:normalize()
    if type(self) == "string" then
        self = _M.parse(self)
    end
    if self.path then
        self.path = _M.removeDotSegments(self.path)
    elseif self.host then
        self.path = "/"
    end
    return self
end


--- A reference seen from this URL.
function _M:resolve(other)
    local base = type(self) == "string" and _M.parse(self) or self
    local target = type(other) == "string" and _M.parse(other) or other
    if target.scheme then
        return target
    end

    target.scheme = base.scheme
    if not target.host then
        target.host, target.port = base.host, base.port
        target.user, target.password = base.user, base.password
        if not target.path then
            target.path = base.path
            if tostring(target.query) == "" then
                target.query = base.query
            end
        elseif sub(target.path, 1, 1) ~= "/" then
            target.path = (match(base.path or "/", "^(.*/)") or "/") .. target.path
        end
    end
    return target:normalize()
end


return _M
