--- `core.timer`: a function that runs again and again.
-- @module apisix.core.timer
local host = require("moongate.host")
local log = require("apisix.core.log")
local utils = require("apisix.core.utils")

local now = host.time.now
local pcall = pcall
local sleep = utils.sleep
local timer_at = host.timer_at
local update_time = host.time.update

local _M = { version = 0.1 }


local function run_rounds(timer)
    timer.start_time = now()
    repeat
        local ok, err = pcall(timer.callback_fun)
        local pause = timer.sleep_succ
        if not ok then
            log.error("failed to run the timer: ", timer.name, " err: ", err)
            pause = timer.sleep_fail
        end
        if pause > 0 then
            sleep(pause)
        end
        update_time()
    until timer.each_ttl <= 0 or now() >= timer.start_time + timer.each_ttl
end


local function run(premature, timer)
    if premature or timer.running then
        return
    end

    timer.running = true
    local ok, err = pcall(run_rounds, timer)
    if not ok then
        log.error("failed to run timer[", timer.name, "] err: ", err)
    end
    timer.running = false
end


--- Starts a timer.
-- @tparam string name for the log
-- @tparam function callback_fun
-- @tparam[opt] table opts seconds: `check_interval` (1) between starts, `each_ttl` (1) how
--   long one start keeps calling, `sleep_succ` (1) and `sleep_fail` (5) between calls
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(name, callback_fun, opts)
    if not name then
        return nil, "missing argument: name"
    end
    if not callback_fun then
        return nil, "missing argument: callback_fun"
    end

    opts = opts or {}
    local timer = {
        name = name,
        callback_fun = callback_fun,
        each_ttl = opts.each_ttl or 1,
        sleep_succ = opts.sleep_succ or 1,
        sleep_fail = opts.sleep_fail or 5,
        start_time = 0,
        running = false,
    }

    local ok, err = timer_at(opts.check_interval or 1, run, true, timer)
    if not ok then
        return nil, err
    end
    ok, err = timer_at(0, run, false, timer)
    if not ok then
        return nil, err
    end
    return timer
end


return _M
