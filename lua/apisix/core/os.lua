--- `core.os`.
-- @module apisix.core.os
local ffi = require("ffi")

local C = ffi.C
local ceil = math.ceil
local error = error
local floor = math.floor
local tostring = tostring
local type = type

local WNOHANG = 1
local POLL_US = 10000

ffi.cdef[[
    int setenv(const char *name, const char *value, int overwrite);
    char *strerror(int errnum);
    int usleep(unsigned int usec);
    int waitpid(int pid, int *wstatus, int options);
]]

local _M = {}


local function last_error()
    return ffi.string(C.strerror(ffi.errno()))
end


--- Sets a variable of the process's environment.
function _M.setenv(name, value)
    if type(name) ~= "string" or (type(value) ~= "string" and type(value) ~= "number") then
        return false, "invalid argument"
    end
    if C.setenv(name, tostring(value), 1) ~= 0 then
        return false, last_error()
    end
    return true
end


--- Sleeps without yielding: the whole worker stands still.
function _M.usleep(us)
    if ceil(us) ~= floor(us) then
        error("bad microseconds: " .. us, 2)
    end
    C.usleep(us)
end


--- Waits for a child process, without yielding.
-- @tparam number pid
-- @tparam number timeout seconds
-- @treturn true|nil nil after the timeout
-- @treturn nil|string error
function _M.waitpid(pid, timeout)
    local waited = 0
    while waited < timeout * 1e6 do
        waited = waited + POLL_US
        _M.usleep(POLL_US)
        local done = C.waitpid(pid, nil, WNOHANG)
        if done == -1 then
            return nil, last_error()
        end
        if done > 0 then
            return true
        end
    end
end


return _M
