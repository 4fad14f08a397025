--- `core.utils`.
-- @module apisix.core.utils
local core_string = require("apisix.core.string")
local dns_client = require("apisix.core.dns.client")
local host = require("moongate.host")
local log = require("apisix.core.log")
local template = require("apisix.core.template")

local byte = string.byte
local exiting = host.exiting
local find = string.find
local format = string.format
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local open = io.open
local rfind_char = core_string.rfind_char
local sub = string.sub
local tonumber = tonumber
local type = type

-- A sleeping timer must notice within this time that the worker ends.
local SLEEP_STEP = 1
local SEED_BYTES = 8

local _M = {
    version = 0.2,
    parse_ipv4 = host.ip.parse_ipv4,
    parse_ipv6 = host.ip.parse_ipv6,
    generate_uuid_v7 = host.crypto.uuid_v7,
    resolve_var = template.resolve_var,
    resolve_var_with_captures = template.resolve_var_with_captures,
}


--- A number from the system's randomness, for `math.randomseed`.
function _M.get_seed_from_urandom()
    local seed = 0
    local bytes = host.crypto.random_bytes(SEED_BYTES)
    for i = 1, SEED_BYTES do
        seed = 256 * seed + byte(bytes, i)
    end
    return seed
end


--- The pieces between slashes; the first one is "" for an absolute path.
function _M.split_uri(uri)
    return host.re.split(uri, "/")
end


local resolvers
local client = dns_client.new()


function _M.set_resolver(servers)
    resolvers = servers
end


function _M.get_resolver()
    return resolvers
end


--- Resolves a name: a record, or all with `dns_client.RETURN_ALL`.
function _M.dns_parse(domain, selector)
    return client:resolve(domain, selector)
end


local function split_port(addr)
    local colon = rfind_char(addr, ":", #addr - 1)
    if not colon then
        return addr, nil
    end
    return sub(addr, 1, colon - 1), tonumber(sub(addr, colon + 1))
end


--- Splits "host:port", "1.2.3.4:80", "[::1]:80". An IPv6 address keeps its brackets, and
-- without brackets has no port.
-- @treturn string host
-- @treturn number|nil port
function _M.parse_addr(addr)
    if byte(addr, 1) == byte("[") then
        if find(addr, "%]:[^:%]]+$") then
            return split_port(addr)
        end
        return addr, nil
    end

    local first = find(addr, ":", 1, true)
    if first and find(addr, ":", first + 1, true) then
        local dot = find(addr, ".", 1, true)
        local second = find(addr, ":", first + 1, true)
        if not dot or dot > second then
            return addr, nil
        end
    end
    return split_port(addr)
end


--- Escapes what may not stand in a URI, leaving its structure.
function _M.uri_safe_encode(uri)
    return host.uri.escape(uri, 0)
end


local function percent(char)
    return format("%%%02X", byte(char))
end


function _M.escape_uri_control_chars(uri)
    return (gsub(uri, "[%z\1-\31\127]", percent))
end


--- Whether the text may be a header name.
function _M.validate_header_field(field)
    return not find(field, "[^\33-\57\59-\126]")
end


--- Whether the text may be a header value; what is no string always may.
function _M.validate_header_value(value)
    if type(value) ~= "string" then
        return true
    end
    return not find(value, "[^\32-\126]")
end


local hostname


function _M.gethostname()
    if hostname then
        return hostname
    end

    local file = open("/proc/sys/kernel/hostname", "r")
    if file then
        hostname = file:read("*l")
        file:close()
    end
    if not hostname or hostname == "" then
        hostname = "unknown"
        log.error("failed to read the host name from /proc/sys/kernel/hostname")
    end
    return hostname
end


--- Sleeps in steps, and not to the end if the worker is about to end.
-- @tparam number seconds
function _M.sleep(seconds)
    while seconds > SLEEP_STEP do
        host.sleep(SLEEP_STEP)
        if exiting() then
            return
        end
        seconds = seconds - SLEEP_STEP
    end
    host.sleep(seconds)
end


-- The table that holds the last name of a dotted path, and that name.
local function parent_of(path, conf)
    local dot = find(path, ".", 1, true)
    while dot do
        conf = conf[sub(path, 1, dot - 1)]
        if type(conf) ~= "table" then
            return nil
        end
        path = sub(path, dot + 1)
        dot = find(path, ".", 1, true)
    end
    return conf, path
end


local function warn_without_tls(field, plugin_name, value)
    if type(value) ~= "string" or not match(value, "^https") then
        log.warn("Using ", plugin_name, " " , field, " with no TLS is a security risk")
    end
end


--- Warns for each of `fields` (dotted paths) whose URL is not https.
function _M.check_https(fields, conf, plugin_name)
    for _, field in ipairs(fields) do
        local parent, name = parent_of(field, conf)
        local value = parent and parent[name]
        if type(value) == "table" then
            for _, item in ipairs(value) do
                warn_without_tls(field, plugin_name, item)
            end
        elseif value then
            warn_without_tls(field, plugin_name, value)
        end
    end
end


--- Warns for each of `fields` (dotted paths) that is set and not true.
function _M.check_tls_bool(fields, conf, plugin_name)
    for _, field in ipairs(fields) do
        local parent, name = parent_of(field, conf)
        if not parent then
            return
        end
        if parent[name] ~= nil and parent[name] ~= true then
            log.warn("Keeping ", field, " disabled in ", plugin_name,
                     " configuration is a security risk")
        end
    end
end


--- Writes the variable `rate_limiting_info` for the access log.
function _M.set_var_rate_limiting_info(ctx, key, limit, remaining, reset)
    if not ctx then
        return
    end
    ctx.var.rate_limiting_info = format(
        '{"rate_limiting_key":"%s","rate_limiting_limit":%d,'
        .. '"rate_limiting_remaining":%d,"rate_limiting_reset":%d}',
        key or "", limit or 0, tonumber(remaining) or 0, reset or 0)
end


return _M
