--- `opentelemetry.trace.tracer_provider`: tracers with their sampler and processors.
-- @module opentelemetry.trace.tracer_provider
local attribute = require("opentelemetry.attribute")
local id_generator = require("opentelemetry.trace.id_generator")
local resource = require("opentelemetry.resource")
local tracer_module = require("opentelemetry.trace.tracer")

local ipairs = ipairs
local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


--- A provider.
-- @tparam table|nil processor
-- @tparam[opt] table opts `sampler`, `resource`
function _M.new(processor, opts)
    opts = opts or {}
    local own = resource.new(attribute.string("telemetry.sdk.language", "lua"),
                             attribute.string("telemetry.sdk.name", "opentelemetry-lua"),
                             attribute.string("telemetry.sdk.version", "0.1.1"))
    local on = require("opentelemetry.trace.sampling.always_on_sampler")
    local by_parent = require("opentelemetry.trace.sampling.parent_base_sampler")
    return setmetatable({
        span_processors = { processor },
        sampler = opts.sampler or by_parent.new(on.new()),
        resource = resource.merge(opts.resource, own),
        id_generator = id_generator, named = {},
    }, mt)
end


--- The tracer of a name.
function _M:tracer(name, opts)
    opts = opts or {}
    local key = name .. "\0" .. (opts.version or "") .. "\0" .. (opts.schema_url or "")
    if not self.named[key] then
        self.named[key] = tracer_module.new(self, { name = name, version = opts.version or "",
                                                    schema_url = opts.schema_url or "" })
    end
    return self.named[key]
end


function _M:register_span_processor(processor)
    self.span_processors[#self.span_processors + 1] = processor
end


function _M:set_span_processors(...)
    self.span_processors = { ... }
end


for _, name in ipairs({ "force_flush", "shutdown" }) do
    _M[name] = function(self)
        for _, processor in ipairs(self.span_processors) do
            processor[name](processor)
        end
    end
end


return _M
