--- ldap-auth: authenticates a consumer by a login at an LDAP directory.
--
-- Runs in `rewrite`. User name and password (RFC 7617) must be good for a bind as
-- `<uid>=<user name>,<base_dn>`; the consumer is the one whose `user_dn` is that name, written as
-- RFC 4514 wants it: `cn=one\,two,dc=org`. Everybody else gets 401,
-- `WWW-Authenticate: Basic realm="..."` and `{"message":"..."}`; the log tells why, also when
-- the directory cannot be asked.
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local ldap = require("resty.ldap")
local schema_def = require("apisix.schema_def")

local decode_base64 = ngx.decode_base64
local find = string.find
local gsub = string.gsub
local lower = string.lower
local match = string.match
local sub = string.sub

local NAME = "ldap-auth"
local UNAUTHORIZED = 401
local PORT, TLS_PORT = 389, 636
local TIMEOUT_MS, IDLE_MS = 10000, 60000

local schema = {
    type = "object",
    title = "work with route or service object",
    properties = {
        base_dn = { type = "string" },
        ldap_uri = { type = "string" },
        use_tls = { type = "boolean", default = false },
        tls_verify = { type = "boolean", default = false },
        uid = { type = "string", default = "cn" },
        hide_credentials = { type = "boolean", default = false },
        realm = schema_def.get_realm_schema("ldap"),
    },
    required = { "base_dn", "ldap_uri" },
}

local consumer_schema = {
    type = "object",
    title = "work with consumer object",
    properties = {
        user_dn = { type = "string" },
    },
    required = { "user_dn" },
}

local _M = {
    version = 0.1,
    priority = 2540,
    type = "auth",
    name = NAME,
    schema = schema,
    consumer_schema = consumer_schema,
}


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_CONSUMER then
        return core.schema.check(consumer_schema, conf)
    end
    core.utils.check_tls_bool({ "use_tls", "tls_verify" }, conf, NAME)
    return core.schema.check(schema, conf)
end


-- User name and password in the header, or nil, nil and what is wrong with it. All after the
-- first colon is the password; what `echo` puts behind it is not part of it.
local function credentials_of(header)
    local at = find(lower(header), "basic%s.")
    local encoded = at and match(header, "^%a+%s(.+)$", at)
    if not encoded then
        return nil, nil, "Invalid authorization header format"
    end
    local decoded = decode_base64(encoded)
    if not decoded then
        return nil, nil, "Failed to decode authentication header: " .. encoded
    end
    local colon = find(decoded, ":", 1, true)
    if not colon or colon == #decoded then
        return nil, nil, "Split authorization err: invalid decoded data: "
                         .. sub(decoded, 1, (colon or #decoded + 1) - 1)
    end
    local username = match(sub(decoded, 1, colon - 1), "^%s*(.-)%s*$")
    return username, (gsub(sub(decoded, colon + 1), "[\r\n]+$", ""))
end


-- Host, port and whether the connection is encrypted; the address may be a URI.
local function server_of(conf)
    local scheme, addr = match(conf.ldap_uri, "^(%a+)://([^/]*)")
    local host, port = core.utils.parse_addr(addr or conf.ldap_uri)
    local by_scheme = scheme and lower(scheme) == "ldaps"
    return host, port or by_scheme and TLS_PORT or PORT, conf.use_tls or by_scheme
end


-- The name that the directory knows the user by, or nil and why not.
local function log_in(conf, username, password)
    if username == "" then
        return nil, "user name is empty"
    end
    local host, port, tls = server_of(conf)
    local ok, err, user_dn = ldap.ldap_authenticate(username, password, {
        ldap_host = host,
        ldap_port = port,
        ldaps = tls,
        start_tls = false,
        tls_verify = conf.tls_verify,
        base_dn = conf.base_dn,
        attribute = conf.uid,
        timeout = TIMEOUT_MS,
        keepalive = IDLE_MS,
    })
    return ok and user_dn or nil, err
end


-- Second result as `attach_consumer` wants it; third, why there is no consumer.
local function authenticate(conf, ctx)
    local header = core.request.header(ctx, "Authorization")
    if not header then
        return nil, nil, "Missing authorization in request"
    end
    local username, password, err = credentials_of(header)
    if not username then
        core.log.warn(err)
        return nil, nil, "Invalid authorization in request"
    end
    local user_dn
    user_dn, err = log_in(conf, username, password)
    if not user_dn then
        core.log.warn("ldap-auth failed: ", err)
        return nil, nil, "Invalid user authorization"
    end
    local consumer, consumer_conf
    consumer, consumer_conf, err = consumer_mod.find_consumer(NAME, "user_dn", user_dn)
    if not consumer then
        return nil, nil, err or "Invalid user authorization"
    end
    return consumer, consumer_conf
end


function _M.rewrite(conf, ctx)
    local consumer, consumer_conf, reason = authenticate(conf, ctx)
    if not consumer then
        core.response.set_header("WWW-Authenticate", 'Basic realm="' .. conf.realm .. '"')
        return UNAUTHORIZED, { message = reason }
    end
    core.log.info("find consumer ", consumer.consumer_name)
    consumer_mod.attach_consumer(ctx, consumer, consumer_conf)
    if conf.hide_credentials then
        core.request.set_header(ctx, "Authorization", nil)
    end
    core.log.info("hit ldap-auth access")
end


return _M
