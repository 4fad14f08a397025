--- Functions that exist by name only, each raising a sentence that says so.
--
-- A plugin that reaches one gets the name of what is missing with its own file and
-- line, instead of "attempt to call a nil value".
-- @module moongate.unsupported
local error = error
local ipairs = ipairs
local select = select
local setmetatable = setmetatable

local _M = {}

-- Function -> its sentence.
local raising = setmetatable({}, { __mode = "k" })


local function raiser(message)
    local function raise()
        error(message, 2)
    end
    raising[raise] = message
    return raise
end


--- A function that raises when it is called.
-- @tparam string name full name, for instance "ngx.process.signal_graceful_exit"
-- @tparam string why begins with "not": what follows "NAME is"
-- @treturn function
function _M.raise(name, why)
    return raiser(name .. " is " .. why)
end


--- Fills `target` with functions of a bundled library that exist by name only. Those that are
-- there already stay.
-- @tparam table target
-- @tparam string prefix what to put before each name in "not supported: NAME"
-- @tparam {string,...} names
-- @tparam[opt] string why
-- @treturn table `target`
function _M.absent(target, prefix, names, why)
    for _, name in ipairs(names) do
        target[name] = target[name] or raiser("not supported: " .. prefix .. name
                                              .. (why and " (" .. why .. ")" or ""))
    end
    return target
end


--- A function that answers as OpenResty's does where it cannot do anything; `plugin check` tells
-- that it never will here.
-- @tparam string name full name
-- @tparam string why
-- @param ... what it returns
-- @treturn function
function _M.refuse(name, why, ...)
    local count, first, second, third = select("#", ...), ...
    local function refuse()
        if count == 2 then
            return first, second
        end
        return first, second, third
    end
    raising[refuse] = name .. " is " .. why
    return refuse
end


--- The sentence that a function made here raises.
-- @treturn string|nil nil for everything else
function _M.why(value)
    return value ~= nil and raising[value] or nil
end


--- Fills `target` with raising functions.
-- @tparam table target
-- @tparam string prefix what to put before each name in the message
-- @tparam {string,...} names
-- @tparam string why
-- @treturn table `target`
function _M.fill(target, prefix, names, why)
    for _, name in ipairs(names) do
        target[name] = _M.raise(prefix .. name, why)
    end
    return target
end


return _M
