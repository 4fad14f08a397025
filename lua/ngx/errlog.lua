--- `ngx.errlog`: the error log's level, and writing to it.
-- @module ngx.errlog
local host = require("moongate.host")
local logging = require("moongate.logging")

local error = error
local tostring = tostring
local type = type

local NO_CAPTURE = 'directive "lua_capture_error_log" is not set'

local _M = { version = "0.1.28" }


function _M.get_sys_filter_level()
    return logging.level
end


--- Writes one line as it is, without naming the caller.
function _M.raw_log(level, message)
    if type(level) ~= "number" or level < 0 or level > 8 then
        error("bad log level", 2)
    end
    if type(message) ~= "string" then
        error("bad argument #2 to 'raw_log' (must be a string)", 2)
    end
    if level <= logging.level then
        host.log(level, tostring(message), nil)
    end
end


function _M.set_filter_level(level)
    if type(level) ~= "number" then
        error("level argument must be a number", 2)
    end
    return nil, NO_CAPTURE
end


function _M.get_logs()
    return nil, NO_CAPTURE
end


return _M
