--- The functions that matchers of Casbin may call.
-- @module moongate.casbin_functions
local ipmatcher = require("resty.ipmatcher")

local error = error
local find = string.find
local gsub = string.gsub
local match = string.match
local re_find = ngx.re.find
local sub = string.sub

local _M = {}


-- `/foo/*` fits `/foo/bar`; a star stands at the end.
local function key_match(key, pattern)
    local star = find(pattern, "*", 1, true)
    if not star then
        return key == pattern
    end
    return sub(key, 1, star - 1) == sub(pattern, 1, star - 1)
end


local function fits(text, pattern)
    local from, _, err = re_find(text, pattern, "jo")
    if err then
        error("invalid pattern " .. pattern .. ": " .. err, 0)
    end
    return from ~= nil
end


-- `/*` becomes "anything", and a name becomes "anything but a slash".
local function pattern_of(pattern, name)
    pattern = gsub(pattern, "/%*", "/.*")
    return "^" .. gsub(pattern, name, "[^/]+") .. "$"
end


local function key_match4(key, pattern)
    local names = {}
    local made = gsub(gsub(pattern, "/%*", "/.*"), "{([^/]-)}", function(name)
        names[#names + 1] = name
        return "([^/]+)"
    end)
    local found = ngx.re.match(key, "^" .. made .. "$", "jo")
    if not found then
        return false
    end
    local values = {}
    for i, name in ipairs(names) do
        if values[name] ~= nil and values[name] ~= found[i] then
            return false
        end
        values[name] = found[i]
    end
    return true
end


local function glob(key, pattern)
    local made = gsub(pattern, "[%^%$%(%)%.%+|\\]", "\\%0")
    made = gsub(made, "%*", "[^/]*")
    made = gsub(made, "%?", "[^/]")
    return fits(key, "^" .. made .. "$")
end


local function ip(address, network)
    local matcher, err = ipmatcher.new({ network })
    if not matcher then
        error(err, 0)
    end
    local good
    good, err = matcher:match(address)
    if err then
        error(err, 0)
    end
    return good
end


local function two(func)
    return function(args)
        if #args ~= 2 then
            error("Expected 2 arguments, but got " .. #args, 0)
        end
        return func(args[1], args[2])
    end
end


--- A table of all functions.
function _M.all()
    return {
        keyMatch = two(key_match),
        keyMatch2 = two(function(key, pattern)
            return fits(key, pattern_of(pattern, ":[^/]+"))
        end),
        keyMatch3 = two(function(key, pattern)
            return fits(key, pattern_of(pattern, "{[^/]-}"))
        end),
        keyMatch4 = two(key_match4),
        keyMatch5 = two(function(key, pattern)
            return fits(match(key, "^[^?]*"), pattern_of(pattern, "{[^/]-}"))
        end),
        keyGet = two(function(key, pattern)
            local star = find(pattern, "*", 1, true)
            return star and key_match(key, pattern) and sub(key, star) or ""
        end),
        regexMatch = two(fits),
        IPMatch = two(ip),
        ipMatch = two(ip),
        globMatch = two(glob),
    }
end


return _M
