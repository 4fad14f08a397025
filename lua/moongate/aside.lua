--- Both ends of `ngx.run_worker_thread`: values travel between VMs as text.
-- @module moongate.aside
local buffer = require("string.buffer")
local host = require("moongate.host")

local decode = buffer.decode
local encode = buffer.encode
local error = error
local pcall = pcall
local require = require
local select = select
local tostring = tostring
local type = type
local unpack = unpack

local _M = {}


local function packed(...)
    return encode({ n = select("#", ...), ... })
end


local function need_text(value, at)
    if type(value) ~= "string" then
        error("bad argument #" .. at .. " to 'run_worker_thread' (string expected, got "
              .. (value == nil and "no value" or type(value)) .. ")", 3)
    end
end


--- Runs a function of a module on a thread that serves no requests, in a VM of its own.
--
-- Arguments and results are nil, booleans, numbers, strings, and tables of them.
-- @tparam string pool any name: there is one pool
-- @tparam string module
-- @tparam string name of the function
-- @treturn boolean whether it returned
-- @return its results, or what went wrong
function _M.run(pool, module, name, ...)
    need_text(pool, 1)
    need_text(module, 2)
    need_text(name, 3)
    local fine, args = pcall(packed, ...)
    if not fine then
        return false, "unsupported argument: " .. tostring(args)
    end

    local ok, answer = host.run_aside(module, name, args)
    if not ok then
        return false, answer
    end
    local results = decode(answer)
    return true, unpack(results, 1, results.n)
end


--- What the other thread runs.
-- @treturn string|nil results
-- @treturn nil|string error
function _M.serve(module, name, args)
    local found, loaded = pcall(require, module)
    if not found then
        return nil, tostring(loaded)
    end
    local func = type(loaded) == "table" and loaded[name]
    if type(func) ~= "function" then
        return nil, "module " .. module .. " has no function " .. name
    end
    args = decode(args)
    local function call()
        return packed(func(unpack(args, 1, args.n)))
    end
    local ok, answer = pcall(call)
    if not ok then
        return nil, tostring(answer)
    end
    return answer
end


return _M
