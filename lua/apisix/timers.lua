--- `apisix.timers`: functions that run once a second on every worker.
-- @module apisix.timers
local host = require("moongate.host")
local log = require("apisix.core.log")

local next = next
local pairs = pairs
local pcall = pcall

local INTERVAL = 1

local timers = {}
local running = {}
local started = false

local _M = {}


-- A function that takes longer than a second is not started a second time.
local function run_one(name, func)
    running[name] = true
    local ok, err = pcall(func)
    running[name] = nil
    if not ok then
        log.error("failed to run the timer: ", name, " err: ", err)
    end
end


local start


local function tick(premature)
    if premature then
        -- A plugin generation ended with the timer; what others registered lives on.
        started = false
        if next(timers) ~= nil and not host.exiting() then
            start()
        end
        return
    end

    for name, func in pairs(timers) do
        if not running[name] then
            local thread, err = host.thread_spawn(run_one, name, func)
            if not thread then
                log.error("failed to spawn thread for timer [", name, "]: ", err)
            end
        end
    end
end


function start()
    local ok, err = host.timer_at(INTERVAL, tick, true)
    if not ok then
        log.error("failed to create background timer: ", err)
        return
    end
    started = true
end


-- What one worker does for all is done by the first.
local function is_elsewhere(privileged)
    return privileged and host.worker_id() ~= 0
end


--- Runs `func` every second.
-- @tparam string name
-- @tparam function func
-- @tparam[opt] boolean privileged on one worker only
function _M.register_timer(name, func, privileged)
    if is_elsewhere(privileged) then
        return
    end
    timers[name] = func
    if not started then
        start()
    end
end


function _M.unregister_timer(name, privileged)
    if is_elsewhere(privileged) then
        return
    end
    timers[name] = nil
end


function _M.check_interval()
    return INTERVAL
end


return _M
