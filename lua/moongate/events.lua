--- Messages from one worker to all of them, this one included.
--
-- A message is a value of a shared dictionary under the next number. Who posts one handles at once
-- what has come; everybody looks on a timer, which runs once somebody has registered. A worker
-- hears of what is posted after its VM began. Handlers are called in the order of the numbers,
-- and one that fails takes nothing from the others.
-- @module moongate.events
local cjson = require("cjson.safe")
local host = require("moongate.host")

local assert = assert
local debug_traceback = debug.traceback
local error = error
local ipairs = ipairs
local log = ngx.log
local ERR = ngx.ERR
local next = next
local now = ngx.now
local setmetatable = setmetatable
local timer_at = ngx.timer.at
local tostring = tostring
local type = type
local unpack = unpack
local xpcall = xpcall

-- Seconds between two looks.
local INTERVAL = 0.2

-- Seconds for which a message is kept: a worker that was busy for longer misses it.
local KEPT = 60

-- Seconds for which a message that only one worker is to handle is known to be taken.
local UNIQUE = 2

-- Seconds for which a message that has a number may be missing.
local PATIENCE = 0.5

local LAST = "moongate:events:last"
local MESSAGE = "moongate:events:message:"
local TAKEN = "moongate:events:taken:"

local _M = {}

local settings = { dict_name = "worker-events", interval = INTERVAL, unique = UNIQUE }

-- `{ call = function or in a weak table, source, event }` in the order of registering.
local handlers = {}
local dict, seen
local polling, ticking = false, false
local missing_since


local function dictionary()
    if not dict then
        dict = host.dict.get(settings.dict_name)
        assert(dict, "no shared dictionary " .. settings.dict_name .. " for events")
        seen = dict:get(LAST) or 0
    end
    return dict
end


--- Says where messages are kept and how often they are looked for.
-- @tparam table opts `dict_name`; seconds: `interval` (0 for no timer), `unique`
function _M.configure(opts)
    for name, value in pairs(opts) do
        settings[name] = value
    end
    dict = nil
    dictionary()
end


local function call(handler, data, event, source, pid)
    local ok, err = xpcall(function()
        handler(data, event, source, pid)
    end, debug_traceback)
    if not ok then
        log(ERR, "worker-events: event callback failed; source=", source, ", event=", event,
            ", pid=", pid, " error='", tostring(err), "', data=",
            type(data) == "table" and cjson.encode(data) or tostring(data))
    end
end


local function deliver(source, event, data, pid)
    local gone = false
    for _, handler in ipairs({ unpack(handlers) }) do
        local func = handler.call.func
        gone = gone or not func
        if func and (not handler.source or handler.source == source)
           and (not handler.event or handler.event == event) then
            call(func, data, event, source, pid)
        end
    end
    if gone then
        local rest = {}
        for _, handler in ipairs(handlers) do
            rest[#rest + 1] = handler.call.func and handler or nil
        end
        handlers = rest
    end
end


local function handle(message)
    if message.unique and not dict:add(TAKEN .. message.unique, true, settings.unique) then
        return
    end
    deliver(message.source, message.event, message.data, message.pid)
end


-- The message with a number; false if it does not come. A number is taken before its message is
-- stored, so one that is not there may come yet: then nil.
local function message_of(id)
    local text = dict:get(MESSAGE .. id)
    if text then
        missing_since = nil
        return cjson.decode(text)
    end
    missing_since = missing_since or now()
    if now() - missing_since < PATIENCE then
        return nil
    end
    missing_since = nil
    log(ERR, "worker-events: dropping event; waiting for event data timed out, id: ", id)
    return false
end


--- Handles what has come since the last time.
-- @treturn string "done", or "recursive" from within a handler
function _M.poll()
    if polling then
        return "recursive"
    end
    dictionary()
    polling = true
    while seen < (dict:get(LAST) or 0) do
        local message = message_of(seen + 1)
        if message == nil then
            break
        end
        seen = seen + 1
        if message then
            handle(message)
        end
    end
    polling = false
    return "done"
end


local function tick(premature)
    _M.poll()
    if premature then
        -- That was the last look: whoever comes after hears only what is posted later.
        return
    end
    if settings.interval > 0 then
        timer_at(settings.interval, tick)
    else
        ticking = false
    end
end


local function start()
    dictionary()
    if not ticking and settings.interval > 0 then
        ticking = timer_at(settings.interval, tick) and true
    end
end


local function named(source, event)
    if type(source) ~= "string" or source == "" then
        return nil, "source is required"
    elseif type(event) ~= "string" or event == "" then
        return nil, "event is required"
    end
    return true
end


--- Sends a message to all workers.
-- @tparam string source
-- @tparam string event
-- @param[opt] data anything JSON knows
-- @param[opt] unique workers that see the same value within a short time leave it to the first
-- @treturn string|nil what `poll` says
-- @treturn nil|string error
function _M.post(source, event, data, unique)
    local ok, err = named(source, event)
    if not ok then
        return nil, err
    end
    local text
    text, err = cjson.encode({ source = source, event = event, data = data,
                               unique = unique and tostring(unique), pid = host.pid() })
    ok = nil
    if text then
        local id = dictionary():incr(LAST, 1, 0)
        ok, err = dict:set(MESSAGE .. id, text, KEPT)
    end
    if not ok then
        err = 'failed posting event "' .. event .. '" by "' .. source .. '"; ' .. tostring(err)
        log(ERR, "worker-events: ", err)
        return nil, err
    end
    return _M.poll()
end


--- Sends a message to this worker only, at once.
-- @treturn string|nil
-- @treturn nil|string error
function _M.post_local(source, event, data)
    local ok, err = named(source, event)
    if not ok then
        return nil, err
    end
    deliver(source, event, data, nil)
    return _M.poll()
end


local function add(handler, callback, source, ...)
    assert(type(callback) == "function", "expected function, got: " .. type(callback))
    start()
    local events = { ... }
    if #events == 0 then
        handlers[#handlers + 1] = { call = handler, source = source }
    end
    for _, event in ipairs(events) do
        handlers[#handlers + 1] = { call = handler, source = source, event = event }
    end
    return true
end


--- Calls `callback(data, event, source, pid)` for messages.
-- @tparam function callback
-- @tparam[opt] string source of all sources if nil
-- @param[opt] ... names of events, of all events if there are none
function _M.register(callback, source, ...)
    return add({ func = callback }, callback, source, ...)
end


--- As `register`, for as long as somebody else holds the callback.
function _M.register_weak(callback, source, ...)
    return add(setmetatable({ func = callback }, { __mode = "v" }), callback, source, ...)
end


--- Takes back what `register` or `register_weak` was called with.
-- @treturn boolean whether there was such a callback
function _M.unregister(callback, source, ...)
    assert(type(callback) == "function", "expected function, got: " .. type(callback))
    local events, rest, found = {}, {}, false
    for _, event in ipairs({ ... }) do
        events[event] = true
    end
    local any = next(events) == nil
    for _, handler in ipairs(handlers) do
        local same = handler.call.func == callback and handler.source == source
        if same and (any and not handler.event or events[handler.event]) then
            found = true
        else
            rest[#rest + 1] = handler
        end
    end
    handlers = rest
    return found
end


--- A table whose fields are the names of events; another name raises.
-- @tparam string source kept in the field `_source`
-- @param ... the names
function _M.event_list(source, ...)
    local events = { _source = source }
    for _, event in ipairs({ ... }) do
        events[event] = event
    end
    return setmetatable(events, {
        __index = function(_, name)
            error("event '" .. tostring(name) .. "' is an unknown event", 2)
        end,
    })
end


return _M
