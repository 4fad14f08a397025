--- The labels of the request metrics: their names, those that metadata switches off, and
-- those that config.yaml adds.
-- @module apisix.plugins.prometheus.labels
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local ipairs = ipairs
local next = next
local pairs = pairs
local sub = string.sub

local NAME = "prometheus"

local MODEL = " request_type request_llm_model llm_model"
local BY_ID = "route_id service_id consumer node" .. MODEL
local BY_ALL = "route route_id service service_id consumer node" .. MODEL


local function words(text)
    local list = {}
    for word in text:gmatch("%S+") do
        list[#list + 1] = word
    end
    return list
end


local _M = {
    --- Metric -> names of its labels, in order.
    by_metric = {
        http_status = words("code route matched_uri matched_host service consumer node"
                            .. MODEL .. " response_source"),
        http_latency = words("type route service consumer node" .. MODEL),
        bandwidth = words("type route service consumer node" .. MODEL),
        llm_latency = words("type " .. BY_ID),
        llm_prompt_tokens = words(BY_ID),
        llm_completion_tokens = words(BY_ID),
        llm_prompt_tokens_dist = words(BY_ID),
        llm_completion_tokens_dist = words(BY_ID),
        llm_active_connections = words("route route_id matched_uri matched_host service "
                                       .. "service_id consumer node" .. MODEL),
        ai_cache_hits_total = words("layer " .. BY_ALL),
        ai_cache_misses_total = words(BY_ALL),
        ai_cache_bypasses_total = words(BY_ALL),
        ai_cache_embedding_latency = words(BY_ALL),
    },
}

-- Without these a metric would add up what does not belong together.
local NEEDED = {
    http_status = "code",
    http_latency = "type",
    bandwidth = "type",
    llm_latency = "type",
    ai_cache_hits_total = "layer",
}


--- Schema of the metadata: which labels of which metric stay empty.
function _M.metadata_schema()
    local properties = {}
    for metric, names in pairs(_M.by_metric) do
        local allowed = {}
        for _, name in ipairs(names) do
            if name ~= NEEDED[metric] then
                allowed[#allowed + 1] = name
            end
        end
        properties[metric] = { type = "array", items = { type = "string", enum = allowed } }
    end
    return {
        type = "object",
        properties = {
            disabled_labels = {
                type = "object",
                properties = properties,
                additionalProperties = false,
            },
        },
    }
end


--- What metadata switches off: metric -> place of the label -> true.
function _M.disabled()
    local item = plugin.plugin_metadata(NAME)
    local lists = item and item.value and item.value.disabled_labels
    local disabled = {}
    for metric, names in pairs(lists or {}) do
        local places = {}
        for place, name in ipairs(_M.by_metric[metric] or {}) do
            if core.table.array_find(names, name) then
                places[place] = true
            end
        end
        disabled[metric] = places
    end
    return disabled
end


--- The labels that `plugin_attr.prometheus.metrics.<metric>.extra_labels` adds.
-- @treturn {string,...} names
-- @treturn {string,...} variables their values come from
function _M.extra(metric)
    local names, variables = {}, {}
    local list = core.table.try_read_attr(plugin.plugin_attr(NAME), "metrics", metric,
                                          "extra_labels")
    for _, pair in ipairs(list or {}) do
        local name, variable = next(pair)
        names[#names + 1] = name
        variables[#variables + 1] = sub(variable, 2)
    end
    return names, variables
end


--- Names of a metric's labels with the extra ones.
function _M.names(metric)
    local names = core.table.clone(_M.by_metric[metric])
    for _, name in ipairs((_M.extra(metric))) do
        names[#names + 1] = name
    end
    return names
end


return _M
