--- http-logger: posts log entries to a server, in batches.
--
-- Reads the request body in `access` and the response body in `body_filter` if the conf asks
-- for them, collects in `log`, sends in a timer. It refuses no request: a batch that cannot
-- be delivered is tried again and then dropped with an error line.
local core = require("apisix.core")
local http = require("resty.http")
local log_util = require("apisix.utils.log-util")
local manager_of = require("apisix.utils.batch-processor-manager").new
local url = require("net.url")

local ipairs = ipairs
local tostring = tostring

local NAME = "http-logger"
local BODY_BYTES_MAX = 524288
local SERVER_ERROR_MIN = 400

local manager = manager_of("http logger", NAME)


local function expression()
    return { type = "array", minItems = 1, items = { type = "array" } }
end


local schema = manager:wrap_schema({
    type = "object",
    properties = {
        uri = core.schema.uri_def,
        auth_header = { type = "string" },
        timeout = { type = "integer", minimum = 1, default = 3 },
        log_format = { type = "object" },
        log_format_extra = { type = "object" },
        include_req_body = { type = "boolean", default = false },
        include_req_body_expr = expression(),
        include_resp_body = { type = "boolean", default = false },
        include_resp_body_expr = expression(),
        max_req_body_bytes = { type = "integer", minimum = 1, default = BODY_BYTES_MAX },
        max_resp_body_bytes = { type = "integer", minimum = 1, default = BODY_BYTES_MAX },
        concat_method = { type = "string", default = "json", enum = { "json", "new_line" } },
        ssl_verify = { type = "boolean", default = false },
    },
    required = { "uri" },
    encrypt_fields = { "auth_header" },
})

local metadata_schema = manager:wrap_metadata_schema({
    type = "object",
    properties = {
        log_format = { type = "object" },
        log_format_extra = { type = "object" },
    },
})

local _M = {
    version = 0.1,
    priority = 410,
    name = NAME,
    schema = schema,
    metadata_schema = metadata_schema,
}


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_METADATA then
        return core.schema.check(metadata_schema, conf)
    end
    core.utils.check_https({ "uri" }, conf, NAME)
    core.utils.check_tls_bool({ "ssl_verify" }, conf, NAME)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    return log_util.check_log_schema(conf)
end


local function place(target)
    return "host[" .. target.host .. "] port[" .. tostring(target.port) .. "] "
end


local function connect(conf, target)
    local client, err = http.new()
    if not client then
        return nil, "failed to create a client: " .. tostring(err)
    end
    client:set_timeout(conf.timeout * 1000)
    local ok
    ok, err = client:connect(target.host, target.port)
    if not ok then
        return nil, "failed to connect to " .. place(target) .. err
    end
    if target.scheme == "https" then
        ok, err = client:ssl_handshake(true, target.host, conf.ssl_verify)
        if not ok then
            return nil, "failed to perform SSL with " .. place(target) .. err
        end
    end
    return client
end


local function target_of(uri)
    local parts = url.parse(uri)
    return {
        scheme = parts.scheme,
        host = parts.host,
        port = parts.port or parts.scheme == "https" and 443 or 80,
        path = parts.path ~= "" and parts.path or "/",
        query = parts.query,
    }
end


local function send(conf, body)
    local target = target_of(conf.uri)
    core.log.info("sending a batch logs to ", conf.uri)
    local client, err = connect(conf, target)
    if not client then
        return false, err
    end

    local answer
    answer, err = client:request({
        method = "POST",
        path = target.path,
        query = target.query and tostring(target.query) or nil,
        body = body,
        headers = {
            ["Host"] = target.host,
            ["Content-Type"] = conf.concat_method == "json" and "application/json"
                               or "text/plain",
            ["Authorization"] = conf.auth_header,
        },
    })
    if not answer then
        client:close()
        return false, "error while sending data to [" .. target.host .. "] port["
                      .. tostring(target.port) .. "] " .. err
    end

    local text = answer:read_body()
    if answer.status >= SERVER_ERROR_MIN then
        client:close()
        return false, "server returned status code[" .. answer.status .. "] " .. place(target)
                      .. "body[" .. tostring(text) .. "]"
    end
    client:set_keepalive()
    return true
end


local function lines(entries)
    local texts = {}
    for _, entry in ipairs(entries) do
        local text, err = core.json.encode(entry)
        if text then
            texts[#texts + 1] = text
        else
            core.log.warn("failed to encode http log: ", err)
        end
    end
    return core.table.concat(texts, "\n")
end


-- A conf whose batches hold one entry sends the entry itself, not a list of one.
local function encoded(conf, entries, batch_max_size)
    if batch_max_size == 1 then
        return core.json.encode(entries[1])
    end
    if conf.concat_method == "new_line" then
        return lines(entries)
    end
    return core.json.encode(entries)
end


_M.access = log_util.check_and_read_req_body
_M.body_filter = log_util.collect_body


function _M.log(conf, ctx)
    local entry = log_util.get_log_entry(NAME, conf, ctx)
    if not entry then
        return
    end
    entry.route_id = entry.route_id or "no-matched"
    if manager:add_entry(conf, entry) then
        return
    end

    manager:add_entry_to_new_processor(conf, entry, ctx, function(entries, batch_max_size)
        local body, err = encoded(conf, entries, batch_max_size)
        if not body then
            return false, "error occurred while encoding the data: " .. tostring(err)
        end
        return send(conf, body)
    end)
end


return _M
