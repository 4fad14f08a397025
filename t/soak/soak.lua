--- What the tests of t/soak run, in moongate and in Debian's nginx alike.
--
-- The path of a request names a function of one of the modules below, its arguments are those of
-- the query. A function returns text, which is the answer's body.
local modules = { sockets = true, dicts = true }

local _M = {}


--- Answers the request of the current phase.
function _M.serve()
    local name, func = ngx.var.uri:match("^/(%w+)/([%w_]+)$")
    if not modules[name] then
        return ngx.exit(500)
    end
    local text = require("soak_" .. name)[func](ngx.req.get_uri_args())
    ngx.header.content_type = "text/plain"
    ngx.header.content_length = #text
    ngx.print(text)
    return ngx.exit(200)
end


return _M
