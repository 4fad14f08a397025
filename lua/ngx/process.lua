--- `ngx.process`: moongate is one process; every VM belongs to a worker thread of it.
-- @module ngx.process
local host = require("moongate.host")
local unsupported = require("moongate.unsupported")

local _M = {
    version = "0.1.28",
    get_master_pid = host.pid,
    signal_graceful_exit = unsupported.raise("ngx.process.signal_graceful_exit",
        "not supported by moongate: workers are threads of one process, which drains on SIGQUIT"),
}


function _M.type()
    return "worker"
end


--- There is no further process to start, which is not a failure.
function _M.enable_privileged_agent()
    return true
end


return _M
