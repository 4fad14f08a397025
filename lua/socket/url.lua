--- `socket.url`: URLs as LuaSocket takes them apart.
-- @module socket.url
local byte = string.byte
local char = string.char
local concat = table.concat
local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local pairs = pairs
local sub = string.sub
local tonumber = tonumber
local type = type
local upper = string.upper

local _M = { _VERSION = "URL 1.0.3" }


local function percent(text)
    return format("%%%02x", byte(text))
end


--- Escapes everything but letters, digits and "_".
function _M.escape(text)
    return (gsub(text, "[^%w_]", percent))
end


function _M.unescape(text)
    return (gsub(text, "%%(%x%x)", function(digits)
        return char(tonumber(digits, 16))
    end))
end


local function parse_authority(parsed)
    local authority = parsed.authority
    local info, rest = match(authority, "^([^@]*)@(.*)$")
    if info then
        parsed.userinfo = info
        authority = rest
        local user, password = match(info, "^(.*):([^:]*)$")
        parsed.user = user or info
        parsed.password = password
    end

    local name, port = match(authority, "^(.*):([^:%]]*)$")
    if name then
        authority = name
        parsed.port = port
    end
    if authority ~= "" then
        parsed.host = match(authority, "^%[(.+)%]$") or authority
    end
end


--- Takes a URL apart.
-- @tparam string url
-- @tparam[opt] table default values for what is missing
-- @treturn table|nil `scheme`, `authority`, `userinfo`, `user`, `password`, `host`, `port`
--   (text), `path`, `params`, `query`, `fragment`
-- @treturn nil|string error
function _M.parse(url, default)
    local parsed = {}
    for name, value in pairs(default or {}) do
        parsed[name] = value
    end
    if not url or url == "" then
        return nil, "invalid url"
    end

    local function cut(pattern, name)
        local from, to, value = find(url, pattern)
        if from then
            parsed[name] = value
            url = sub(url, 1, from - 1) .. sub(url, to + 1)
        end
    end

    cut("#(.*)$", "fragment")
    cut("^([%w][%w%+%-%.]*)%:", "scheme")
    cut("^//([^/%?]*)", "authority")
    cut("%?(.*)$", "query")
    cut("%;(.*)$", "params")
    if url ~= "" then
        parsed.path = url
    end
    if parsed.authority then
        parse_authority(parsed)
    end
    return parsed
end


local function join(before, separator, value)
    return value and before .. separator .. value or before
end


--- The URL of what `parse` gives.
function _M.build(parsed)
    local url = _M.build_path(_M.parse_path(parsed.path or ""))
    url = join(url, ";", parsed.params)
    url = join(url, "?", parsed.query)

    local authority = parsed.authority
    if parsed.host then
        authority = parsed.host
        if find(authority, ":", 1, true) then
            authority = "[" .. authority .. "]"
        end
        authority = join(authority, ":", parsed.port)
        local info = parsed.userinfo
        if parsed.user then
            info = join(parsed.user, ":", parsed.password)
        end
        if info then
            authority = info .. "@" .. authority
        end
    end
    if authority then
        url = "//" .. authority .. url
    end
    if parsed.scheme then
        url = parsed.scheme .. ":" .. url
    end
    return join(url, "#", parsed.fragment)
end


--- The segments of a path, unescaped; fields `is_absolute` and `is_directory`.
function _M.parse_path(path)
    local segments = {}
    path = path or ""
    for segment in gmatch(path, "[^/]+") do
        segments[#segments + 1] = _M.unescape(segment)
    end
    segments.is_absolute = sub(path, 1, 1) == "/" and 1 or nil
    segments.is_directory = sub(path, -1) == "/" and 1 or nil
    return segments
end


local function protect(segment)
    return (gsub(segment, "([^A-Za-z0-9%-%._!~%*'%(%):@&=%+%$,])", function(letter)
        return upper(percent(letter))
    end))
end


--- A path from segments.
-- @tparam table segments from `parse_path`
-- @tparam[opt] boolean unsafe do not escape
function _M.build_path(segments, unsafe)
    local out = {}
    for i, segment in ipairs(segments) do
        out[i] = unsafe and segment or protect(segment)
    end
    local path = concat(out, "/")
    if segments.is_directory and #out > 0 then
        path = path .. "/"
    end
    if segments.is_absolute then
        path = "/" .. path
    end
    return path
end


local function without_dots(path)
    local out = {}
    for segment in gmatch(path, "[^/]+") do
        if segment == ".." then
            out[#out] = nil
        elseif segment ~= "." then
            out[#out + 1] = segment
        end
    end
    local text = concat(out, "/")
    if find(path, "/$") or find(path, "/%.%.?$") then
        text = text .. (#out > 0 and "/" or "")
    end
    return sub(path, 1, 1) == "/" and "/" .. text or text
end


--- A reference seen from a base URL.
function _M.absolute(base, reference)
    local parsed_base = base
    if type(base) == "table" then
        base = _M.build(base)
    else
        parsed_base = _M.parse(base)
    end
    local parsed = _M.parse(reference)
    if not parsed then
        return base
    end
    if not parsed_base or parsed.scheme then
        return reference
    end

    parsed.scheme = parsed_base.scheme
    if not parsed.authority then
        parsed.authority = parsed_base.authority
        if not parsed.path then
            parsed.path = parsed_base.path
            if not parsed.params then
                parsed.params = parsed_base.params
                parsed.query = parsed.query or parsed_base.query
            end
        else
            local folder = not find(parsed.path, "^/") and (match(parsed_base.path or "", "^(.*/)")
                                                            or "/")
            local path = without_dots((folder or "") .. join(parsed.path, ";", parsed.params))
            parsed.path, parsed.params = match(path, "^([^;]*);?(.*)$")
            parsed.params = parsed.params ~= "" and parsed.params or nil
        end
    end
    return _M.build(parsed)
end


return _M
