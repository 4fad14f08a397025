--- Counting here and telling Redis every `sync_interval` seconds.
--
-- A process knows, for each key, what all processes together used up when it last asked, and
-- counts what it lets through since then. Its first request of a window asks Redis; after
-- that nobody waits. So the limit may be exceeded by what the other processes let through in
-- one interval. While Redis is gone a process holds the limit by itself.
--
-- In the dictionary, which all workers share, a window of a key has four entries: `own` counts
-- what was let through here, `told` what of it Redis knows, `others` what it had besides, and
-- `window` has the name of the other three and the window's end. `window` goes with the
-- window, the others stay until Redis was told of what came last.
-- @module apisix.plugins.limit-count.delayed
local core = require("apisix.core")
local counters = require("apisix.plugins.limit-count.redis")
local local_windows = require("apisix.plugins.limit-count.window")

local ceil = math.ceil
local concat = table.concat
local count_in_redis = counters.count
local find = string.find
local floor = math.floor
local ipairs = ipairs
local max = math.max
local now = ngx.now
local pairs = pairs
local setmetatable = setmetatable
local spawn = ngx.thread.spawn
local sub = string.sub
local timer_at = ngx.timer.at
local tonumber = tonumber
local wait = ngx.thread.wait

-- Windows that wait for the next exchange at most. One more is told with its next request.
local QUEUE_MAX = 10000

-- What of an interval passes before Redis is told; the rest is for the telling, so that what
-- Redis does not know is never older than the interval.
local EARLY = 0.9

-- Windows that are told at the same time.
local BATCH = 32

-- Characters of the id in a window's name.
local ID_LENGTH = 36

-- Seconds by which this clock's end of a window may be after that of Redis.
local GRACE = 1

local _M = {}

-- Conf -> rule index -> the name of its queue and what is needed to tell Redis.
local syncers = setmetatable({}, { __mode = "k" })


local function syncer_of(conf, rule, dict, client, owner)
    local by_rule = syncers[conf]
    if not by_rule then
        by_rule = {}
        syncers[conf] = by_rule
    end
    local syncer = by_rule[rule.index]
    if not syncer or syncer.limit ~= rule.count or syncer.window ~= rule.time_window then
        syncer = {
            dict = dict,
            client = client,
            interval = conf.sync_interval,
            limit = rule.count,
            window = rule.time_window,
            window_type = conf.window_type,
            queue = owner .. "#" .. rule.index .. "#" .. rule.count .. "#" .. rule.time_window,
        }
        by_rule[rule.index] = syncer
    end
    return syncer
end


-- How long the entries of a window live that ends in `left` seconds: what was let through
-- last is told an interval later, and once more if Redis failed.
local function life_of(syncer, left)
    return max(left, 0) + 2 * syncer.interval + GRACE
end


-- What an entry `window` or an item of the queue says: the window's end, the counter of the
-- window before, the window's number in Redis, and its name, which is an id and the key. The
-- key is last because it has the client's words in it.
local function read_window(text)
    local first = find(text, "|", 1, true)
    local second = find(text, "|", first + 1, true)
    local third = find(text, "|", second + 1, true)
    local name = sub(text, third + 1)
    return {
        text = text,
        finish = tonumber(sub(text, 1, first - 1)),
        before = tonumber(sub(text, first + 1, second - 1)),
        number = sub(text, second + 1, third - 1),
        name = name,
        key = sub(name, ID_LENGTH + 2),
    }
end


-- The window that is open for a key.
local function open_window(dict, key)
    local text = dict:get("window#" .. key)
    return text and read_window(text)
end


-- What of the window before still counts, `left` seconds before the end of this one.
local function carried(syncer, before, left)
    return before * left / syncer.window
end


-- Tells Redis of `cost` requests and begins a window with what it answers.
local function begin(syncer, key, cost)
    local dict = syncer.dict
    local sliding = syncer.window_type == "sliding"
    -- The window ends here no later than there.
    local asked = now()
    local answer, err = count_in_redis(syncer.client, syncer.window_type, key, cost,
                                       syncer.limit, syncer.window)
    if not answer then
        return nil, err
    end
    local counted, used, before, left = answer[1], answer[2], answer[3], answer[4] / 1000
    if left > 0 then
        local name = core.id.gen_uuid_v4() .. "#" .. key
        local life = life_of(syncer, left)
        dict:set("others#" .. name, used, life)
        local window = concat({ asked + left, before, answer[5], name }, "|")
        local first = dict:add("window#" .. key, window, left)
        if not first and counted == 1 then
            -- Another worker was faster: what it asked did not have this request.
            local open = open_window(dict, key)
            if open then
                dict:incr("others#" .. open.name, cost, 0, life)
            end
        end
    end
    local remaining = syncer.limit - used
    if sliding then
        remaining = floor(remaining - carried(syncer, before, left))
    end
    if counted == 0 or remaining < 0 and not sliding then
        return nil, "rejected", left
    end
    return 0, remaining, left
end


-- Tells Redis what was let through in a window since it was last told. Of a fixed window that
-- is over nobody asks any more; a sliding one counts in the next.
local function tell(syncer, window)
    local dict, name = syncer.dict, window.name
    local sliding = syncer.window_type == "sliding"
    if not sliding and window.finish <= now() then
        return true
    end
    local own = dict:get("own#" .. name) or 0
    local delta = max(own - (dict:get("told#" .. name) or 0), 0)
    local answer, err = count_in_redis(syncer.client, syncer.window_type, window.key, delta,
                                       syncer.limit, syncer.window, window.number)
    if not answer then
        return nil, err
    end
    local left = window.finish - now()
    local life = life_of(syncer, left)
    dict:set("told#" .. name, own, life)
    -- A fixed window that Redis began meanwhile is not this one.
    if sliding or answer[4] / 1000 <= left + GRACE then
        dict:set("others#" .. name, max(answer[2] - own, 0), life)
    end
    return true
end


-- One window of the queue. What is let through from here on puts it there again.
local function tell_one(syncer, text)
    local dict, window = syncer.dict, read_window(text)
    local mark = "queued#" .. window.name
    dict:delete(mark)
    local ok, err = tell(syncer, window)
    if not ok and dict:add(mark, true, 10 * syncer.interval) then
        dict:rpush(syncer.queue, text)
    end
    return err
end


-- The next windows of the queue, side by side: a distant server would take too long for each.
local function tell_some(syncer)
    local dict = syncer.dict
    local windows, threads, failure = {}, {}, nil
    for _ = 1, BATCH do
        local text = dict:rpop(syncer.queue)
        if not text then
            break
        end
        windows[text] = true
    end
    for text in pairs(windows) do
        threads[#threads + 1] = spawn(tell_one, syncer, text)
    end
    for _, thread in ipairs(threads) do
        local ok, err = wait(thread)
        failure = failure or err or not ok and "the thread failed"
    end
    return failure
end


local start


-- Runs in one worker at a time. When Redis fails, what is left waits for the next round.
local function tell_all(premature, syncer)
    local dict, queue = syncer.dict, syncer.queue
    for _ = 1, ceil((dict:llen(queue) or 0) / BATCH) do
        dict:set("timer#" .. queue, true, 10 * syncer.interval)
        local err = tell_some(syncer)
        if err then
            core.log.error("failed to tell Redis of limit-count: ", err)
            break
        end
    end
    dict:delete("timer#" .. queue)
    -- The code that follows starts its own timer.
    if not premature and (dict:llen(queue) or 0) > 0 then
        start(syncer)
    end
end


-- Has the queue told at the end of the interval. Should the worker end whose timer it is,
-- another one starts after a while.
function start(syncer)
    local dict, mark = syncer.dict, "timer#" .. syncer.queue
    if dict:add(mark, true, 10 * syncer.interval) then
        local ok, err = timer_at(EARLY * syncer.interval, tell_all, syncer)
        if not ok then
            dict:delete(mark)
            core.log.error("failed to create timer: ", err)
        end
    end
end


-- Runs for every request that is let through.
local function enqueue(syncer, window)
    local dict, mark = syncer.dict, "queued#" .. window.name
    if not dict:add(mark, true, 10 * syncer.interval) then
        return
    end
    local length = dict:llen(syncer.queue)
    if length and length >= QUEUE_MAX or not dict:lpush(syncer.queue, window.text) then
        dict:delete(mark)
        return
    end
    start(syncer)
end


-- Takes a place in the open window. Counted first and taken back if it was too much, so that
-- two workers never both get the last one.
local function take(syncer, window, cost, left)
    local dict, name = syncer.dict, window.name
    local others = dict:get("others#" .. name) or 0
    local own, err = dict:incr("own#" .. name, cost, 0, life_of(syncer, left))
    if not own then
        return nil, err
    end
    local remaining = syncer.limit - others - own
    if syncer.window_type == "sliding" then
        remaining = floor(remaining - carried(syncer, window.before, left))
    end
    if remaining < 0 then
        dict:incr("own#" .. name, -cost)
        return nil, "rejected", left
    end
    if cost > 0 then
        enqueue(syncer, window)
    end
    return 0, remaining, left
end


--- Counts, with the results of `apisix.plugins.limit-count.window`.
-- @tparam table conf
-- @tparam table rule `count`, `time_window`, `index`
-- @tparam table dict
-- @tparam table client from `core.redis`
-- @tparam string owner names the conf, or its group, in the dictionary
-- @tparam string key
-- @tparam number cost
function _M.count(conf, rule, dict, client, owner, key, cost)
    local syncer = syncer_of(conf, rule, dict, client, owner)
    local window = open_window(dict, key)
    local left = window and window.finish - now() or 0
    if left > 0 then
        return take(syncer, window, cost, left)
    end

    local allowed, remaining, reset = begin(syncer, key, cost)
    if allowed or remaining == "rejected" then
        return allowed, remaining, reset and ceil(reset * 100) / 100
    end
    core.log.error("failed to ask Redis for limit-count: ", remaining,
                   ", this process counts by itself")
    local count = local_windows[conf.window_type] or local_windows.fixed
    return count(dict, "alone#" .. key, cost, rule.count, rule.time_window)
end


return _M
