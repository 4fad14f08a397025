--- `apisix.inspect`: breakpoints of a hooks file, which counts as soon as it is there or changes.
--
-- The file is Lua, calls `set_hook` of `apisix.inspect.dbg`, and is run anew whenever it changed;
-- when it goes, so do its hooks. Each worker does this for itself.
-- @module apisix.inspect
local dbg = require("apisix.inspect.dbg")
local json = require("apisix.core.json")
local lfs = require("lfs")
local log = require("apisix.core.log")

local ipairs = ipairs
local loadfile = loadfile
local ngx = ngx
local pcall = pcall
local tostring = tostring

local HOOKS_FILE = "/usr/local/apisix/plugin_inspect_hooks.lua"
local DELAY_SECONDS = 3
local REPORT_SECONDS = 30

local _M = {}

-- Counts what `init` has begun and `destroy` ended; a watch whose number is another ends.
local serial, running = 0, false


local function keys()
    local found = {}
    for i, hook in ipairs(dbg.hooks()) do
        found[i] = hook.key
    end
    return json.encode(found)
end


-- Which version of the file is there: nil if none is. A link is followed.
local function version(file)
    local found = lfs.attributes(file)
    return found and found.modification .. " " .. found.size .. " " .. found.ino
end


-- What stood before an error keeps its hooks.
local function run(file)
    dbg.unset_all()
    local chunk, err = loadfile(file)
    if chunk then
        local ok
        ok, err = pcall(chunk)
        err = not ok and err or nil
    end
    log.warn("set hooks: err: ", tostring(err), ", hooks: ", keys())
end


local function watch(premature, state)
    if premature or state.serial ~= serial then
        return
    end
    local now = version(state.file)
    if now ~= state.version then
        state.version = now
        if now then
            run(state.file)
        else
            log.info(state.file, " is gone, disable all hooks")
            dbg.unset_all()
        end
    elseif now and ngx.now() - state.reported >= REPORT_SECONDS then
        state.reported = ngx.now()
        log.info("alive hooks: ", keys())
    end
    local ok, err = ngx.timer.at(state.delay, watch, state)
    if not ok then
        log.error("failed to create the timer: ", err)
        running = false
    end
end


--- Begins to watch the file, if nobody does.
-- @tparam[opt=3] number delay seconds between looks
-- @tparam[opt] string file
function _M.init(delay, file)
    if running then
        return
    end
    running, serial = true, serial + 1
    watch(false, { serial = serial, file = file or HOOKS_FILE, delay = delay or DELAY_SECONDS,
                   reported = 0 })
end


--- Ends that, and removes all hooks.
function _M.destroy()
    running, serial = false, serial + 1
    dbg.unset_all()
end


return _M
