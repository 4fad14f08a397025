--- Counting one request for Prometheus.
--
-- The series of a request depend on a few texts that hardly ever change, so they are looked
-- up once per combination and kept in a tree of tables: a request walks the tree and makes
-- one call that counts into all of them.
-- @module apisix.plugins.prometheus.requests
local host = require("moongate.host")
local labels = require("apisix.plugins.prometheus.labels")

local conf_version = host.conf_version
local ipairs = ipairs
local log_facts = host.log_facts
local match = string.match
local new_series = host.metrics.bundle
local pairs = pairs
local sub = string.sub
local tostring = tostring
local type = type
local unpack = unpack

-- A model's name comes from the client.
local MODEL_BYTES_MAX = 128

-- Combinations that are kept; beyond that the tree is grown anew.
local LEAVES_MAX = 20000
local NODES_MAX = 1024

local NO_MODELS = {}

local TIMES = { "request", "upstream", "apisix" }
local DIRECTIONS = { "ingress", "egress" }

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


-- The host of an address.
local function node_of(address)
    if not address then
        return ""
    end
    local node = node_names[address]
    if node then
        return node
    end

    node = match(address, "^(%[[^%]]*%])") or match(address, "^([^:]*)") or address
    if node_count >= NODES_MAX then
        node_names, node_count = {}, 0
    end
    node_names[address] = node
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
    return new_series(unpack(list))
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


-- Makes the series of `key` and puts them into the tree.
local function grow(key, ctx)
    if leaves > LEAVES_MAX then
        forget_tree()
    end
    leaves = leaves + 1
    set_models(key, NO_MODELS)
    local place = branch(branch(tree, key.route), key.service)
    place = branch(branch(place, key.consumer), key.node)
    place = branch(branch(branch(place, key.status), key.source), key.uri)
    local series = series_of(key, ctx)
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
    local version = conf_version("plugin_metadata")
    if version ~= metadata_version then
        metadata_version = version
        disabled = labels.disabled()
        forget_tree()
    end

    local status, latency, upstream, received, sent, address, source, uri, name = log_facts()
    local route, service = route_and_service(conf, ctx)
    local consumer = ctx.consumer_name or ""
    local node = ctx.balancer_ip or node_of(address)
    source = ctx._resp_source or source
    uri, name = uri or "", name or ""

    -- Texts that a client can invent do not go into the tree.
    local assigned = ctx.var._cache
    local invented = has_extras or assigned.request_type or assigned.llm_model
                     or assigned.request_llm_model
    local place = not invented and tree[route]
    place = place and place[service]
    place = place and place[consumer]
    place = place and place[node]
    place = place and place[status]
    place = place and place[source]
    place = place and place[uri]
    local series = place and place[name]
    if not series then
        local key = { route = route, service = service, consumer = consumer, node = node,
                      status = status, source = source, uri = uri, host = name }
        if invented then
            set_models(key, assigned)
            series = series_of(key, ctx)
        else
            series = grow(key, ctx)
        end
    end

    local own = latency - (upstream or 0)
    series:add(1, latency, upstream, own > 0 and own or 0, received, sent)
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
