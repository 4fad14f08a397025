--- `resty.dns.utils`: /etc/hosts, /etc/resolv.conf, and what kind of a name a name is.
-- @module resty.dns.utils
local gmatch = string.gmatch
local gsub = string.gsub
local io_lines = io.lines
local ipairs = ipairs
local lower = string.lower
local match = string.match
local now = ngx.now
local os_getenv = os.getenv
local pcall = pcall
local tonumber = tonumber
local type = type

local _M = {
    DEFAULT_HOSTS = "/etc/hosts",
    DEFAULT_RESOLV_CONF = "/etc/resolv.conf",
    --- More name servers and domains than that are left out.
    MAXNS = 3,
    MAXSEARCH = 6,
}

-- Options of resolv.conf: true for a switch, "number" for one with a value.
local OPTIONS = {
    debug = true, rotate = true, ["no-check-names"] = true, inet6 = true,
    ["ip6-bytestring"] = true, ["ip6-dotint"] = true, ["no-ip6-dotint"] = true, edns0 = true,
    ["single-request"] = true, ["single-request-reopen"] = true, ["no-tld-query"] = true,
    ["use-vc"] = true, ndots = "number", timeout = "number", attempts = "number",
}
local OPPOSITE = { ["ip6-dotint"] = "no-ip6-dotint", ["no-ip6-dotint"] = "ip6-dotint" }


-- The lines of a file, or of the table that was given instead of its name.
local function lines_of(source)
    if type(source) == "table" then
        return source
    end
    local lines = {}
    local ok, err = pcall(function()
        for line in io_lines(source) do
            lines[#lines + 1] = line
        end
    end)
    if not ok then
        return nil, (gsub(err, "^[^/]*:%d+: ", ""))
    end
    return lines
end


-- What stands before a comment, nil if nothing does.
local function content(line)
    return match(line, "^[^#;]+")
end


--- What a name is.
-- @treturn string "ipv4", "ipv6" or "name"
function _M.hostnameType(name)
    local rest, colons = gsub(name, ":", "")
    if colons > 1 then
        return "ipv6"
    end
    return match(rest, "^[%d.]+$") and "ipv4" or "name"
end


--- Takes "name:port" apart; IPv6 addresses come out in brackets.
-- @treturn string|nil name
-- @treturn number|nil port
-- @treturn string|nil its kind, as `hostnameType` has it
function _M.parseHostname(name)
    local kind = _M.hostnameType(name)
    local host, port
    if kind ~= "ipv6" then
        host, port = match(name, "^([^:]+):*(%d*)$")
    elseif match(name, "%[") then
        host, port = match(name, "^%[([^%]]+)%]*:*(%d*)$")
    else
        host = name
    end
    host = host and kind == "ipv6" and "[" .. host .. "]" or host
    return host, tonumber(port), kind
end


--- Reads a file of hosts.
-- @tparam[opt] string|table source a file, or its lines
-- @treturn table|nil name -> `{ ipv4, ipv6 }`, of which the first line counts
-- @treturn table|string list of `{ ip, family, canonical, … }`, or the error
function _M.parseHosts(source)
    local lines, err = lines_of(source or _M.DEFAULT_HOSTS)
    if not lines then
        return nil, err
    end
    local by_name, list = {}, {}
    for _, line in ipairs(lines) do
        local address, names = match(content(lower(line)) or "", "^%s*([%[%]%x.:]+)%s+(%S.-)%s*$")
        local ip, _, family = _M.parseHostname(address or "none")
        if ip and family ~= "name" then
            local entry, key = { ip = ip, family = family }, "canonical"
            for name in gmatch(names, "%S+") do
                entry[key] = name
                key = key == "canonical" and 1 or key + 1
                local known = by_name[name] or {}
                by_name[name] = known
                known[family] = known[family] or ip
            end
            list[#list + 1] = entry
        end
    end
    return by_name, list
end


local function set_option(options, text)
    local name, digits = match(text, "^([^:]+):*(%d*)$")
    local kind = OPTIONS[name]
    if kind == true and digits == "" then
        options[name] = true
        if OPPOSITE[name] then
            options[OPPOSITE[name]] = nil
        end
    elseif kind == "number" and digits ~= "" then
        options[name] = tonumber(digits)
    end
end


-- The words of a text, `most` of them.
local function words(text, most)
    local list = {}
    for word in gmatch(text, "%S+") do
        if most and #list >= most then
            break
        end
        list[#list + 1] = lower(word)
    end
    return list
end


local READERS = {
    nameserver = function(conf, value)
        conf.nameserver = conf.nameserver or {}
        if #conf.nameserver < _M.MAXNS then
            conf.nameserver[#conf.nameserver + 1] = lower(value)
        end
    end,
    domain = function(conf, value)
        conf.domain, conf.search = lower(value), nil
    end,
    search = function(conf, value)
        conf.domain, conf.search = nil, words(value, _M.MAXSEARCH)
    end,
    sortlist = function(conf, value)
        conf.sortlist = words(value)
    end,
    options = function(conf, value)
        conf.options = conf.options or {}
        set_option(conf.options, value)
    end,
}


--- Reads a resolv.conf.
-- @tparam[opt] string|table source a file, or its lines
-- @treturn table|nil `nameserver`, `domain` or `search`, `sortlist`, `options`
-- @treturn nil|string error
function _M.parseResolvConf(source)
    local lines, err = lines_of(source or _M.DEFAULT_RESOLV_CONF)
    if not lines then
        return nil, err
    end
    local conf = {}
    for _, line in ipairs(lines) do
        local name, value = match(content(line) or "", "^%s*(%a+)%s+(.-)%s*$")
        if READERS[name] then
            READERS[name](conf, value)
        end
    end
    return conf
end


--- Lays LOCALDOMAIN and RES_OPTIONS of the environment over what was read.
-- @treturn table|nil the same table
-- @treturn nil|string the error it was given
function _M.applyEnv(conf, err)
    if not conf then
        return nil, err
    end
    local domains = words(os_getenv("LOCALDOMAIN") or "")
    if domains[1] then
        conf.domain, conf.search = nil, domains
    end
    for _, option in ipairs(words(os_getenv("RES_OPTIONS") or "")) do
        conf.options = conf.options or {}
        set_option(conf.options, option)
    end
    return conf
end


-- A reader whose result is kept for as long as was asked for last.
local function kept(read)
    local value, more, since, ttl
    return function(seconds)
        ttl = seconds or ttl
        if not value or not ttl or since + ttl <= now() then
            value, more = read()
            since = now()
        end
        return value, more
    end
end


--- As `parseHosts`, read again after `ttl` seconds.
_M.getHosts = kept(_M.parseHosts)

--- As `applyEnv(parseResolvConf())`, read again after `ttl` seconds.
_M.getResolv = kept(function()
    return _M.applyEnv(_M.parseResolvConf())
end)


return _M
