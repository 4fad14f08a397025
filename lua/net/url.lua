--- `net.url`: URLs taken apart and put together, as the rock "net-url" does.
--
--     local u = require("net.url").parse("http://ann@h:81/a?x[]=1")
--     u.host, u.port, u.query.x[1] --> "h", 81, "1"
-- @module net.url
local concat = table.concat
local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local next = next
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type


-- The characters of a text as a set.
local function set(text)
    local chars = {}
    for char in gmatch(text, ".") do
        chars[char] = true
    end
    return chars
end


local _M = {
    version = "1.2.0",
    options = {
        separator = "&",
        cumulative_parameters = false,
        legal_in_path = set(":-_.!~*'()@&=$,;"),
        legal_in_query = set(":-_.,!~*';()@$"),
        query_plus_is_space = true,
    },
    --- The ports that need not be written, by scheme.
    services = {
        http = 80, https = 443, ftp = 21, telnet = 23, tftp = 69, gopher = 70, nntp = 119,
        imap = 143, snmp = 161, ldap = 389, rtsp = 554, afs = 575, ipp = 631,
        acap = 674, rsync = 873, mtqp = 1038, cap = 1026, icap = 1344, prospero = 191,
        mupdate = 3905, nfs = 2049, dict = 2628, news = 2009, iax = 4569, sip = 5060,
        jms = 5673, vemmi = 575, videotex = 516,
    },
}

local options = _M.options
local LEGAL_IN_NAME = set("-_.")


local function decode(text)
    return (gsub(text, "%%(%x%x)", function(digits)
        return string.char(tonumber(digits, 16))
    end))
end


local function decode_value(text)
    return decode(options.query_plus_is_space and gsub(text, "+", " ") or text)
end


local function encode(text, legal)
    return (gsub(text, "%W", function(char)
        return not legal[char] and format("%%%02X", char:byte()) or nil
    end))
end


-- What keys are sorted by: numbers before a dot count as numbers.
local function rank(key)
    return (gsub(tostring(key), "(%d+)%.", function(digits)
        return format("%03d.", tonumber(digits))
    end))
end


--- A query from a table; inner tables become names with brackets.
-- @tparam table values
-- @tparam[opt="&"] string separator
-- @tparam[opt] string prefix the name of the table itself
-- @treturn string
function _M.buildQuery(values, separator, prefix)
    separator = separator or options.separator or "&"
    local keys, out = {}, {}
    for key in pairs(values) do
        keys[#keys + 1] = key
    end
    sort(keys, function(a, b)
        return rank(a) < rank(b)
    end)
    for _, key in ipairs(keys) do
        local name = encode(tostring(key), LEGAL_IN_NAME)
        if prefix then
            local again = options.cumulative_parameters and not find(name, "%D")
            name = again and tostring(prefix) or tostring(prefix) .. "[" .. name .. "]"
        end
        local value = values[key]
        if type(value) == "table" then
            out[#out + 1] = _M.buildQuery(value, separator, name)
        else
            local text = encode(tostring(value), options.legal_in_query)
            out[#out + 1] = text == "" and name or name .. "=" .. text
        end
    end
    return concat(out, separator)
end


-- The first name of "a[b][]" and the list of what is in its brackets; numbers are numbers.
local function split_name(name)
    local inner = {}
    name = gsub(name, "%[([^%]]*)%]", function(key)
        inner[#inner + 1] = find(key, "^-?%d+$") and tonumber(key) or decode_value(key)
        return "="
    end)
    return (gsub(match(name, "^[^=]*"), "%s", "_")), inner
end


local function put_inner(node, inner, value)
    for i, key in ipairs(inner) do
        node = type(node) == "table" and node or {}
        key = key == "" and #node + 1 or key
        if i == #inner then
            node[key] = value
        elseif not node[key] then
            node[key] = {}
        end
        node = node[key]
    end
end


local query_mt = { __tostring = _M.buildQuery }


--- A query as table.
-- @tparam string text
-- @tparam[opt="&"] string separator
-- @treturn table `tostring` makes it a query again
function _M.parseQuery(text, separator)
    separator = separator or options.separator or "&"
    local values = {}
    for name, value in gmatch(text, format("([^%s=]+)(=*[^%s]*)", separator, separator)) do
        local inner
        name, inner = split_name(decode_value(name))
        value = gsub(value, "^=+", "")
        local old = values[name]
        if #inner > 0 then
            values[name] = type(old) == "table" and old or {}
            put_inner(values[name], inner, value)
        elseif options.cumulative_parameters and type(old) == "string" then
            values[name] = { old, decode_value(value) }
        elseif type(old) ~= "string" then
            values[name] = decode_value(value)
        end
    end
    return setmetatable(values, query_mt)
end


--- Gives a URL a query, from a text or a table.
-- @treturn string
function _M:setQuery(query)
    query = type(query) == "table" and _M.buildQuery(query) or query
    self.query = _M.parseQuery(query)
    return query
end


-- Whether a host is an address: nil for a name, false for numbers that are too large.
local function is_address(text)
    local bytes = { match(text, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
    if #bytes == 4 then
        for _, byte in ipairs(bytes) do
            if tonumber(byte) > 255 then
                return false
            end
        end
        return true
    end
    local inside = match(text, "^%[([%x:]+)%]$")
    if not inside or select(2, gsub(inside, "::", "")) > 1 then
        return nil
    end
    local groups, shortened = 0, find(inside, "::", 1, true)
    for group in gmatch(inside, "%x+") do
        groups = groups + 1
        if tonumber(group, 16) > 0xffff then
            return false
        end
    end
    return (groups == 8 or shortened and groups < 8) and true or nil
end


local function host_of(text)
    local address = is_address(text)
    if address then
        return text
    elseif address == nil and find(text, "^[%w%-.]+$") and not find(text, "^%.")
           and not find(text, "%.$") and not find(text, "..", 1, true) then
        return lower(text)
    end
end


--- Sets user, host and port from "user:password@host:port".
-- @treturn string what is left of it for the host
function _M:setAuthority(authority)
    self.authority = authority
    local info, rest = match(authority, "^([^@]*)@(.*)$")
    rest = rest or authority
    local name, port = match(rest, "^(.*):(%d+)$")
    self.port = tonumber(port)
    self.host = host_of(name or rest)
    self.userinfo, self.user, self.password = nil, nil, nil
    if info then
        local user, password = match(info, "^(.*):([^:]*)$")
        user = user or info
        if find(user, "^[%w+.]+$") then
            self.userinfo, self.user, self.password = info, user, password
        end
    end
    return name or rest
end


--- Puts a segment behind the path.
function _M:addSegment(path)
    if type(path) == "string" then
        self.path = self.path .. "/" .. encode(gsub(path, "^/+", ""), options.legal_in_path)
    end
    return self
end


local function authority_of(self)
    local text = self.host
    if self.port and self.scheme and _M.services[self.scheme] ~= self.port then
        text = text .. ":" .. self.port
    end
    local user = self.user
    if user and user ~= "" then
        text = user .. (self.password and ":" .. self.password or "") .. "@" .. text
    end
    return text
end


--- The URL as text.
function _M:build()
    local text = self.path and tostring(self.path) or ""
    local query = self.query and tostring(self.query) or ""
    if query ~= "" then
        text = text .. "?" .. query
    end
    if self.host then
        text = "//" .. authority_of(self) .. (text == "" and "" or "/" .. gsub(text, "^/+", ""))
    end
    if self.scheme then
        text = self.scheme .. ":" .. text
    end
    return self.fragment and text .. "#" .. self.fragment or text
end


local url_mt = {
    __index = _M,
    __tostring = _M.build,
    __div = _M.addSegment,
    __concat = function(a, b)
        return (type(a) == "table" and a:build() or a) .. (type(b) == "table" and b:build() or b)
    end,
}


--- Takes a URL apart.
-- @treturn table `scheme`, `authority`, `userinfo`, `user`, `password`, `host`, `port`, `path`,
--   `query`, `fragment`; what is missing is nil, but path, query and authority are empty
function _M.parse(url)
    local object = setmetatable({}, url_mt)
    object:setAuthority("")
    object:setQuery("")
    url = tostring(url or "")

    local function cut(pattern)
        local from, to, found = find(url, pattern)
        if from then
            url = sub(url, 1, from - 1) .. sub(url, to + 1)
        end
        return found
    end

    object.fragment = cut("#(.*)$")
    local scheme = cut("^(%w[%w+.-]*):")
    object.scheme = scheme and lower(scheme)
    local query = cut("%?(.*)$")
    if query then
        object:setQuery(query)
    end
    local authority = cut("^//([^/]*)")
    if authority then
        object:setAuthority(authority)
    end
    object.path = gsub(url, "[^/]+", function(segment)
        return encode(decode(segment), options.legal_in_path)
    end)
    return object
end


--- A path without "." and ".." segments.
function _M.removeDotSegments(path)
    local kept = {}
    for segment in gmatch(path, "[^/]+") do
        if segment == ".." then
            kept[#kept] = nil
        elseif segment ~= "." then
            kept[#kept + 1] = segment
        end
    end
    local first, last = find(path, "^/") and "/" or "", find(path, "./$") and "/" or ""
    return first .. concat(kept, "/") .. last
end


-- Segments as RFC 3986 removes them: a last "." or ".." leaves a slash, and empty ones stay.
local function without_dots(path)
    local kept, relative = {}, not find(path, "^/")
    for segment, slash in gmatch(relative and path or sub(path, 2), "([^/]*)(/?)") do
        if segment == ".." then
            kept[#kept] = nil
        elseif segment ~= "." and (segment ~= "" or slash ~= "") then
            kept[#kept + 1] = segment .. slash
        end
    end
    return (relative and "" or "/") .. concat(kept)
end


--- A reference as seen from this URL.
-- @treturn table
function _M:resolve(other)
    local base = type(self) == "string" and _M.parse(self) or self
    local target = type(other) == "string" and _M.parse(other) or other
    if target.scheme then
        return target
    end
    target.scheme = base.scheme
    if target.authority and target.authority ~= "" then
        return target
    end
    target:setAuthority(base.authority)
    local path = target.path or ""
    if path == "" then
        target.path = base.path
        if not target.query or not next(target.query) then
            target.query = base.query
        end
    elseif sub(path, 1, 1) == "/" then
        target.path = "/" .. gsub(path, "^[./]+", "")
    else
        target.path = without_dots("/" .. gsub(gsub(base.path, "[^/]*$", ""), "^/", "") .. path)
    end
    return target
end


--- Resolves "." and ".." in the path, and joins slashes.
-- @treturn table
function _M:normalize()
    local object = type(self) == "string" and _M.parse(self) or self
    if object.path then
        object.path = (gsub(without_dots(object.path), "//+", "/"))
    end
    return object
end


return _M
