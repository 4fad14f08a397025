--- `ngx.resp` as a module: what the global table lacks.
-- @module ngx.resp
local host = require("moongate.host")
local resp = require("moongate.api.resp")

local error = error
local type = type

local _M = {
    version = "0.1.28",
    add_header = resp.add_header,
    get_headers = resp.get_headers,
    get_status = host.resp_status,
}


--- Sets the status. The reason phrase is moongate's: HTTP/2 has none.
function _M.set_status(status)
    if type(status) ~= "number" then
        error("bad 'status' argument: number expected, got " .. type(status), 2)
    end
    host.resp_set_status(status)
end


return _M
