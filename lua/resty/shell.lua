--- `resty.shell`: runs a command and collects what it says, without holding up the worker.
-- @module resty.shell
local pipe = require("ngx.pipe")
local signum = require("resty.signal").signum

local concat = table.concat
local sleep = ngx.sleep
local spawn_thread = ngx.thread.spawn
local wait_thread = ngx.thread.wait

local MAX_SIZE = 128 * 1024
local PIECE = 4096

local _M = { version = "0.03" }


-- Everything one stream says, or why not.
local function read(read_any, limit, name)
    local parts, size = {}, 0
    while true do
        local data, err = read_any(PIECE)
        if not data then
            if err == "closed" then
                return concat(parts)
            end
            return concat(parts), "failed to read " .. name .. ": " .. err
        end
        if size + #data > limit then
            parts[#parts + 1] = data:sub(1, limit - size)
            return concat(parts), "failed to read " .. name .. ": too much data"
        end
        size = size + #data
        parts[#parts + 1] = data
    end
end


local function feed(process, input)
    if input and input ~= "" then
        local _, err = process:write(input)
        if err then
            return "failed to write stdin: " .. err
        end
    end
    local ok, err = process:shutdown("stdin")
    if not ok and err ~= "closed" then
        return "failed to shutdown stdin: " .. err
    end
end


local function finish(process)
    process:kill(signum("TERM"))
    sleep(0.001)
    process:kill(signum("KILL"))
end


--- Runs a command.
-- @tparam string|table command for /bin/sh, or a program and its arguments
-- @tparam[opt] string input
-- @tparam[opt] number timeout milliseconds
-- @tparam[opt=131072] number max_size bytes of each of the two streams
-- @treturn boolean|nil true if it ended with 0, nil if it could not run
-- @treturn string|nil what it wrote to stdout
-- @treturn string|nil what it wrote to stderr
-- @treturn string "exit", "signal" or an error
-- @treturn number|nil status or number of the signal
function _M.run(command, input, timeout, max_size)
    local process, err = pipe.spawn(command)
    if not process then
        return nil, nil, nil, "failed to spawn: " .. err
    end
    if timeout then
        process:set_timeouts(timeout, timeout, timeout, timeout)
    end
    local limit = max_size or MAX_SIZE

    local out = spawn_thread(read, function(size)
        return process:stdout_read_any(size)
    end, limit, "stdout")
    local told = spawn_thread(read, function(size)
        return process:stderr_read_any(size)
    end, limit, "stderr")
    local problem = feed(process, input)
    local _, stdout, out_err = wait_thread(out)
    local _, stderr, told_err = wait_thread(told)
    problem = problem or out_err or told_err
    if problem then
        finish(process)
        return nil, stdout, stderr, problem
    end

    local ok, reason, status = process:wait()
    if ok == nil then
        finish(process)
        return nil, stdout, stderr, "failed to wait for process: " .. reason
    end
    return ok, stdout, stderr, reason, status
end


return _M
