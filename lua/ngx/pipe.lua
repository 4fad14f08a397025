--- `ngx.pipe`: child processes.
--
-- A process is killed when its object is collected. Unless told otherwise it gets the
-- environment that moongate itself got.
-- @module ngx.pipe
local host = require("moongate.host")

local await = host.semaphore_wait
local concat = table.concat
local error = error
local host_spawn = host.pipe_spawn
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local DIRECTIONS = { stdin = true, stdout = true, stderr = true }
local TIMEOUTS = { "write_timeout", "stdout_read_timeout", "stderr_read_timeout", "wait_timeout" }

local _M = { version = "0.1.28" }

local methods = {}
local mt = { __index = methods }


local function check_list(list, what)
    for at = 1, #list do
        if type(list[at]) ~= "string" and type(list[at]) ~= "number" then
            error("bad " .. what .. " value at place " .. at .. ": string expected, got "
                  .. type(list[at]), 3)
        end
    end
end


local function check_timeouts(given)
    for _, name in pairs(TIMEOUTS) do
        local value = given[name]
        if value ~= nil and (type(value) ~= "number" or value < 0) then
            error("bad \"" .. name .. "\" option: " .. tostring(value), 3)
        end
    end
end


--- Starts a process.
-- @tparam table|string args program and arguments, or a line for the shell
-- @tparam[opt] table opts `merge_stderr`, `environ`, and the timeouts in milliseconds
-- @treturn table|nil
-- @treturn nil|string error
function _M.spawn(args, opts)
    if host.phase() == "init" then
        error("API disabled in the current context", 2)
    end
    if type(args) == "string" then
        args = { "/bin/sh", "-c", args }
    elseif type(args) ~= "table" then
        error("bad args arg: table or string expected, got " .. type(args), 2)
    end
    if #args == 0 then
        error("bad args arg: non-empty table expected", 2)
    end
    check_list(args, "args")
    opts = opts or {}
    if type(opts) ~= "table" then
        error("bad opts arg: table expected, got " .. type(opts), 2)
    end
    if opts.environ ~= nil then
        if type(opts.environ) ~= "table" then
            error("bad environ option: table expected, got " .. type(opts.environ), 2)
        end
        check_list(opts.environ, "environ")
    end
    check_timeouts(opts)

    local process, err = host_spawn(args, {
        merge_stderr = opts.merge_stderr and true or false,
        environ = opts.environ,
    })
    if not process then
        return nil, err
    end
    return setmetatable({
        process = process,
        write_timeout = opts.write_timeout,
        stdout_read_timeout = opts.stdout_read_timeout,
        stderr_read_timeout = opts.stderr_read_timeout,
        wait_timeout = opts.wait_timeout,
    }, mt)
end


local function of(self)
    local process = type(self) == "table" and self.process
    if not process then
        error("not a process instance", 3)
    end
    return process
end


--- Milliseconds for each kind of operation; nil leaves what there was, 0 is for ever.
function methods:set_timeouts(write, stdout_read, stderr_read, wait)
    of(self)
    local given = { write_timeout = write, stdout_read_timeout = stdout_read,
                    stderr_read_timeout = stderr_read, wait_timeout = wait }
    check_timeouts(given)
    for name, value in pairs(given) do
        self[name] = value
    end
end


function methods:pid()
    return of(self):pid()
end


--- Waits for the end.
-- @treturn boolean|nil whether it exited with 0
-- @treturn string "exit", "signal", or the error
-- @treturn number|nil exit code or signal
function methods:wait()
    of(self):wait(self.wait_timeout)
    return await()
end


--- Sends a signal.
function methods:kill(signum)
    if type(signum) ~= "number" then
        error("bad signum arg: number expected, got " .. type(signum), 2)
    end
    return of(self):kill(signum)
end


--- Closes our end of "stdin", "stdout" or "stderr".
function methods:shutdown(direction)
    if not DIRECTIONS[direction] then
        error("bad shutdown arg: " .. tostring(direction), 2)
    end
    return of(self):shutdown(direction)
end


--- Writes a string, or an array of strings.
-- @treturn number|nil bytes
-- @treturn nil|string error
function methods:write(data)
    local kind = type(data)
    if kind == "table" then
        check_list(data, "data")
        data = concat(data)
    elseif kind == "number" then
        data = tostring(data)
    elseif kind ~= "string" then
        error("bad data arg: string, number, or table expected, got " .. kind, 2)
    end
    of(self):write(data, self.write_timeout)
    return await()
end


local function check_size(size, what, least)
    if type(size) ~= "number" then
        error("bad " .. what .. " arg: number expected, got " .. type(size), 3)
    end
    if size < least then
        error("bad " .. what .. " argument", 3)
    end
end


for from, name in pairs({ [0] = "stdout", [1] = "stderr" }) do
    local time = name .. "_read_timeout"

    methods[name .. "_read_all"] = function(self)
        of(self):read(from, "all", nil, self[time])
        return await()
    end

    methods[name .. "_read_line"] = function(self)
        of(self):read(from, "line", nil, self[time])
        return await()
    end

    methods[name .. "_read_bytes"] = function(self, size)
        check_size(size, "len", 0)
        of(self):read(from, "bytes", size, self[time])
        return await()
    end

    methods[name .. "_read_any"] = function(self, max)
        check_size(max, "max", 1)
        of(self):read(from, "any", max, self[time])
        return await()
    end
end


return _M
