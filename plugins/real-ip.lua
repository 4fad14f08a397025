--- Takes the client's address from a header or another variable, as a proxy before the
-- gateway wrote it.
--
-- Runs in `rewrite` before all other plugins, so that they see that address. It refuses
-- nothing: a missing or bad address, and a peer that is not trusted, leave the address of
-- the connection.
local core = require("apisix.core")
local has_client, client = pcall(require, "resty.apisix.client")

local byte = string.byte
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local type = type

local PORT_MAX = 65535

local schema = {
    type = "object",
    properties = {
        trusted_addresses = {
            type = "array",
            items = { anyOf = core.schema.ip_def },
            minItems = 1,
            description = "Peers that are believed; all if not set.",
        },
        source = {
            type = "string",
            minLength = 1,
            description = "Variable with the address, such as http_x_forwarded_for.",
        },
        recursive = {
            type = "boolean",
            default = false,
            description = "Whether trusted addresses at the end of X-Forwarded-For are passed "
                .. "over.",
        },
    },
    required = { "source" },
}

local _M = {
    version = 0.1,
    priority = 23000,
    name = "real-ip",
    schema = schema,
}


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    for _, text in ipairs(conf.trusted_addresses or {}) do
        if not core.ip.validate_cidr_or_ip(text) then
            return false, "invalid ip address: " .. text
        end
    end
    return true
end


-- list -> matcher; false if the list is no good, which trusts nobody.
local matchers = setmetatable({}, { __mode = "k" })


local function is_trusted(list, address)
    local matcher = matchers[list]
    if matcher == nil then
        matcher = core.ip.create_ip_matcher(list) or false
        matchers[list] = matcher
    end
    return matcher and matcher:match(address)
end


-- The last address of X-Forwarded-For that is not trusted; the first one if all are.
-- From the end, because the beginning is what the client could write itself.
local function last_foreign(list, addresses)
    local rest = addresses
    while true do
        local before, last = match(rest, "^(.*),%s*(.-)$")
        if not before then
            return rest
        end
        if not is_trusted(list, last) then
            return last
        end
        rest = before
    end
end


local function from_forwarded_for(conf, ctx)
    local addresses = core.request.headers(ctx)["X-Forwarded-For"]
    if type(addresses) == "table" then
        addresses = addresses[#addresses]
    end
    if not addresses then
        return nil
    end
    if conf.recursive and conf.trusted_addresses then
        return last_foreign(conf.trusted_addresses, addresses)
    end
    return (gsub(match(addresses, "[^,]*$"), "^ *", ""))
end


local function find_address(conf, ctx)
    if conf.source == "http_x_forwarded_for" then
        return from_forwarded_for(conf, ctx)
    end
    return ctx.var[conf.source]
end


-- The address without brackets, and its port if there is one; nil if it is none.
local function parse(address)
    local ip, port
    if type(address) == "string" then
        ip, port = core.utils.parse_addr(address)
    end
    if not ip or not (core.utils.parse_ipv4(ip) or core.utils.parse_ipv6(ip)) then
        core.log.warn("bad address: ", address)
        return nil
    end
    if port and (port < 1 or port > PORT_MAX) then
        core.log.warn("bad port: ", port)
        return nil
    end
    if byte(ip) == byte("[") then
        ip = sub(ip, 2, -2)
    end
    return ip, port
end


function _M.rewrite(conf, ctx)
    if not has_client then
        core.log.error("need to build APISIX-Runtime to support setting real ip")
        return 501
    end

    local var = ctx.var
    if conf.trusted_addresses and not is_trusted(conf.trusted_addresses, var.remote_addr) then
        return
    end

    local address = find_address(conf, ctx)
    if not address then
        core.log.warn("missing real address")
        return
    end
    local ip, port = parse(address)
    if not ip then
        return
    end

    core.log.info("set real ip: ", ip, ", port: ", port)
    local ok, err = client.set_real_ip(ip, port)
    if not ok then
        core.log.error("failed to set real ip: ", err)
        return
    end
    var.remote_addr = nil
    var.remote_port = nil
    var.realip_remote_addr = nil
    var.realip_remote_port = nil
end


return _M
