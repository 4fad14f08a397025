--- Declaring the metrics of Prometheus and handing their figures out.
-- @module apisix.plugins.prometheus.exporter
local core = require("apisix.core")
local host = require("moongate.host")
local labels = require("apisix.plugins.prometheus.labels")
local plugin = require("apisix.plugin")
local process = require("apisix.plugins.prometheus.process")
local requests = require("apisix.plugins.prometheus.requests")

local ipairs = ipairs
local select = select

local NAME = "prometheus"
local EXPORT_URI = "/apisix/prometheus/metrics"
local REFRESH_INTERVAL = 15

-- Milliseconds.
local BUCKETS = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000 }

local live = false

local _M = {
    metric_label_map = labels.by_metric,
    http_log = requests.count,
}

-- ---------------------------------------------------------------------------
-- Declaring

local function declare(kind, name, help, names, buckets, idle)
    local metric, err = host.metrics[kind](name, help, names or {}, buckets, idle)
    if not metric then
        core.log.error("failed to declare the metric ", name, ": ", err)
    end
    return metric
end


-- The labels may have changed with config.yaml: then the old series go.
local function declare_anew(kind, name, help, names, buckets, idle)
    local metric = host.metrics[kind](name, help, names, buckets, idle)
    if metric then
        return metric
    end
    host.metrics.remove(name)
    return declare(kind, name, help, names, buckets, idle)
end


-- What a plugin gets from `get_prometheus`: methods that declare metrics.
local registry = {
    counter = function(_, name, help, names, idle)
        return declare("counter", name, help, names, nil, idle)
    end,
    gauge = function(_, name, help, names, idle)
        return declare("gauge", name, help, names, nil, idle)
    end,
    histogram = function(_, name, help, names, buckets, idle)
        return declare("histogram", name, help, names, buckets, idle)
    end,
    metric_data = function()
        return { host.metrics.render() }
    end,
}


local function request_metric(attr, kind, name, help, buckets)
    local idle = core.table.try_read_attr(attr, "metrics", name, "expire")
    return declare_anew(kind, name, help, labels.names(name), buckets, idle)
end


local function refresh(premature)
    if not premature then
        process.collect()
    end
end


local function start_refreshing(attr)
    if host.worker_id() ~= 0 then
        return
    end
    local timer = ngx.timer
    local ok, err = timer.at(0, refresh)
    if ok then
        ok, err = timer.every(attr.refresh_interval or REFRESH_INTERVAL, refresh)
    end
    if not ok then
        core.log.error("failed to start the timer of the prometheus metrics: ", err)
    end
end


--- Declares the metrics. Called when the plugin is loaded.
function _M.http_init()
    local attr = plugin.plugin_attr(NAME) or {}
    local variables = {}
    for _, name in ipairs({ "http_status", "http_latency", "bandwidth" }) do
        variables[name] = select(2, labels.extra(name))
    end

    local declared = {
        http_status = request_metric(attr, "counter", "http_status",
                                     "HTTP status codes per service in APISIX"),
        http_latency = request_metric(attr, "histogram", "http_latency",
                                      "HTTP request latency in milliseconds per service "
                                      .. "in APISIX", attr.default_buckets or BUCKETS),
        bandwidth = request_metric(attr, "counter", "bandwidth",
                                   "Total bandwidth in bytes consumed per service in APISIX"),
    }
    process.declare(function(name, help, names)
        return declare("gauge", name, help, names)
    end)
    if declared.http_status and declared.http_latency and declared.bandwidth then
        requests.use(declared, variables)
        live = true
    end
    start_refreshing(attr)
end


--- Ends counting. Called when the plugin is unloaded.
function _M.destroy()
    requests.use(nil)
    live = false
end

-- ---------------------------------------------------------------------------
-- Handing out

local function answer()
    if not live then
        core.log.error("prometheus: plugin is not initialized")
        return 500, { message = "An unexpected error occurred" }
    end
    process.collect()
    core.response.set_header("content_type", "text/plain")
    return 200, host.metrics.render()
end


--- What the public API serves.
-- @tparam boolean called_by_api_router then it is nothing while there is an export server
function _M.get_api(called_by_api_router)
    local attr = plugin.plugin_attr(NAME) or {}
    local api = { methods = { "GET" }, uri = attr.export_uri or EXPORT_URI, handler = answer }
    if not called_by_api_router then
        return api
    end
    if attr.enable_export_server then
        return {}
    end
    return { api }
end


--- The text of all metrics, in pieces.
function _M.metric_data()
    process.collect()
    return registry.metric_data()
end


--- The object that declares metrics of other plugins; nil while prometheus is not loaded.
function _M.get_prometheus()
    return live and registry or nil
end


return _M
