--- The metrics that belong to the process and not to a request.
--
-- They are written when somebody looks: before the public API renders, and every
-- `refresh_interval` seconds on the first worker for the export server.
-- @module apisix.plugins.prometheus.process
local core = require("apisix.core")
local host = require("moongate.host")

local ipairs = ipairs

local STATES = { "active", "accepted", "handled", "reading", "writing", "waiting" }

local gauges

local _M = {}


--- Declares them.
function _M.declare(gauge)
    gauges = {
        connections = gauge("nginx_http_current_connections", "Number of HTTP connections",
                            { "state" }),
        requests = gauge("http_requests_total",
                         "The total number of client requests since APISIX started"),
        node_info = gauge("node_info", "Info of APISIX node", { "hostname", "version" }),
        capacity = gauge("shared_dict_capacity_bytes",
                         "The capacity of each nginx shared DICT since APISIX start",
                         { "name" }),
        free = gauge("shared_dict_free_space_bytes",
                     "The free space of each nginx shared DICT since APISIX start",
                     { "name" }),
    }
end


local function connections()
    local stats = host.stats()
    for _, state in ipairs(STATES) do
        gauges.connections:set(stats[state], { state })
    end
    gauges.requests:set(stats.requests, {})
end


local function dictionaries()
    for _, name in ipairs(host.dict_names()) do
        local dict = ngx.shared[name]
        if dict then
            gauges.capacity:set(dict:capacity(), { name })
            gauges.free:set(dict:free_space(), { name })
        end
    end
end


--- Writes them.
function _M.collect()
    if not gauges then
        return
    end
    gauges.node_info:set(1, { core.utils.gethostname() or "", core.version.VERSION })
    connections()
    dictionaries()
end


return _M
