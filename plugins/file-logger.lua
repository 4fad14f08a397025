--- file-logger: writes one line of JSON per request to a file.
--
-- Reads the request body in `access` and the response body in `body_filter` if the conf asks
-- for them, writes in `log`. It refuses no request: what cannot be written is an error line.
local core = require("apisix.core")
local expr = require("resty.expr.v1")
local log_util = require("apisix.utils.log-util")
local plugin = require("apisix.plugin")

local now = ngx.now
local open = io.open
local pairs = pairs

local NAME = "file-logger"
local BODY_BYTES_MAX = 524288

-- A file that was renamed (rotated) is noticed at the latest after so many seconds.
local REOPEN_AFTER = 1

-- Metadata may name another file at any time, so they do not stay open for ever.
local FILES_MAX = 64


local function expression()
    return { type = "array", minItems = 1, items = { type = "array" } }
end


local schema = {
    type = "object",
    properties = {
        path = { type = "string" },
        log_format = { type = "object" },
        log_format_extra = { type = "object" },
        include_req_body = { type = "boolean", default = false },
        include_req_body_expr = expression(),
        include_resp_body = { type = "boolean", default = false },
        include_resp_body_expr = expression(),
        max_req_body_bytes = { type = "integer", minimum = 1, default = BODY_BYTES_MAX },
        max_resp_body_bytes = { type = "integer", minimum = 1, default = BODY_BYTES_MAX },
        match = { type = "array", maxItems = 20, items = { type = "array" } },
    },
}

local metadata_schema = {
    type = "object",
    properties = {
        path = { type = "string" },
        log_format = { type = "object" },
        log_format_extra = { type = "object" },
    },
}

local _M = {
    version = 0.1,
    priority = 399,
    name = NAME,
    schema = schema,
    metadata_schema = metadata_schema,
}


local function path_of(conf)
    if conf.path then
        return conf.path
    end
    local metadata = plugin.plugin_metadata(NAME)
    local path = metadata and metadata.value and metadata.value.path
    if path then
        return path
    end
    return nil, "property \"path\" is not set in either the plugin conf or the metadata"
end


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_METADATA then
        return core.schema.check(metadata_schema, conf)
    end

    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    if conf.match then
        ok, err = expr.new(conf.match)
        if not ok then
            return false, "failed to validate the 'match' expression: " .. err
        end
    end
    ok, err = log_util.check_log_schema(conf)
    if not ok then
        return false, err
    end
    if not path_of(conf) then
        return false, (select(2, path_of(conf)))
    end
    return true
end

-- ---------------------------------------------------------------------------
-- Files

-- Path -> the open file and when it was opened.
local files = {}
local file_count = 0


local function close_all()
    for path, entry in pairs(files) do
        entry.file:close()
        files[path] = nil
    end
    file_count = 0
end


local function open_file(path)
    local entry = files[path]
    local time = now()
    if entry and time - entry.opened < REOPEN_AFTER then
        return entry.file
    end

    if entry then
        entry.file:close()
        files[path] = nil
        file_count = file_count - 1
    elseif file_count >= FILES_MAX then
        close_all()
    end
    local file, err = open(path, "a")
    if not file then
        return nil, err
    end
    -- One write per line: lines of several workers must not mix.
    file:setvbuf("no")
    files[path] = { file = file, opened = time }
    file_count = file_count + 1
    return file
end


local function write(path, line)
    local file, err = open_file(path)
    if not file then
        core.log.error("failed to open file: ", path, ", error info: ", err)
        return
    end
    local ok
    ok, err = file:write(line)
    if not ok then
        core.log.error("failed to write file: ", path, ", error info: ", err)
    end
end


_M.access = log_util.check_and_read_req_body
_M.body_filter = log_util.collect_body
_M.destroy = close_all


function _M.log(conf, ctx)
    local entry = log_util.get_log_entry(NAME, conf, ctx)
    if not entry then
        return
    end
    local path, err = path_of(conf)
    if not path then
        core.log.error(err)
        return
    end
    local text
    text, err = core.json.encode(entry)
    if not text then
        core.log.error("failed to encode the log entry: ", err)
        return
    end
    write(path, text .. "\n")
end


return _M
