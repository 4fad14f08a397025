--- `resty.t1k`: exists by name. The protocol of this firewall is not written here.
-- @module resty.t1k
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "resty.t1k.", { "do_access", "do_header_filter" },
                        "not bundled with moongate: extra_lua_path says where to find it")
