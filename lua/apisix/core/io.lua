--- `core.io`.
-- @module apisix.core.io
local open = io.open

local _M = {}


--- The content of a file, or nil and an error.
function _M.get_file(path)
    local file, err = open(path, "r")
    if not file then
        return nil, err
    end

    local content
    content, err = file:read("*a")
    file:close()
    return content, err
end


return _M
