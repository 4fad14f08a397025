--- `tablepool`: tables that are used again instead of being collected.
-- @module tablepool
local clear = require("table.clear")
local new_tab = require("table.new")

local error = error
local setmetatable = setmetatable

-- A table that grew large under one request must not stay large for ever.
local USES_MAX = 20000
local PER_POOL_MAX = 200

local pools = {}

local _M = {}


--- A table from the pool `tag`, or a new one.
-- @tparam string tag
-- @tparam number narr size of the array part of a new one
-- @tparam number nrec size of the hash part of a new one
function _M.fetch(tag, narr, nrec)
    local pool = pools[tag]
    if pool then
        local count = pool.count
        if count > 0 then
            local t = pool[count]
            pool[count] = false
            pool.count = count - 1
            return t
        end
    end
    return new_tab(narr, nrec)
end


--- Gives a table back.
-- @tparam string tag
-- @tparam table t not to be touched any more by the caller
-- @tparam[opt] boolean keep leave its content as it is
function _M.release(tag, t, keep)
    if not t then
        error("object empty", 2)
    end

    local pool = pools[tag]
    if not pool then
        pool = { count = 0, uses = 0 }
        pools[tag] = pool
    end

    pool.uses = pool.uses + 1
    if pool.uses > USES_MAX then
        pools[tag] = nil
        return
    end
    if pool.count >= PER_POOL_MAX then
        return
    end
    if not keep then
        setmetatable(t, nil)
        clear(t)
    end
    pool.count = pool.count + 1
    pool[pool.count] = t
end


return _M
