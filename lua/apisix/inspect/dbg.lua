--- `apisix.inspect.dbg`: breakpoints in running code, for the hooks file of the plugin inspect.
--
--     dbg.set_hook("limit-req.lua", 88, nil, function(info)
--         ngx.log(ngx.WARN, dbg.getname(info.finfo), " conf_key=", info.vals.conf_key)
--         return true -- once is enough
--     end)
--
-- A breakpoint is a line of a file. What runs is slower while there is one: compiled code looks
-- for hooks too and goes on in the interpreter, where every line is looked at.
-- @module apisix.inspect.dbg
local log = require("apisix.core.log")

local debug = debug
local format = string.format
local getinfo = debug.getinfo
local getlocal = debug.getlocal
local getupvalue = debug.getupvalue
local ipairs = ipairs
local jit = jit
local sub = string.sub
local tonumber = tonumber
local xpcall = xpcall

local _M = {}

local hooks = {}
-- The lines that have hooks, whatever the file: all that is asked of most lines that run.
local by_line = {}
-- Whether the compiler was on before the first hook.
local was_on


-- What a filter is given. `level` is that of the line that runs, for whom calls this.
local function seen(level, info)
    local uv, vals, at = {}, {}, 1
    local name, value = getupvalue(info.func, at)
    while name do
        if sub(name, 1, 1) ~= "(" then
            uv[name] = value
        end
        at = at + 1
        name, value = getupvalue(info.func, at)
    end
    at = 1
    name, value = getlocal(level + 1, at)
    while name do
        if sub(name, 1, 1) ~= "(" then
            vals[name] = value
        end
        at = at + 1
        name, value = getlocal(level + 1, at)
    end
    return { finfo = info, uv = uv, vals = vals }
end


-- Puts `kept` in place of the hooks; without any, code runs as before.
local function keep(kept)
    hooks, by_line = kept, {}
    for _, hook in ipairs(kept) do
        by_line[hook.line] = true
    end
    if #kept == 0 then
        debug.sethook()
        if was_on then
            jit.on()
        end
    end
end


local function same(err)
    return err
end


-- Every hook whose filter does not return false goes, also one that fails. What filters
-- themselves set and unset stays as they left it. `xpcall`, since filters count the frames above
-- them, and `pcall` is one of Lua here.
local function reached(_, line)
    if not by_line[line] then
        return
    end
    local info = getinfo(2, "nSlf")
    local place, gone = info.source .. "#" .. line, {}
    for _, hook in ipairs(hooks) do
        if sub(place, -#hook.key) == hook.key then
            local ok, answer = xpcall(hook.filter_func, same, seen(2, info))
            if not ok then
                log.error("inspect: pcall filter_func:", answer)
            end
            gone[hook] = not ok or answer ~= false
        end
    end
    local kept = {}
    for _, hook in ipairs(hooks) do
        if not gone[hook] then
            kept[#kept + 1] = hook
        else
            log.warn("inspect: remove hook: ", hook.key)
        end
    end
    if #kept ~= #hooks then
        keep(kept)
        if #kept == 0 then
            log.warn("inspect: all hooks removed")
        end
    end
end


--- Where a function is, and by which name it was called.
-- @tparam table n what `debug.getinfo` gives, for instance `info.finfo` of a filter
-- @treturn string
function _M.getname(n)
    if n.what == "C" then
        return n.name
    end
    local place = format("%s:%d", n.short_src, n.currentline)
    if n.what ~= "main" and n.namewhat ~= "" then
        return format("%s (%s)", place, n.name)
    end
    return place
end


--- Calls `filter_func` before a line runs.
-- @tparam string|nil file the end of the file's path
-- @tparam number|string line
-- @tparam function|nil func the function with that line, whose compiled code is thrown away; nil
--   for that of all
-- @tparam function filter_func is given `finfo` (what `debug.getinfo` tells with "nSlf"), `uv` (the
--   upvalues that are used there) and `vals` (locals), both by name; the hook stays only if it
--   returns false. It cannot wait for anything, nor be ended when it takes too long.
function _M.set_hook(file, line, func, filter_func)
    local hook = { key = (file or "=stdin") .. "#" .. line, line = tonumber(line) or 0,
                   filter_func = filter_func }
    if #hooks == 0 then
        was_on = jit.status()
    end
    hooks[#hooks + 1] = hook
    by_line[hook.line] = true
    jit.flush(func)
    jit.off()
    debug.sethook(reached, "l")
end


-- All hooks but those that `goes` tells.
local function without(goes)
    local kept = {}
    for _, hook in ipairs(hooks) do
        if not goes(hook) then
            kept[#kept + 1] = hook
        end
    end
    if #kept ~= #hooks then
        keep(kept)
    end
end


--- Removes the hooks of a line.
function _M.unset_hook(file, line)
    local key = (file or "=stdin") .. "#" .. line
    without(function(hook)
        return hook.key == key
    end)
end


--- Removes all hooks.
function _M.unset_all()
    without(function()
        return true
    end)
end


--- All hooks.
-- @treturn {table,...} each with `key`, file and line with "#" between, and `filter_func`
function _M.hooks()
    return hooks
end


return _M
