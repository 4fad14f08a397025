--- `prometheus`: metrics in a shared dictionary, for plugins that bring their own.
--
--     local registry = require("prometheus").init("prometheus-metrics", "myapp_")
--     local hits = registry:counter("hits_total", "Hits", { "route" })
--     hits:inc(1, { "7" })
--     ngx.print(registry:metric_data())
--
-- Every value is one key of the dictionary, named like the series in the text format, so all
-- workers count into the same numbers at once. The gateway's own metrics are not kept here.
-- @module prometheus
local concat = table.concat
local format = string.format
local gsub = string.gsub
local ipairs = ipairs
local log = ngx.log
local match = string.match
local max = math.max
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tostring = tostring
local type = type

local ERROR_METRIC = "nginx_metric_errors_total"
local FULL = "Shared dictionary used for prometheus metrics is full. REPORTED METRIC DATA MIGHT "
             .. "BE INCOMPLETE. Please increase the size of the dictionary or decrease metric "
             .. "cardinality."

local BUCKETS = {
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 10,
}

-- What UTF-8 allows; a byte that begins nothing of it ends the value.
local VALID = "^(?:[\\x00-\\x7f]|[\\xc2-\\xdf][\\x80-\\xbf]|\\xe0[\\xa0-\\xbf][\\x80-\\xbf]"
              .. "|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}|\\xed[\\x80-\\x9f][\\x80-\\xbf]"
              .. "|\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}|[\\xf1-\\xf3][\\x80-\\xbf]{3}"
              .. "|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2})*"

local Registry = {}
local registry_mt = { __index = Registry }

local Metric = {}
local Counter = setmetatable({}, { __index = Metric })
local Gauge = setmetatable({}, { __index = Metric })
local Histogram = setmetatable({}, { __index = Metric })


--- Starts, or takes up, the metrics of a dictionary.
-- @tparam[opt="prometheus_metrics"] string dict_name
-- @tparam[opt] table|string options `prefix`, `error_metric_name`; or the prefix alone
function Registry.init(dict_name, options)
    local name = dict_name or "prometheus_metrics"
    local dict = ngx.shared[name]
    if not dict then
        error("Dictionary '" .. name .. "' does not seem to exist. Please define the dictionary "
              .. "using `lua_shared_dict`.", 2)
    end
    if type(options) ~= "table" then
        options = { prefix = options }
    end
    local self = setmetatable({
        dict_name = name,
        dict = dict,
        prefix = options.prefix or "",
        error_metric_name = options.error_metric_name or ERROR_METRIC,
        sync_interval = options.sync_interval or 1,
        registry = {},
        initialized = true,
    }, registry_mt)
    self:counter(self.error_metric_name, "Number of nginx-lua-prometheus errors")
    dict:set(self.error_metric_name, 0)
    return self
end


--- Kept for old configurations; `init` has done it.
function Registry.init_worker()
end


--- Logs an error and counts it.
function Registry:log_error(...)
    log(ngx.ERR, ...)
    self.dict:incr(self.error_metric_name, 1, 0)
end


function Registry:log_error_kv(key, value, err)
    self:log_error("Error while setting '", key, "' to '", value, "': '", err, "'")
end


local function name_error(name, labels)
    if not match(name, "^[a-zA-Z_:][a-zA-Z0-9_:]*$") then
        return "Metric name '" .. name .. "' is invalid"
    end
    for _, label in ipairs(labels or {}) do
        if label == "le" then
            return "Invalid label name 'le' in " .. name
        end
        if not match(label, "^[a-zA-Z_][a-zA-Z0-9_]*$") then
            return "Metric '" .. name .. "' label name '" .. label .. "' is invalid"
        end
    end
end


-- A format that makes all bounds equally long, so that they sort as numbers do.
local function bucket_format(bounds)
    local whole, fraction = 1, 1
    for _, bound in ipairs(bounds) do
        local before, after = match(format("%f", bound), "^(%d+)%.(%d-)0*$")
        whole, fraction = max(whole, #before), max(fraction, #after)
    end
    return "%0" .. whole + fraction + 1 .. "." .. fraction .. "f"
end


local function register(self, kind, class, name, help, labels, buckets, exptime)
    local err = name_error(name, labels)
    if err then
        self:log_error(err)
        return
    end
    local stem = match(name, "^(.*)_count$") or match(name, "^(.*)_sum$")
                 or match(name, "^(.*)_bucket$")
    local clash = self.registry[name] or (self.registry[stem or ""] or {}).buckets
    if kind == "histogram" then
        clash = clash or self.registry[name .. "_count"] or self.registry[name .. "_sum"]
                or self.registry[name .. "_bucket"]
    end
    if clash then
        self:log_error("Duplicate metric " .. name)
        return
    end
    local metric = setmetatable({
        parent = self, name = name, help = help, kind = kind, labels = labels or {},
        exptime = exptime, names = {},
    }, { __index = class })
    if kind == "histogram" then
        metric.buckets = buckets or BUCKETS
        metric.bucket_format = bucket_format(metric.buckets)
    end
    self.registry[name] = metric
    return metric
end


--- A number that only grows.
-- @tparam[opt] number exptime seconds after which a series that is not counted goes
function Registry:counter(name, help, labels, exptime)
    return register(self, "counter", Counter, name, help, labels, nil, exptime)
end


--- A number that is set.
function Registry:gauge(name, help, labels, exptime)
    return register(self, "gauge", Gauge, name, help, labels, nil, exptime)
end


--- Numbers that are counted by size.
-- @tparam[opt] {number,...} buckets upper bounds, from small to large
function Registry:histogram(name, help, labels, buckets, exptime)
    return register(self, "histogram", Histogram, name, help, labels, buckets, exptime)
end


local function escape(value)
    if type(value) ~= "string" then
        return tostring(value)
    end
    local _, to = ngx.re.find(value, VALID, "jo")
    value = sub(value, 1, to or 0)
    value = gsub(value, "\\", "\\\\")
    return (gsub(value, '"', '\\"'))
end


-- "{a="1",b="2"}", or why the values do not fit.
local function label_text(metric, values)
    local names = metric.labels
    local count = values and #values or 0
    if values then
        for i in pairs(values) do
            count = max(count, type(i) == "number" and i or 0)
        end
    end
    if count ~= #names then
        return nil, format("incorrect label count for metric %s, expected %d, got %d (%s)",
                           metric.name, #names, count, concat(names, ","))
    end
    if count == 0 then
        return ""
    end
    local parts = {}
    for i, name in ipairs(names) do
        if values[i] == nil then
            return nil, format("unexpected nil value for label %s of %s", name, metric.name)
        end
        parts[i] = name .. '="' .. escape(values[i]) .. '"'
    end
    return "{" .. concat(parts, ",") .. "}"
end


local function add(metric, key, value)
    local dict, exptime = metric.parent.dict, metric.exptime
    local _, err, forced = dict:incr(key, value, 0, exptime)
    if err or forced then
        metric.parent:log_error_kv(key, value, err or FULL)
        return
    end
    if exptime then
        dict:expire(key, exptime)
    end
end


function Counter:inc(value, values)
    local key, err = label_text(self, values)
    if not key then
        self.parent:log_error(err)
        return
    end
    -- A variable of nginx may be the text of a number.
    value = tonumber(value) or value
    if value ~= nil and value < 0 then
        self.parent:log_error_kv(self.name, value, "Value should not be negative")
        return
    end
    add(self, self.name .. key, value or 1)
end


function Gauge:inc(value, values)
    local key, err = label_text(self, values)
    if not key then
        self.parent:log_error(err)
        return
    end
    add(self, self.name .. key, value or 1)
end


function Gauge:set(value, values)
    if value == nil then
        self.parent:log_error("No value passed for " .. self.name)
        return
    end
    local key, err = label_text(self, values)
    if not key then
        self.parent:log_error(err)
        return
    end
    key = self.name .. key
    local _, problem, forced = self.parent.dict:set(key, value, self.exptime or 0)
    if problem or forced then
        self.parent:log_error_kv(key, value, problem or FULL)
    end
end


function Histogram:observe(value, values)
    if value == nil then
        self.parent:log_error("No value passed for " .. self.name)
        return
    end
    local labels, err = label_text(self, values)
    if not labels then
        self.parent:log_error(err)
        return
    end
    add(self, self.name .. "_count" .. labels, 1)
    add(self, self.name .. "_sum" .. labels, value)
    local head = self.name .. "_bucket" .. (labels == "" and "{" or sub(labels, 1, -2) .. ",")
    for _, bound in ipairs(self.buckets) do
        if value <= bound then
            add(self, head .. 'le="' .. format(self.bucket_format, bound) .. '"}', 1)
        end
    end
    add(self, head .. 'le="Inf"}', 1)
end


--- Deletes the series of these label values.
function Metric:del(values)
    local key, err = label_text(self, values)
    if not key then
        self.parent:log_error(err)
        return
    end
    self.parent.dict:delete(self.name .. key)
end


local function belongs(key, metric)
    local name = match(key, "^[^{]*")
    return name == metric.name or (metric.kind == "histogram"
        and (name == metric.name .. "_count" or name == metric.name .. "_sum"
             or name == metric.name .. "_bucket"))
end


--- Deletes every series of the metric.
function Metric:reset()
    local dict = self.parent.dict
    for _, key in ipairs(dict:get_keys(0)) do
        if belongs(key, self) then
            dict:delete(key)
        end
    end
end


Histogram.del = nil


local function metric_of(self, key)
    local name = match(key, "^[^{]*")
    local metric = self.registry[name]
    if metric and metric.kind ~= "histogram" then
        return metric, name
    end
    local stem = match(name, "^(.*)_count$") or match(name, "^(.*)_sum$")
                 or match(name, "^(.*)_bucket$")
    metric = stem and self.registry[stem]
    if metric and metric.kind == "histogram" then
        return metric, stem
    end
end


-- "le="00.300"" becomes "le="0.3"".
local function shown(key)
    return (gsub(key, '([{,]le=")([^"]*)(")', function(before, bound, after)
        if bound == "Inf" then
            return before .. "+Inf" .. after
        end
        bound = gsub(bound, "^0+(%d)", "%1")
        if match(bound, "%.") then
            bound = gsub(gsub(bound, "0+$", ""), "%.$", "")
        end
        return before .. bound .. after
    end))
end


--- All series.
-- @treturn {string,...} lines of the text format
function Registry:metric_data()
    local lines, told, keys = {}, {}, {}
    for _, key in ipairs(self.dict:get_keys(0)) do
        local metric, name = metric_of(self, key)
        if metric then
            keys[#keys + 1] = key
            told[name] = false
        end
    end
    sort(keys)
    for _, key in ipairs(keys) do
        local value = self.dict:get(key)
        if value then
            local metric, name = metric_of(self, key)
            if not told[name] then
                told[name] = true
                if metric.help then
                    lines[#lines + 1] = format("# HELP %s%s %s\n", self.prefix, name, metric.help)
                end
                lines[#lines + 1] = format("# TYPE %s%s %s\n", self.prefix, name, metric.kind)
            end
            lines[#lines + 1] = format("%s%s %s\n", self.prefix, shown(key), value)
        end
    end
    return lines
end


--- Answers the request with all series.
function Registry:collect()
    ngx.header.content_type = "text/plain"
    ngx.print(self:metric_data())
end


return Registry
