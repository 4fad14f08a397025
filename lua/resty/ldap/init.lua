--- `resty.ldap`: whether a name and a password are those of an entry.
-- @module resty.ldap
local client_module = require("resty.ldap.client")

local format = string.format
local gsub = string.gsub
local type = type

local _M = {}


-- A text as value in a distinguished name (RFC 4514).
local function escape(value)
    value = gsub(value, '[,+"\\<>;=]', "\\%0")
    value = gsub(value, "%z", "\\00")
    value = gsub(value, "^[ #]", "\\%0")
    return (gsub(value, " $", "\\ "))
end


--- Binds as `<attribute>=<username>,<base_dn>`.
-- @tparam string username
-- @tparam string password
-- @tparam table conf `ldap_host`, `ldap_port`, `base_dn`, `attribute`, `timeout`, `keepalive`,
--   `start_tls`, `ldaps`, `tls_verify`
-- @treturn boolean|nil true; false if it is refused, nil if nobody could be asked
-- @treturn nil|string error
-- @treturn string|nil the name that was bound as
function _M.ldap_authenticate(username, password, conf)
    if type(conf) ~= "table" or not conf.ldap_host or not conf.base_dn then
        return nil, "ldap_host and base_dn are required"
    elseif password == nil or password == "" then
        return false, "password is empty"
    end
    local dn = format("%s=%s,%s", conf.attribute or "cn", escape(username), conf.base_dn)
    local client, err = client_module:new(conf.ldap_host, conf.ldap_port or 389, {
        socket_timeout = conf.timeout, keepalive_timeout = conf.keepalive,
        start_tls = conf.start_tls, ldaps = conf.ldaps, ssl_verify = conf.tls_verify,
    })
    if not client then
        return nil, err
    end
    local ok
    ok, err = client:simple_bind(dn, password)
    if ok == nil then
        client:close()
        return nil, err
    end
    client:set_keepalive()
    return ok, err, dn
end


return _M
