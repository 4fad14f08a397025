--- `apisix.utils.rfc5424`: lines of the syslog protocol.
-- @module apisix.utils.rfc5424
local log_util = require("apisix.utils.log-util")

local concat = table.concat
local format = string.format
local ipairs = ipairs

local FACILITIES = {
    KERN = 0,
    USER = 1,
    MAIL = 2,
    DAEMON = 3,
    AUTH = 4,
    SYSLOG = 5,
    LPR = 6,
    NEWS = 7,
    UUCP = 8,
    CRON = 9,
    AUTHPRIV = 10,
    FTP = 11,
    LOCAL0 = 16,
    LOCAL1 = 17,
    LOCAL2 = 18,
    LOCAL3 = 19,
    LOCAL4 = 20,
    LOCAL5 = 21,
    LOCAL6 = 22,
    LOCAL7 = 23,
}

-- EMEGR is how APISIX spells it; both work here.
local SEVERITIES = {
    EMEGR = 0,
    EMERG = 0,
    ALERT = 1,
    CRIT = 2,
    ERR = 3,
    WARNING = 4,
    NOTICE = 5,
    INFO = 6,
    DEBUG = 7,
}

local _M = { version = 0.1 }


local function structured(params)
    if not params then
        return "-"
    end
    local parts = { "[logservice" }
    for _, param in ipairs(params) do
        parts[#parts + 1] = param.name .. '="' .. param.value .. '"'
    end
    return concat(parts, " ") .. "]"
end


--- One line, with its newline.
-- @tparam string facility name, for instance "SYSLOG"
-- @tparam string severity name, for instance "INFO"
-- @tparam string|nil hostname
-- @tparam string|nil appname
-- @tparam number pid
-- @tparam string msg
-- @tparam[opt] table structured_data list of `{ name, value }`
function _M.encode(facility, severity, hostname, appname, pid, msg, structured_data)
    return format("<%d>1 %s %s %s %d - %s %s\n",
                  FACILITIES[facility] * 8 + SEVERITIES[severity],
                  log_util.get_rfc3339_zulu_timestamp(), hostname or "-", appname or "-", pid,
                  structured(structured_data), msg)
end


return _M
