--- `resty.dns.client`: names to records and addresses, with a cache, /etc/hosts, search domains
-- and the order of types.
--
--     local client = require("resty.dns.client")
--     client.init({ nameservers = { "10.0.0.2" }, order = { "LAST", "A", "CNAME" } })
--     local address, port = client.toip("service.example", 80)
--
-- Each worker has a cache of its own. Of several requests that ask for one name at once, one asks
-- the server and the others wait for it.
-- @module resty.dns.client
local cache = require("moongate.dns_cache")
local picker = require("moongate.dns_pick")
local resolver = require("resty.dns.resolver")
local utils = require("resty.dns.utils")

local assert = assert
local concat = table.concat
local format = string.format
local gsub = string.gsub
local ipairs = ipairs
local log = ngx.log
local lower = string.lower
local now = ngx.now
local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring
local type = type
local upper = string.upper
local WARN = ngx.WARN

-- Seconds. What a file or the name itself says holds as long as the process does.
local FOREVER = 10 * 365 * 86400

local ORDER = { "LAST", "SRV", "A", "AAAA", "CNAME" }
local CACHED_ONLY, EMPTY, NAME_ERROR = 100, 101, 3

local _M = { TYPE_LAST = -1 }
for name, value in pairs(resolver) do
    if type(name) == "string" and sub(name, 1, 5) == "TYPE_" then
        _M[name] = value
    end
end

-- What `init` was told.
local settings

local tries_mt = {
    __tostring = function(tries)
        local texts = {}
        for i, try in ipairs(tries) do
            texts[i] = format('"%s:%s%s"', try.qname, try.qtype or "(na)",
                              try.msg ~= "" and " - " .. gsub(try.msg, '"', "'") or "")
        end
        return "[" .. concat(texts, ",") .. "]"
    end,
}


-- The list of what was tried grows by one.
local function try(tries, name, kind, what)
    tries = tries or setmetatable({}, tries_mt)
    tries[#tries + 1] = { qname = name, qtype = kind, msg = what }
    tries[name .. ":" .. tostring(kind)] = true
    return tries
end


local function told(tries, what)
    local last = tries[#tries]
    last.msg = last.msg .. "/" .. what
end


-- The records of one name and type: what the cache has, or the server.
local function lookup(name, options, cached_only, tries)
    local known = cache.get(name, options.qtype)
    if known then
        try(tries, name, options.qtype, "cache-hit")
        if known.expire < now() then
            told(tries, "stale")
            ngx.timer.at(0, cache.refresh, name, options)
        end
        return known
    elseif cached_only then
        try(tries, name, options.qtype, "cache only lookup failed")
        return { errcode = CACHED_ONLY, errstr = "cache only lookup failed" }
    end
    try(tries, name, options.qtype, "cache-miss")
    told(tries, "querying")
    if settings.noSynchronisation then
        return cache.query(name, options)
    end
    return cache.query_once(name, options)
end


-- The names to try for one type: the name itself, and those with the search domains.
local function candidates(name, kind)
    local list, domains = {}, sub(name, -1) == "." and {} or settings.search
    local _, dots = gsub(name, "%.", "")
    local bare_first = dots >= settings.ndots or cache.get(name, kind)
    if bare_first then
        list[1] = name
    end
    for _, domain in ipairs(domains) do
        list[#list + 1] = name .. "." .. domain
    end
    if not bare_first then
        list[#list + 1] = name
    end
    return list
end


-- An address needs no server.
local function literal(name, asked, family, tries)
    local kind = family == "ipv4" and _M.TYPE_A or _M.TYPE_AAAA
    try(tries, name, asked or kind, family == "ipv4" and "IPv4" or "IPv6")
    local inner = gsub(name, "^%[(.*)%]$", "%1")
    local fine = family == "ipv4" or picker.is_ipv6(inner)
    if asked and asked ~= kind or not fine then
        return nil, format("dns server error: %d name error", NAME_ERROR)
    end
    local record = { address = utils.parseHostname(name), type = kind, class = 1, name = name,
                     ttl = FOREVER }
    return { record, ttl = FOREVER, expire = now() + FOREVER }
end


-- All types of the order; "LAST" is the one that was found before.
local function kinds_of(name, asked)
    if asked then
        return { asked }
    end
    local kinds, seen = {}, {}
    for _, kind in ipairs(settings.kinds) do
        kind = kind == _M.TYPE_LAST and cache.found(name) or kind
        if kind ~= _M.TYPE_LAST and not seen[kind] then
            kinds[#kinds + 1], seen[kind] = kind, true
        end
    end
    return kinds
end


local function points_to_itself(records, name)
    for _, record in ipairs(records) do
        if record.target ~= name then
            return false
        end
    end
    return true
end


-- Why records are no answer, nil if they are one.
local function refused(records, name, asked, kind)
    if records.errcode then
        return format("dns server error: %s %s", records.errcode, records.errstr)
    elseif not records[1] then
        return format("dns client error: %d empty record received", EMPTY)
    elseif kind == _M.TYPE_SRV and asked ~= kind and points_to_itself(records, name) then
        return "recursion detected"
    end
end


--- The records of a name; names that are others' names are followed.
-- @tparam string name
-- @tparam[opt] table options `qtype`: only that type, otherwise those of the order
-- @tparam[opt] boolean cached_only do not ask a server
-- @tparam[opt] table tries from a call before
-- @treturn table|nil records
-- @treturn nil|string error
-- @treturn table what was tried
function _M.resolve(name, options, cached_only, tries)
    if not settings then
        _M.init()
    end
    name = lower(name)
    local asked = options and options.qtype
    local mark = "(short)" .. name
    if tries and tries[mark .. ":" .. tostring(asked)] then
        told(tries, "recursion detected")
        return nil, "recursion detected", tries
    end
    tries = try(tries, mark, asked, "")
    local family = utils.hostnameType(name)
    if family ~= "name" then
        local records, err = literal(name, asked, family, tries)
        return records, err, tries
    end

    local err
    for _, kind in ipairs(kinds_of(name, asked)) do
        for _, candidate in ipairs(candidates(name, kind)) do
            local records, failed
            if tries[candidate .. ":" .. kind] then
                failed = "recursion detected"
            else
                records, failed = lookup(candidate, { qtype = kind, additional_section = not options
                                                      or options.additional_section },
                                         cached_only, tries)
            end
            failed = records and refused(records, candidate, asked, kind) or failed
            if failed then
                err = failed
                told(tries, failed)
            else
                if not asked and not cached_only then
                    cache.set_found(name, kind)
                end
                if kind == _M.TYPE_CNAME and asked ~= kind then
                    told(tries, "dereferencing")
                    return _M.resolve(records[1].cname, nil, cached_only, tries)
                end
                return records, nil, tries
            end
        end
    end
    if not cached_only and not asked then
        cache.set_found(name, nil)
    end
    return nil, err, tries
end


--- One address of a name: each call the next one; SRV records by their weights.
-- @tparam string name
-- @tparam[opt] number port if the name's records have none
-- @treturn string|nil address
-- @treturn number|string|nil port, or the error
-- @treturn table what was tried
function _M.toip(name, port, cached_only, tries)
    local records, err
    records, err, tries = _M.resolve(name, nil, cached_only, tries)
    if not records then
        return nil, err, tries
    elseif records[1].type == _M.TYPE_SRV then
        local record = picker.by_weight(records)
        told(tries, "dereferencing SRV")
        return _M.toip(record.target, record.port ~= 0 and record.port or port, cached_only, tries)
    end
    return picker.in_turn(records).address, port, tries
end


--- Connects a socket to a name.
-- @treturn number|nil
-- @treturn nil|string error
function _M.connect(sock, name, port, options)
    local address, found, tries = _M.toip(name, port)
    if not address then
        return nil, tostring(found) .. ". Tried: " .. tostring(tries)
    elseif options then
        return sock:connect(address, found, options)
    end
    return sock:connect(address, found)
end


--- Gives a UDP socket its peer by name.
-- @treturn number|nil
-- @treturn nil|string error
function _M.setpeername(sock, name, port)
    if sub(name, 1, 5) == "unix:" then
        return sock:setpeername(name)
    end
    local address, found, tries = _M.toip(name, port)
    if not address then
        return nil, tostring(found) .. ". Tried: " .. tostring(tries)
    end
    return sock:setpeername(address, found)
end


local function keep_hosts(source, prefer)
    local hosts, err = utils.parseHosts(source)
    if not hosts then
        log(WARN, "[dns-client] no file of hosts: ", err)
        hosts = {}
    end
    hosts.localhost = hosts.localhost or { ipv4 = "127.0.0.1", ipv6 = "[::1]" }
    for name, address in pairs(hosts) do
        for family, kind in pairs({ ipv4 = _M.TYPE_A, ipv6 = _M.TYPE_AAAA }) do
            if address[family] then
                cache.keep(name, kind, { { name = name, address = address[family], type = kind,
                                           class = 1, ttl = FOREVER } })
                if kind == prefer or not cache.found(name) then
                    cache.set_found(name, kind)
                end
            end
        end
    end
end


local function servers_of(conf, with_ipv6)
    local servers = {}
    for _, text in ipairs(conf.nameserver or {}) do
        local address, port, family = utils.parseHostname(text)
        if family ~= "ipv6" or with_ipv6 and not address:find("%", 1, true) then
            servers[#servers + 1] = { address, port or 53 }
        end
    end
    return servers
end


-- The numbers of an order, and which of the two kinds of addresses comes first in it.
local function kinds_from(order)
    local kinds, prefer = {}, nil
    for i, name in ipairs(order) do
        local kind = _M["TYPE_" .. upper(name)]
        local known = false
        for _, valid in ipairs(ORDER) do
            known = known or valid == upper(name)
        end
        assert(known, "Invalid dns record type in order array; " .. tostring(name))
        kinds[i] = kind
        prefer = prefer or (kind == _M.TYPE_A or kind == _M.TYPE_AAAA) and kind or nil
    end
    assert(#kinds > 0, "Invalid order list; cannot be empty")
    return kinds, prefer
end


--- Begins anew, with an empty cache.
-- @tparam[opt] table options `hosts` and `resolvConf` (files or lists of lines), `nameservers`,
--   `order`, `search`, `ndots`, `timeout` (milliseconds), `retrans`, `no_random`, `enable_ipv6`,
--   `cacheSize`, `noSynchronisation`, and seconds: `validTtl`, `staleTtl`, `badTtl`, `emptyTtl`
-- @treturn boolean
function _M.init(options)
    options = options or {}
    local kinds, prefer = kinds_from(options.order or ORDER)
    local conf, err = utils.applyEnv(utils.parseResolvConf(options.resolvConf))
    if not conf then
        log(WARN, "[dns-client] no resolv.conf: ", err)
        conf = {}
    end
    local told_options = conf.options or {}
    options.kinds = kinds
    if #(options.nameservers or {}) == 0 then
        options.nameservers = servers_of(conf, options.enable_ipv6)
    end
    if options.no_random == nil then
        options.no_random = not told_options.rotate
    end
    options.retrans = options.retrans or told_options.attempts or 5
    options.timeout = options.timeout or (told_options.timeout or 2) * 1000
    options.ndots = options.ndots or told_options.ndots or 1
    options.search = options.search or conf.search or { conf.domain }
    options.staleTtl = options.staleTtl or 4
    options.badTtl = options.badTtl or 1
    options.emptyTtl = options.emptyTtl or 30

    local valid = options.validTtl
    options.validTtl = nil
    settings = options
    cache.reset(options)
    keep_hosts(options.hosts, prefer)
    options.validTtl = valid
    return true
end


return _M
