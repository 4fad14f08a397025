--- Test plugin of t/compat: hands every phase to the driver that nginx runs, too.
--
-- It refuses nothing by itself; what a case answers is the case's affair.
local driver = require("driver")

local _M = {
    version = 0.1,
    priority = 100,
    name = "ngx-compat",
    schema = { type = "object", properties = {} },
}


function _M.check_schema()
    return true
end


function _M.init()
    driver.init()
end


local PHASES = { "rewrite", "access", "balancer", "header_filter", "body_filter", "log" }
for _, phase in ipairs(PHASES) do
    _M[phase] = function()
        driver.run(phase)
    end
end


return _M
