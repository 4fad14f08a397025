--- `opentelemetry.trace.batch_span_processor`: exports spans in batches, from a timer.
-- @module opentelemetry.trace.batch_span_processor
local now = ngx.now
local setmetatable = setmetatable
local timer_at = ngx.timer.at
local tostring = tostring

local _M = {}
local mt = { __index = _M }


--- A processor.
-- @tparam table exporter has `export_spans(self, spans)`
-- @tparam[opt] table opts `drop_on_queue_full` (true), `max_queue_size` (2048), `batch_timeout`
--   (5 seconds), `inactive_timeout` (2 seconds), `max_export_batch_size` (256)
function _M.new(exporter, opts)
    opts = opts or {}
    return setmetatable({
        exporter = exporter,
        drop_on_queue_full = opts.drop_on_queue_full ~= false,
        max_queue_size = opts.max_queue_size or 2048,
        batch_timeout = opts.batch_timeout or 5,
        inactive_timeout = opts.inactive_timeout or 2,
        max_export_batch_size = opts.max_export_batch_size or 256,
        queue = {}, first = 0, dropped = 0, waiting = false, closed = false,
    }, mt)
end


-- Exports full batches, and what is left if it is old enough or `all` is wanted.
local function export(self, all)
    while #self.queue > 0 do
        local old = now() - self.first >= self.batch_timeout
        if #self.queue < self.max_export_batch_size and not all and not old then
            return
        end
        local batch, rest = {}, {}
        for i, span in ipairs(self.queue) do
            if i <= self.max_export_batch_size then
                batch[i] = span
            else
                rest[#rest + 1] = span
            end
        end
        self.queue, self.first = rest, now()
        self.exporter:export_spans(batch)
    end
end


local function arm(self)
    if self.waiting then
        return
    end
    local ok, err = timer_at(self.inactive_timeout, function(premature)
        self.waiting = false
        export(self, premature)
        if #self.queue > 0 then
            arm(self)
        end
    end)
    if not ok then
        ngx.log(ngx.ERR, "failed to create timer: ", tostring(err))
        return
    end
    self.waiting = true
end


--- Takes a span that ended.
function _M:on_end(span)
    if not span.ctx:is_sampled() or self.closed then
        return
    end
    if #self.queue >= self.max_queue_size then
        self.dropped = self.dropped + 1
        return
    end
    if #self.queue == 0 then
        self.first = now()
    end
    self.queue[#self.queue + 1] = span
    arm(self)
end


--- Exports what there is.
function _M:force_flush()
    export(self, true)
end


function _M:flush_all()
    export(self, true)
end


function _M:shutdown()
    self:force_flush()
    self.closed = true
    self.exporter:shutdown()
end


function _M:get_queue_size()
    return #self.queue
end


return _M
