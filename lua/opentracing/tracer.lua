--- `opentracing.tracer`: makes spans and carries them over to other services.
-- @module opentracing.tracer
local span_module = require("opentracing.span")
local span_context = require("opentracing.span_context")

local error = error
local now = ngx.now
local pairs = pairs
local setmetatable = setmetatable
local type = type

local _M = {}
local mt = { __index = _M }

local NO_REPORTER = { report = function() end }
local NO_SAMPLER = { sample = function() return false end }


--- A tracer.
-- @tparam[opt] table reporter has `report(self, span)`
-- @tparam[opt] table sampler has `sample(self, name)`, which tells whether and with what tags
function _M.new(reporter, sampler)
    return setmetatable({ injectors = {}, extractors = {}, reporter = reporter or NO_REPORTER,
                          sampler = sampler or NO_SAMPLER }, mt)
end


function _M.is(value)
    return getmetatable(value) == mt
end


--- Seconds, as exactly as the gateway knows them.
function _M:time()
    return now()
end


function _M:report(span)
    return self.reporter:report(span)
end


local function parent_of(options)
    local parent = options.child_of
    if options.references ~= nil then
        error(parent and "cannot specify both references and child_of"
              or "references are not supported", 3)
    end
    if parent and span_module.is(parent) then
        return parent:context()
    elseif parent and span_context.is(parent) then
        return parent
    elseif parent then
        error("child_of should be a span or span context", 3)
    end
end


--- Begins a span.
-- @tparam string name
-- @tparam[opt] table options `child_of`, `tags`, `start_timestamp`
function _M:start_span(name, options)
    options = options or {}
    if options.tags ~= nil and type(options.tags) ~= "table" then
        error("tags should be a table", 2)
    end
    local parent = parent_of(options)
    local context = parent and parent:child() or span_context.new()
    local span = span_module.new(self, context, name, options.start_timestamp or self:time())
    for key, value in pairs(options.tags or {}) do
        span:set_tag(key, value)
    end
    return span
end


local function check_pair(format, func, what)
    if not format then
        error("invalid format", 3)
    elseif not func then
        error("invalid " .. what, 3)
    end
end


--- Names how contexts of a format are written: `function(context, carrier)`.
function _M:register_injector(format, func)
    check_pair(format, func, "injector")
    self.injectors[format] = func
    return true
end


--- Names how they are read: `function(carrier)` gives a context.
function _M:register_extractor(format, func)
    check_pair(format, func, "extractor")
    self.extractors[format] = func
    return true
end


--- Writes the context of a span into a carrier.
function _M:inject(context, format, carrier)
    if span_module.is(context) then
        context = context:context()
    elseif not span_context.is(context) then
        error("trying to inject nil context", 2)
    end
    local injector = self.injectors[format]
    if not injector then
        error("Unknown format: " .. tostring(format), 2)
    end
    return injector(context, carrier)
end


--- Reads a context out of a carrier.
function _M:extract(format, carrier)
    local extractor = self.extractors[format]
    if not extractor then
        error("Unknown format: " .. tostring(format), 2)
    end
    return extractor(carrier)
end


return _M
