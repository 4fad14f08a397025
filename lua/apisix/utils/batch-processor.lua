--- `apisix.utils.batch-processor`: collects entries and hands them over in batches.
-- @module apisix.utils.batch-processor
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local schema_check = require("apisix.core.schema").check

local exiting = host.exiting
local ipairs = ipairs
local loaded = package.loaded
local now = host.time.now
local pcall = pcall
local setmetatable = setmetatable
local timer_at = host.timer_at
local type = type

local _M = {
    schema = {
        type = "object",
        properties = {
            name = { type = "string", default = "log buffer" },
            max_retry_count = { type = "integer", minimum = 0, default = 0 },
            retry_delay = { type = "integer", minimum = 0, default = 1 },
            buffer_duration = { type = "integer", minimum = 1, default = 60 },
            inactive_timeout = { type = "integer", minimum = 1, default = 5 },
            batch_max_size = { type = "integer", minimum = 1, default = 1000 },
        },
    },
}
local mt = { __index = _M }

local gauge


-- How many entries wait, if the prometheus plugin is loaded.
local function set_metric(self, count)
    if not self.route_id or not self.server_addr then
        return
    end
    if not gauge then
        local exporter = loaded["apisix.plugins.prometheus.exporter"]
        local prometheus = type(exporter) == "table" and exporter.get_prometheus
                           and exporter.get_prometheus()
        if not prometheus then
            return
        end
        gauge = prometheus:gauge("batch_process_entries", "batch process remaining entries",
                                 { "name", "route_id", "server_addr" })
    end
    gauge:set(count, { self.name, self.route_id, self.server_addr })
end


-- A timer that also works while the worker ends: then it runs at once.
local function schedule(delay, func, ...)
    local ok, err = timer_at(delay, func, false, ...)
    if not ok and err == "process exiting" then
        ok, err = timer_at(0, func, false, ...)
    end
    if not ok then
        log.error("failed to create a timer of the batch processor: ", err)
    end
    return ok
end


local execute


local function retry(self, batch)
    batch.retry_count = batch.retry_count + 1
    if batch.retry_count <= self.max_retry_count and #batch.entries > 0
       and schedule(self.retry_delay, execute, self, batch) then
        return
    end
    self.processed_entries = self.processed_entries + #batch.entries
    log.error("Batch Processor[", self.name, "] exceeded the max_retry_count[",
              batch.retry_count, "] dropping the entries")
end


-- What is left of a batch whose entries before `first` were delivered.
local function rest_of(entries, first)
    local rest = {}
    for i = first, #entries do
        rest[#rest + 1] = entries[i]
    end
    return rest
end


function execute(_, self, batch)
    local entries = batch.entries
    local called, ok, err, first_fail = pcall(self.func, entries, self.batch_max_size)
    if not called then
        ok, err, first_fail = false, ok, nil
    end
    if ok then
        self.processed_entries = self.processed_entries + #entries
        return
    end

    if first_fail then
        log.error("Batch Processor[", self.name, "] failed to process entries [",
                  #entries + 1 - first_fail, "/", #entries, "]: ", err)
        batch.entries = rest_of(entries, first_fail)
        self.processed_entries = self.processed_entries + first_fail - 1
    else
        log.error("Batch Processor[", self.name, "] failed to process entries: ", err)
    end
    retry(self, batch)
end


local watch


local function flush(premature, self)
    local time = now()
    if premature or exiting() or time - self.newest_at >= self.inactive_timeout
       or time - self.oldest_at >= self.buffer_duration then
        self:process_buffer()
        self.is_watched = false
        return
    end
    watch(self)
end


function watch(self)
    self.is_watched = schedule(self.inactive_timeout, flush, self) and true or false
end


--- A processor.
-- @tparam function func func(entries, batch_max_size) -> ok, error, index of the first entry
--   that was not delivered
-- @tparam table config see `schema`; also `route_id` and `server_addr` for the metric
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(func, config)
    local ok, err = schema_check(_M.schema, config)
    if not ok then
        return nil, err
    end
    if type(func) ~= "function" then
        return nil, "Invalid argument, arg #1 must be a function"
    end

    log.debug("creating new batch processor with config: ", json.delay_encode(config, true))
    return setmetatable({
        func = func,
        name = config.name,
        batch_max_size = config.batch_max_size,
        buffer_duration = config.buffer_duration,
        inactive_timeout = config.inactive_timeout,
        max_retry_count = config.max_retry_count,
        retry_delay = config.retry_delay,
        route_id = config.route_id,
        server_addr = config.server_addr,
        current = { entries = {}, retry_count = 0 },
        waiting = {},
        processed_entries = 0,
        oldest_at = 0,
        newest_at = 0,
        is_watched = false,
    }, mt)
end


--- Adds an entry. A full batch is handed over at once, another after `inactive_timeout`
-- without entries or `buffer_duration`.
function _M:push(entry)
    if self.batch_max_size == 1 then
        schedule(0, execute, self, { entries = { entry }, retry_count = 0 })
        return
    end

    local entries = self.current.entries
    entries[#entries + 1] = entry
    set_metric(self, #entries)

    self.newest_at = now()
    if #entries == 1 then
        self.oldest_at = self.newest_at
    end
    if #entries >= self.batch_max_size then
        self:process_buffer()
    end
    if not self.is_watched then
        watch(self)
    end
end


--- Hands over what was collected.
function _M:process_buffer()
    if #self.current.entries > 0 then
        self.waiting[#self.waiting + 1] = self.current
        self.current = { entries = {}, retry_count = 0 }
        set_metric(self, 0)
    end

    local batches = self.waiting
    self.waiting = {}
    for _, batch in ipairs(batches) do
        schedule(0, execute, self, batch)
    end
end


return _M
