--- `resty.signal`: signals to other processes.
-- @module resty.signal
local ffi = require("ffi")

local tonumber = tonumber
local type = type

ffi.cdef[[
    int kill(int32_t pid, int sig);
    char *strerror(int errnum);
]]

-- Numbers of Linux on x86 and ARM.
local NUMBERS = {
    NONE = 0, HUP = 1, INT = 2, QUIT = 3, ILL = 4, TRAP = 5, ABRT = 6, BUS = 7, FPE = 8, KILL = 9,
    USR1 = 10, SEGV = 11, USR2 = 12, PIPE = 13, ALRM = 14, TERM = 15, CHLD = 17, CONT = 18,
    STOP = 19, TSTP = 20, TTIN = 21, TTOU = 22, URG = 23, XCPU = 24, XFSZ = 25, VTALRM = 26,
    PROF = 27, WINCH = 28, IO = 29, PWR = 30, SYS = 31,
}

local _M = { version = "0.03" }


--- The number of a signal, nil if there is none of this name.
function _M.signum(name)
    return NUMBERS[name]
end


--- Sends a signal; "NONE" only asks whether the process is there.
-- @tparam number pid
-- @tparam string|number signal
-- @treturn boolean|nil true
-- @treturn nil|string error of the system
function _M.kill(pid, signal)
    if type(pid) ~= "number" and not tonumber(pid) then
        return nil, "bad pid: " .. tostring(pid)
    end
    local number = type(signal) == "number" and signal or NUMBERS[signal]
    if not number then
        return nil, "unknown signal name: " .. tostring(signal)
    end
    if ffi.C.kill(tonumber(pid), number) ~= 0 then
        return nil, ffi.string(ffi.C.strerror(ffi.errno()))
    end
    return true
end


return _M
