--- `core.log`: one function per level.
--
-- A level that is off costs a comparison; the message is put together, and the caller's
-- place looked up, only when the line is written.
-- @module apisix.core.log
local logging = require("moongate.logging")

local clear = require("table.clear")
local emit = logging.emit
local pairs = pairs
local select = select
local setmetatable = setmetatable
local tostring = tostring
local unpack = unpack

local LEVELS = {
    stderr = 0,
    emerg = 1,
    alert = 2,
    crit = 3,
    error = 4,
    warn = 5,
    notice = 6,
    info = 7,
    debug = 8,
}

local _M = { version = 0.4 }


for name, level in pairs(LEVELS) do
    _M[name] = function(...)
        if level <= logging.level then
            emit(level, 2, ...)
        end
    end
end


--- The same functions, with `prefix` before every message.
function _M.new(prefix)
    local prefixed = { version = _M.version }
    for name, level in pairs(LEVELS) do
        prefixed[name] = function(...)
            if level <= logging.level then
                emit(level, 2, prefix, ...)
            end
        end
    end
    return prefixed
end


local delayed = setmetatable({ args = {}, count = 0 }, {
    __tostring = function(self)
        if self.result then
            return self.result
        end

        local result, err = self.func(unpack(self.args, 1, self.count))
        if err then
            _M.warn("failed to exec: ", err)
        end
        clear(self.args)
        self.result = tostring(result)
        return self.result
    end,
})


--- Calls `func(...)` only if the log line is written.
-- The result is one shared table: use it in the same statement.
function _M.delay_exec(func, ...)
    local args = delayed.args
    clear(args)

    local count = select("#", ...)
    for i = 1, count do
        args[i] = (select(i, ...))
    end
    delayed.func = func
    delayed.count = count
    delayed.result = nil
    return delayed
end


return _M
