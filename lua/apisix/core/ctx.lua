--- `core.ctx`: `ctx.var`, the variables of a request.
--
-- How a name is resolved is decided once per name (`vars.lua`). A value is then kept in
-- the variable table itself, so that reading it again is one plain table access. Two kinds
-- of names are never kept there: volatile ones, and those that must reach the host when
-- they are assigned, for which the metamethods have to run every time.
-- @module apisix.core.ctx
local host = require("moongate.host")
local vars = require("apisix.core.vars")

local clear = require("table.clear")
local error = error
local getmetatable = getmetatable
local kept = vars.kept
local next = next
local rawset = rawset
local setmetatable = setmetatable
local tablepool = require("tablepool")
local tostring = tostring
local type = type
local var_set = host.var_set
local volatile = vars.volatile
local written_through = vars.written_through

local VARS_SIZE = 32

local _M = { version = 0.2 }


local function index(var, name)
    local resolve = kept[name]
    if resolve then
        local value = resolve(var, name)
        if value ~= nil then
            rawset(var, name, value)
        end
        return value
    end

    resolve = volatile[name]
    if resolve then
        return resolve(var, name)
    end

    if type(name) ~= "string" then
        error("invalid argument, expect string value", 2)
    end
    vars.learn(name)
    return index(var, name)
end


local function assign(var, name, value)
    if written_through[name] then
        var._cache[name] = value
        if value ~= nil then
            value = tostring(value)
        end
        return var_set(name, value)
    end
    rawset(var, name, value)
end


local mt = { __index = index, __newindex = assign }


--- Gives `ctx` its variables.
function _M.set_vars_meta(ctx)
    local var = tablepool.fetch("ctx_var", 0, VARS_SIZE)
    var._cache = var._cache or {}
    var._ctx = ctx
    ctx.var = setmetatable(var, mt)
end


local function emptied(var)
    local cache = var._cache
    if next(cache) ~= nil then
        clear(cache)
    end
    clear(var)
    rawset(var, "_cache", cache)
    return var
end


--- Takes them back. `ctx.var` must not be used after that.
function _M.release_vars(ctx)
    local var = ctx.var
    if var == nil then
        return
    end

    setmetatable(emptied(var), nil)
    ctx.var = nil
    tablepool.release("ctx_var", var, true)
end


--- Empties `ctx`, whose request is over, for another request.
function _M.renew(ctx)
    local var = ctx.var
    if getmetatable(var) ~= mt then
        -- A plugin put something of its own there.
        clear(ctx)
        return _M.set_vars_meta(ctx)
    end
    emptied(var)
    rawset(var, "_ctx", ctx)
    clear(ctx)
    ctx.var = var
end


--- Adds a variable for all requests.
-- @tparam string name
-- @tparam function getter getter(ctx) -> value
-- @tparam[opt] table opts `no_cacheable`: ask the getter at every read
function _M.register_var(name, getter, opts)
    if type(getter) ~= "function" then
        error("the getter of registered var should be a function", 2)
    end
    vars.register(name, getter, opts and opts.no_cacheable)
end


return _M
