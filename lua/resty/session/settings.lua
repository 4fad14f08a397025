--- Settings of sessions: the defaults, what `init` set, and what a caller says.
-- @module resty.session.settings
local ipairs = ipairs
local pairs = pairs

local DEFAULTS = {
    cookie_name = "session", cookie_path = "/", cookie_http_only = true, cookie_same_site = "Lax",
    remember = false, remember_cookie_name = "remember", audience = "default",
    enforce_same_subject = false, stale_ttl = 10, idling_timeout = 900, rolling_timeout = 3600,
    absolute_timeout = 86400, remember_rolling_timeout = 604800,
    remember_absolute_timeout = 2592000, touch_threshold = 60,
}

local configured = {}


local _M = {}


--- All settings of a session.
function _M.of(config)
    local settings = {}
    for _, source in ipairs({ DEFAULTS, configured, config or {} }) do
        for name, value in pairs(source) do
            settings[name] = value
        end
    end
    return settings
end


--- Sets what all sessions have from here on.
function _M.init(config)
    configured = config or {}
end


return _M
