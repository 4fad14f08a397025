--- Counting one request for Prometheus.
--
-- The series of a request depend on a few texts that hardly ever change, so they are looked
-- up once per combination and kept in a tree of tables: a request walks the tree and makes
-- one call that counts into all of them.
-- @module apisix.plugins.prometheus.requests
local core = require("apisix.core")
local host = require("moongate.host")
local labels = require("apisix.plugins.prometheus.labels")
local new_series = require("apisix.plugins.prometheus.series")
local plugin = require("apisix.plugin")

local get_response_source = core.response.get_response_source
local gmatch = string.gmatch
local ipairs = ipairs
local match = string.match
local now = host.time.now
local pairs = pairs
local req_param = host.req_param
local req_start_time = host.req_start_time
local resp_status = host.resp_status
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local var_get = host.var_get

-- A model's name comes from the client.
local MODEL_BYTES_MAX = 128

-- Combinations that are kept; beyond that the tree is grown anew.
local LEAVES_MAX = 20000
local NODES_MAX = 1024

local NO_MODELS = {}

local TIMES = { "request", "upstream", "apisix" }
local DIRECTIONS = { "ingress", "egress" }

-- Which of a request's six series are histograms.
local HISTOGRAMS = { false, true, true, true, false, false }

local metrics
local extras
local has_extras

local tree = {}
local leaves = 0
local disabled = {}
local metadata_version

local _M = {}

-- ---------------------------------------------------------------------------
-- Label values

local function model_label(value)
    if value == nil then
        return ""
    end
    if type(value) == "string" or type(value) == "number" then
        return sub(tostring(value), 1, MODEL_BYTES_MAX)
    end
    return "<non-scalar>"
end


local node_names = {}
local node_count = 0


-- The host of the last address tried.
local function node_of(addresses)
    if not addresses then
        return ""
    end
    local node = node_names[addresses]
    if node then
        return node
    end

    local last = match(addresses, "([^%s,]+)%s*$") or ""
    node = match(last, "^(%[[^%]]*%])") or match(last, "^([^:]*)") or last
    if node_count >= NODES_MAX then
        node_names, node_count = {}, 0
    end
    node_names[addresses] = node
    node_count = node_count + 1
    return node
end


-- Fills in what metadata and config.yaml say about the labels of `metric`.
local function finished(metric, values, ctx)
    for place in pairs(disabled[metric] or {}) do
        values[place] = ""
    end
    for _, variable in ipairs(extras[metric]) do
        local value = ctx.var[variable]
        values[#values + 1] = value == nil and "" or value
    end
    return values
end


local function traffic_values(metric, kind, key, ctx)
    return finished(metric, { kind, key.route, key.service, key.consumer, key.node,
                              key.request_type, key.request_model, key.model }, ctx)
end


-- What a request counts into: its status, three times and two directions.
local function series_of(key, ctx)
    local status = { key.status, key.route, key.uri, key.host, key.service, key.consumer,
                     key.node, key.request_type, key.request_model, key.model, key.source }
    local list = { metrics.http_status, finished("http_status", status, ctx) }
    for _, kind in ipairs(TIMES) do
        list[#list + 1] = metrics.http_latency
        list[#list + 1] = traffic_values("http_latency", kind, key, ctx)
    end
    for _, kind in ipairs(DIRECTIONS) do
        list[#list + 1] = metrics.bandwidth
        list[#list + 1] = traffic_values("bandwidth", kind, key, ctx)
    end
    return new_series(list, HISTOGRAMS)
end

-- ---------------------------------------------------------------------------
-- The tree

local function branch(parent, name)
    local child = parent[name]
    if not child then
        child = {}
        parent[name] = child
        leaves = leaves + 1
    end
    return child
end


local function forget_tree()
    tree, leaves = {}, 0
end


local function set_models(key, assigned)
    key.request_type = model_label(assigned.request_type or "traditional_http")
    key.request_model = model_label(assigned.request_llm_model)
    key.model = model_label(assigned.llm_model)
end


-- The names of route and service as the conf wants them.
local function route_and_service(conf, ctx)
    local route, service = ctx.route_id or "", ctx.service_id or ""
    if conf.prefer_name then
        route = ctx.route_name or route
        if service ~= "" then
            service = ctx.service_name or service
        end
    end
    return route, service
end


local function milliseconds(text)
    if not text then
        return nil
    end
    local seconds = tonumber(text)
    if not seconds then
        -- Several upstreams were tried, one after another.
        for part in gmatch(text, "[%d.]+") do
            seconds = (seconds or 0) + (tonumber(part) or 0)
        end
    end
    return seconds and seconds * 1000
end


local function count(series)
    local latency = (now() - req_start_time()) * 1000
    local upstream = milliseconds(var_get("upstream_response_time"))
    local own = latency - (upstream or 0)
    series:add(1, latency, upstream, own > 0 and own or 0,
               tonumber(var_get("request_length")) or 0, tonumber(var_get("bytes_sent")) or 0)
end


local key = {}


-- The series from the tree, where they are kept.
local function kept_series(ctx)
    local place = branch(branch(tree, key.route), key.service)
    place = branch(branch(place, key.consumer), key.node)
    place = branch(branch(branch(place, key.status), key.source), key.uri)
    local series = place[key.host]
    if series then
        return series
    end

    if leaves > LEAVES_MAX then
        forget_tree()
    end
    leaves = leaves + 1
    set_models(key, NO_MODELS)
    series = series_of(key, ctx)
    place[key.host] = series
    return series
end


--- Counts a request that has ended.
-- @tparam table conf `prefer_name`: label with names instead of ids
-- @tparam table ctx
function _M.count(conf, ctx)
    if not metrics then
        return
    end
    local version = plugin.plugin_metadatas.conf_version
    if version ~= metadata_version then
        metadata_version = version
        disabled = labels.disabled()
        forget_tree()
    end

    key.route, key.service = route_and_service(conf, ctx)
    key.consumer = ctx.consumer_name or ""
    key.node = ctx.balancer_ip or node_of(var_get("upstream_addr"))
    key.uri = req_param("_path") or ""
    key.host = req_param("_host") or ""
    key.source = get_response_source(ctx)
    key.status = resp_status()

    -- Texts that a client can invent do not go into the tree.
    local assigned = ctx.var._cache
    if has_extras or assigned.request_type or assigned.llm_model
       or assigned.request_llm_model then
        set_models(key, assigned)
        count(series_of(key, ctx))
    else
        count(kept_series(ctx))
    end
end


--- Begins to count.
-- @tparam table declared the metrics by name, nil to end it
-- @tparam[opt] table variables metric -> variables of its extra labels
function _M.use(declared, variables)
    metrics = declared
    extras = variables
    has_extras = false
    for _, list in pairs(variables or {}) do
        has_extras = has_extras or #list > 0
    end
    metadata_version = nil
    forget_tree()
end


return _M
