--- The Lua of configuration snippets: what runs in a location, and what runs at the start.
--
-- Called by Rust only. A location becomes a plan as a route's plugins do, so that the runner
-- runs both in the same way.
local error = error
local getenv = os.getenv
local select = select
local type = type

local PHASES = { "rewrite", "access", "content", "header_filter", "body_filter", "log" }

local _M = {}


--- Makes the plan of a location.
-- @param ... name and function for each of `PHASES`, nil and nil where nothing runs
-- @treturn table the plan
function _M.location(...)
    local plan = { info = {}, flat = {}, by_name = {} }
    for at, phase in ipairs(PHASES) do
        local name, func = select(at * 2 - 1, ...)
        if func then
            -- What it returns is nobody's affair, as in nginx.
            local function run()
                func()
            end
            plan[phase] = { fns = { run }, confs = { {} }, names = { name }, n = 1 }
        end
    end
    return plan
end


--- Lets `os.getenv` see variables that a snippet sets.
-- @param ... name and value, in turns
function _M.env(...)
    local set = {}
    for at = 1, select("#", ...), 2 do
        local name, value = select(at, ...)
        set[name] = value
    end
    rawset(os, "getenv", function(name)
        if type(name) ~= "string" and type(name) ~= "number" then
            error("bad argument #1 to 'getenv' (string expected, got " .. type(name) .. ")", 2)
        end
        local value = set[name]
        if value ~= nil then
            return value
        end
        return getenv(name)
    end)
end


return _M
