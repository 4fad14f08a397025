--- Test plugin of t/soak: answers each request by the function of `soak` that its path names.
--
-- It refuses nothing; an unknown path is an error of the test and answers 500.
local soak = require("soak")

local _M = {
    version = 0.1,
    priority = 100,
    name = "soak-work",
    schema = { type = "object", properties = {} },
}


function _M.check_schema()
    return true
end


function _M.access()
    return soak.serve()
end


return _M
