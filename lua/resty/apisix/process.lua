--- `resty.apisix.process`: what a plugin may ask of the process.
-- @module resty.apisix.process
local host = require("moongate.host")

return {
    --- When the logs were last opened anew (SIGUSR1), so that a plugin that keeps a file of its
    -- own open does so, too.
    -- @function get_last_reopen_ms
    -- @treturn number milliseconds since 1970, 0 if they never were
    get_last_reopen_ms = host.logs_reopened,
}
