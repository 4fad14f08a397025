--- `core.event`: one handler per kind of event, inside one VM.
-- @module apisix.core.event
local handlers = {}

local _M = {
    CONST = { BUILD_ROUTER = 1 },
}


function _M.push(kind, ...)
    local handler = handlers[kind]
    if handler then
        handler(...)
    end
end


function _M.register(kind, handler)
    handlers[kind] = handler
end


function _M.unregister(kind)
    handlers[kind] = nil
end


return _M
