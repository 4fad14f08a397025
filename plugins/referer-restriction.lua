--- Lets requests pass or refuses them by the host in their `Referer`.
--
-- Runs in `access`. Refusal: 403 and `{"message":"..."}`. A missing `Referer`, or one that
-- is no URL with a host, is refused unless `bypass_missing`.
local core = require("apisix.core")

local byte = string.byte
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local setmetatable = setmetatable
local sub = string.sub

local hosts = {
    type = "array",
    items = core.schema.host_def,
    minItems = 1,
}

local schema = {
    type = "object",
    properties = {
        bypass_missing = { type = "boolean", default = false },
        whitelist = hosts,
        blacklist = hosts,
        message = {
            type = "string",
            minLength = 1,
            maxLength = 1024,
            default = "Your referer host is not allowed",
        },
    },
    oneOf = {
        { required = { "whitelist" } },
        { required = { "blacklist" } },
    },
}

local _M = {
    version = 0.1,
    priority = 2990,
    name = "referer-restriction",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


-- list of hosts -> { exact = { host = true }, suffixes = { ".foo.com" } }
local prepared = setmetatable({}, { __mode = "k" })


local function prepare(list)
    local known = { exact = {}, suffixes = {} }
    for _, host in ipairs(list) do
        host = lower(host)
        if byte(host) == byte("*") then
            known.suffixes[#known.suffixes + 1] = sub(host, 2)
        else
            known.exact[host] = true
        end
    end
    prepared[list] = known
    return known
end


local function contains(list, host)
    local known = prepared[list] or prepare(list)
    if known.exact[host] then
        return true
    end
    for _, suffix in ipairs(known.suffixes) do
        if core.string.has_suffix(host, suffix) then
            return true
        end
    end
    return false
end


-- The host of an http(s) URL, in lower case: without the user name before it, which could
-- pretend to be a host, and without the port behind it. nil if there is none.
local function host_of(url)
    local authority = match(url, "^[Hh][Tt][Tt][Pp][Ss]?://([^/?#\\]*)")
                      or match(url, "^//([^/?#\\]*)")
    if not authority then
        return nil
    end
    authority = gsub(authority, "^.*@", "")
    local host = match(authority, "^%[[^%]]*%]") or match(authority, "^[^:]*")
    if host == "" then
        return nil
    end
    return lower(host)
end


local function is_refused(conf, referer)
    local host = referer and host_of(referer)
    if not host then
        return not conf.bypass_missing
    end
    if conf.whitelist then
        return not contains(conf.whitelist, host)
    end
    return contains(conf.blacklist, host)
end


function _M.access(conf, ctx)
    if is_refused(conf, ctx.var.http_referer) then
        return 403, { message = conf.message }
    end
end


return _M
