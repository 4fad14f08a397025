--- prometheus: counts requests for a Prometheus server.
--
-- Runs in `log` and refuses nothing. The figures are at `plugin_attr.prometheus.export_uri`:
-- on the export server (127.0.0.1:9091), or, with `enable_export_server: false`, on a route
-- with the public-api plugin.
local core = require("apisix.core")
local exporter = require("apisix.plugins.prometheus.exporter")
local labels = require("apisix.plugins.prometheus.labels")

local _M = {
    version = 0.2,
    priority = 500,
    name = "prometheus",
    run_policy = "prefer_route",
    schema = {
        type = "object",
        properties = {
            prefer_name = { type = "boolean", default = false },
        },
    },
    metadata_schema = labels.metadata_schema(),
    init = exporter.http_init,
    destroy = exporter.destroy,
    log = exporter.http_log,
}


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_METADATA then
        return core.schema.check(_M.metadata_schema, conf)
    end
    return core.schema.check(_M.schema, conf)
end


function _M.api()
    return exporter.get_api(true)
end


return _M
