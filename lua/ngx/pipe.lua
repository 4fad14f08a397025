--- `ngx.pipe`: child processes are not started by moongate.
-- @module ngx.pipe
local _M = { version = "0.1.28" }


function _M.spawn()
    return nil, "ngx.pipe.spawn is not supported by moongate yet"
end


return _M
