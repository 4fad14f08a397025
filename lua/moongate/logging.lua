--- Log levels and the writing of one log line.
--
-- `ngx.log`, `core.log` and `ngx.errlog` share this file, so that a level that is
-- switched off costs one comparison everywhere. The host is asked for the level at
-- load and again by `refresh`, which whoever changes the level calls on every VM.
-- @module moongate.logging
local host = require("moongate.host")

local concat = table.concat
local getinfo = debug.getinfo
local host_log = host.log
local match = string.match
local null = host.json.null
local select = select
local tostring = tostring
local type = type

local _M = {
    --- The most verbose level that is written (0 = stderr .. 8 = debug).
    level = 8,
}


--- Asks the host for the level again.
function _M.refresh()
    _M.level = host.log_level()
end


local function text(value)
    if type(value) == "string" then
        return value
    end
    if value == null then
        return "null"
    end
    return tostring(value)
end


-- "file.lua:12: fn()", as nginx writes it; nil where the frame has no Lua source.
local function source(frame)
    local info = getinfo(frame + 1, "nSl")
    if not info or info.currentline < 0 then
        return nil
    end

    local place = match(info.short_src, "[^/]*$") .. ":" .. info.currentline .. ":"
    if info.name then
        place = place .. " " .. info.name .. "():"
    end
    return place
end


--- Writes one line without looking at the level.
-- @tparam number level 0..8
-- @tparam number frame stack level of the caller to name, 1 being who calls `emit`
-- @param ... pieces of the message, joined without a separator
function _M.emit(level, frame, ...)
    local count = select("#", ...)
    if count == 1 then
        local message = text((...))
        return host_log(level, message, source(frame + 1))
    end

    local parts = { ... }
    for i = 1, count do
        parts[i] = text(parts[i])
    end
    host_log(level, concat(parts, "", 1, count), source(frame + 1))
end


_M.refresh()

return _M
