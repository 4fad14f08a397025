--- `ngx.errlog`: the error log's level, and writing to it.
-- @module ngx.errlog
local host = require("moongate.host")
local logging = require("moongate.logging")

local error = error
local tostring = tostring
local type = type

local _M = { version = "0.1.28" }


function _M.get_sys_filter_level()
    return logging.level
end


--- Writes one line as it is, without naming the caller.
function _M.raw_log(level, message)
    if type(level) ~= "number" then
        error("bad argument #1 to 'raw_log' (must be a number)", 2)
    end
    if level < 0 or level > 8 then
        error("bad log level", 2)
    end
    if type(message) ~= "string" then
        error("bad argument #2 to 'raw_log' (must be a string)", 2)
    end
    if level <= logging.level then
        host.log(level, tostring(message), nil)
    end
end


--- Keeps this worker's lines up to a level for `get_logs`, the newest 10 MiB of them.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.set_filter_level(level)
    if level == nil then
        return nil, 'missing "level" argument'
    end
    if type(level) ~= "number" then
        error("bad argument #1 to 'set_filter_level' (must be a number)", 2)
    end
    if level < 0 or level > 8 then
        return nil, "bad log level"
    end
    host.log_capture(level)
    return true
end


--- Takes kept lines out, the oldest first.
-- @tparam[opt] number max how many
-- @tparam[opt] table logs filled and returned instead of a new table
-- @treturn table level, time, line, level, time, line, and so on, with nil behind the last
function _M.get_logs(max, logs)
    local kept = host.log_captured(max or 2 ^ 31)
    if type(logs) ~= "table" then
        return kept
    end
    local count = #kept
    for at = 1, count do
        logs[at] = kept[at]
    end
    logs[count + 1] = nil
    return logs
end


return _M
