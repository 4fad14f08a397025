--- `apisix.utils.batch-processor-manager`: one batch processor per conf of a logger.
-- @module apisix.utils.batch-processor-manager
local batch_processor = require("apisix.utils.batch-processor")
local core_table = require("apisix.core.table")
local host = require("moongate.host")
local log = require("apisix.core.log")
local plugin = require("apisix.plugin")

local now = host.time.now
local pairs = pairs
local setmetatable = setmetatable
local timer_at = host.timer_at

local PENDING_MAX = 8192
local REPORT_INTERVAL = 1

local stale_interval = 1800

local _M = {}
local mt = { __index = _M }


--- A manager.
-- @tparam string name default name of its processors
-- @tparam[opt] string plugin_name whose metadata limits the backlog; `name` if nil
function _M.new(name, plugin_name)
    return setmetatable({
        name = name,
        plugin_name = plugin_name or name,
        buffers = {},
        is_watching = false,
        total_pushed_entries = 0,
        done_before = 0,
        done_seen = 0,
        dropped = 0,
        reported_at = 0,
    }, mt)
end


--- Adds the processor's fields to a logger's schema.
function _M:wrap_schema(schema)
    local properties = schema.properties
    for name, field in pairs(core_table.deepcopy(batch_processor.schema.properties)) do
        if not properties[name] then
            properties[name] = field
        end
    end
    properties.name.default = self.name
    return schema
end


--- Adds the limit of the backlog to a logger's metadata schema.
function _M:wrap_metadata_schema(schema)
    schema.properties.max_pending_entries = {
        type = "integer",
        minimum = 1,
        default = PENDING_MAX,
        description = "entries that may wait; when more do, new ones are dropped",
    }
    return schema
end


local function remove_stale(premature, self)
    if premature then
        return
    end
    for key, batch in pairs(self.buffers) do
        if #batch.current.entries == 0 and #batch.waiting == 0 then
            log.info("removing batch processor stale object, conf: ", key)
            self.done_before =
                self.done_before + batch.processed_entries
            self.buffers[key] = nil
        end
    end
    self.is_watching = false
end


local function watch_stale(self)
    if not self.is_watching then
        self.is_watching =
            timer_at(stale_interval, remove_stale, false, self) and true or false
    end
end


--- Seconds between two looks for processors that nothing is pushed to any more.
function _M.set_check_stale_interval(seconds)
    stale_interval = seconds
end


local function processed(self)
    local count = self.done_before
    for _, buffer in pairs(self.buffers) do
        count = count + buffer.processed_entries
    end
    return count
end


local function limit_of(self)
    local metadata = plugin.plugin_metadata(self.plugin_name)
    return metadata and metadata.value and metadata.value.max_pending_entries or PENDING_MAX
end


-- Counts anew only when the last count would mean that the limit is reached.
local function is_full(self, limit)
    if self.total_pushed_entries - self.done_seen < limit then
        return false
    end
    self.done_seen = processed(self)
    return self.total_pushed_entries - self.done_seen >= limit
end


local function report_discard(self, limit)
    self.dropped = self.dropped + 1
    local time = now()
    if time - self.reported_at < REPORT_INTERVAL then
        return
    end

    log.error("max pending entries limit exceeded. discarding entry.",
              " total_pushed_entries: ", self.total_pushed_entries,
              " total_processed_entries: ", self.done_seen,
              " max_pending_entries: ", limit,
              " discarded_entries: ", self.dropped)
    self.reported_at = time
    self.dropped = 0
end


local function push(self, buffer, entry)
    buffer:push(entry)
    self.total_pushed_entries = self.total_pushed_entries + 1
    return true
end


--- Adds an entry to the processor of `conf`.
-- @treturn boolean false if there is none yet: call `add_entry_to_new_processor`
function _M:add_entry(conf, entry)
    local limit = limit_of(self)
    if is_full(self, limit) then
        report_discard(self, limit)
        return true
    end
    watch_stale(self)

    local buffer = self.buffers[plugin.conf_version(conf)]
    if not buffer then
        return false
    end
    return push(self, buffer, entry)
end


--- Makes the processor of `conf` and adds the entry.
-- @tparam table conf
-- @param entry
-- @tparam table ctx
-- @tparam function func see `batch-processor`
-- @treturn boolean|nil
function _M:add_entry_to_new_processor(conf, entry, ctx, func)
    if is_full(self, limit_of(self)) then
        return nil
    end
    watch_stale(self)

    local buffer, err = batch_processor:new(func, {
        name = conf.name,
        batch_max_size = conf.batch_max_size,
        max_retry_count = conf.max_retry_count,
        retry_delay = conf.retry_delay,
        buffer_duration = conf.buffer_duration,
        inactive_timeout = conf.inactive_timeout,
        route_id = ctx.var.route_id,
        server_addr = ctx.var.server_addr,
    })
    if not buffer then
        log.error("error when creating the batch processor: ", err)
        return false
    end
    self.buffers[plugin.conf_version(conf)] = buffer
    return push(self, buffer, entry)
end


return _M
