--- `resty.ngxvar`: variables of nginx; the request is the one at hand.
-- @module resty.ngxvar
local _M = { _VERSION = "0.5.2" }


--- Stands for the request at hand.
function _M.request()
    return true
end


--- A variable.
function _M.fetch(name)
    return ngx.var[name]
end


function _M.enable_patch()
end


return _M
