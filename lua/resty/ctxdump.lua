--- `resty.ctxdump`: carries `ngx.ctx` over an internal redirect.
-- @module resty.ctxdump
local _M = { _VERSION = "0.1" }

-- Number -> a context that waits; each is taken out once.
local kept, last = {}, 0


--- Keeps the context.
-- @treturn number what it is fetched by
function _M.stash_ngx_ctx()
    last = last + 1
    kept[last] = ngx.ctx
    return last
end


--- Takes it back.
-- @treturn table|nil
-- @treturn nil|string error
function _M.apply_ngx_ctx(number)
    local found = kept[tonumber(number)]
    if not found then
        return nil, "no context was kept"
    end
    kept[tonumber(number)] = nil
    ngx.ctx = found
    return found
end


return _M
