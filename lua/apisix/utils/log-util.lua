--- `apisix.utils.log-util`: what logger plugins write about a request.
-- @module apisix.utils.log-util
local bodies = require("apisix.utils.log-bodies")
local expr = require("resty.expr.v1")
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local lrucache = require("apisix.core.lrucache")
local plugin = require("apisix.plugin")
local req = require("moongate.api.req")
local request = require("apisix.core.request")
local resp = require("moongate.api.resp")
local utils = require("apisix.core.utils")
local version = require("apisix.core.version")

local byte = string.byte
local concat = table.concat
local date = os.date
local floor = math.floor
local format = string.format
local gmatch = string.gmatch
local next = next
local ngx_ctx = host.ngx_ctx
local now = host.time.now
local pairs = pairs
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local update_time = host.time.update

local DEPTH_MAX = 5
local DOLLAR = byte("$")

local formats = lrucache.new({ ttl = 300, count = 512 })

local _M = {
    collect_body = bodies.collect_body,
    check_and_read_req_body = bodies.check_and_read_req_body,
}


-- A log format taken apart: name -> { var = name } | { fields = ... } | { value = any }.
local function compile(log_format, depth)
    local compiled = {}
    for name, value in pairs(log_format) do
        if type(value) == "table" then
            if depth >= DEPTH_MAX then
                log.warn("log_format nesting exceeds max depth ", DEPTH_MAX, ", truncating")
                compiled[name] = { fields = {} }
            else
                compiled[name] = { fields = compile(value, depth + 1) }
            end
        elseif type(value) == "string" and byte(value, 1) == DOLLAR then
            compiled[name] = { var = sub(value, 2) }
        else
            compiled[name] = { value = value }
        end
    end
    return compiled
end


local function fill(ctx, compiled, max_body)
    local entry = {}
    for name, part in pairs(compiled) do
        if part.fields then
            entry[name] = fill(ctx, part.fields, max_body)
        elseif part.var == "request_body" then
            local body, err = bodies.request_body(max_body)
            if err then
                log.error("fail to get request body: ", err)
            end
            entry[name] = body
        elseif part.var then
            entry[name] = ctx.var[part.var]
        else
            entry[name] = part.value
        end
    end
    return entry
end


local function custom_log(ctx, log_format, max_body)
    local compiled = formats(log_format or "", nil, compile, log_format or {}, 1)
    local entry = fill(ctx, compiled, max_body)
    local route = ctx.matched_route and ctx.matched_route.value
    if route then
        entry.service_id = route.service_id
        entry.route_id = route.id
    end
    return entry
end


--- The entry that a `log_format` describes.
-- @tparam table ctx
-- @tparam table log_format name -> text, "$variable" or a nested table
-- @tparam[opt] number max_body bytes of `$request_body`
function _M.get_custom_format_log(ctx, log_format, max_body)
    return custom_log(ctx, log_format, max_body)
end


--- Puts another function in place of `get_custom_format_log`.
function _M.inject_get_custom_format_log(func)
    custom_log = func
    _M.get_custom_format_log = func
end


-- Several upstreams were tried: "0.001, 0.002", or "-" for one that did not answer.
local function sum(tries)
    local total
    for seconds in gmatch(tries, "[%d.]+") do
        total = (total or 0) + (tonumber(seconds) or 0)
    end
    return total
end


--- Milliseconds: of the request, of the upstream (nil without one), of the gateway alone.
function _M.latency_details_in_ms(ctx)
    local latency = (now() - req.start_time()) * 1000
    local tries = ctx.var.upstream_response_time
    local upstream_seconds = tries and (tonumber(tries) or sum(tries))
    if not upstream_seconds then
        return latency, nil, latency
    end

    local upstream_latency = upstream_seconds * 1000
    local own = latency - upstream_latency
    return latency, upstream_latency, own < 0 and 0 or own
end


local function server_entry()
    return { hostname = utils.gethostname(), version = version.VERSION }
end


local function request_entry(ctx, var)
    return {
        url = var.scheme .. "://" .. var.host .. ":" .. var.server_port .. var.request_uri,
        uri = var.request_uri,
        method = req.get_method(),
        headers = ctx.data_mask_headers or (req.get_headers()),
        querystring = (req.get_uri_args()),
        size = var.request_length,
    }
end


local function full_log(_, conf)
    local ctx = ngx_ctx().api_ctx
    local var = ctx.var
    local route = ctx.matched_route and ctx.matched_route.value
    local latency, upstream_latency, own = _M.latency_details_in_ms(ctx)

    local entry = {
        request = request_entry(ctx, var),
        response = {
            status = host.resp_status(),
            headers = (resp.get_headers()),
            size = var.bytes_sent,
        },
        server = server_entry(),
        upstream = var.upstream_addr,
        service_id = route and (route.service_id or "") or var.host,
        route_id = route and route.id or nil,
        consumer = ctx.consumer and { username = ctx.consumer.username } or nil,
        client_ip = request.get_remote_client_ip(ctx),
        start_time = req.start_time() * 1000,
        latency = latency,
        upstream_latency = upstream_latency,
        apisix_latency = own,
    }
    if conf.include_resp_body then
        entry.response.body = ctx.resp_body
    end
    if conf.include_req_body and bodies.wants_request_body(conf, ctx) then
        local body, err = bodies.request_body(conf.max_req_body_bytes)
        if err then
            log.error("fail to get request body: ", err)
            return nil
        end
        entry.request.body = body
    end
    return entry
end


--- The entry that a logger writes without a `log_format`.
-- @param ngx ignored: there is one request at a time
-- @tparam table conf of the logger
function _M.get_full_log(ngx, conf)
    return full_log(ngx, conf)
end


--- Puts another function in place of `get_full_log`.
function _M.inject_get_full_log(func)
    full_log = func
    _M.get_full_log = func
end


local function matches_any(rules, ctx)
    for _, rule in pairs(rules) do
        local object, err = expr.new(rule)
        if not object then
            log.error("failed to create the expression of match: ", err)
        elseif object:eval(ctx.var) then
            return true
        end
    end
    return false
end


local function non_empty(t)
    return t and next(t) ~= nil and t or nil
end


-- Adds what `log_format_extra` names, where the entry does not have it.
local function add_extra(entry, extra_format, ctx, conf)
    local values = custom_log(ctx, extra_format, conf.max_req_body_bytes)
    local extra = {}
    for name in pairs(extra_format) do
        extra[name] = values[name]
        if entry[name] == nil then
            entry[name] = values[name]
        end
    end
    return extra
end


--- The entry of a request as the logger's conf and metadata want it.
-- @tparam string plugin_name
-- @tparam table conf
-- @tparam table ctx
-- @treturn table|nil entry; nil if `conf.match` does not match
-- @treturn boolean whether a `log_format` made it
-- @treturn table|nil the part that `log_format_extra` added
function _M.get_log_entry(plugin_name, conf, ctx)
    if conf.match and not matches_any(conf.match, ctx) then
        return nil
    end

    local metadata = plugin.plugin_metadata(plugin_name)
    local shared = metadata and metadata.value or {}
    log.info("metadata: ", json.delay_encode(metadata))

    local log_format = conf.log_format or non_empty(shared.log_format)
    local entry, extra
    if log_format then
        entry = custom_log(ctx, log_format, conf.max_req_body_bytes)
    else
        entry = full_log(nil, conf)
        local extra_format = conf.log_format_extra
        if extra_format == nil then
            extra_format = shared.log_format_extra
        end
        if entry and non_empty(extra_format) then
            extra = add_extra(entry, extra_format, ctx, conf)
        end
    end

    if entry then
        entry.llm_summary = ctx.llm_summary or entry.llm_summary
        entry.llm_request = ctx.llm_request or entry.llm_request
        entry.llm_response_text = ctx.llm_response_text or entry.llm_response_text
    end
    return entry, log_format ~= nil, extra
end


--- The request as it came: request line, headers, and the body if the conf wants it.
function _M.get_req_original(ctx, conf)
    local parts = { ctx.var.request, "\r\n" }
    for name, value in pairs(ctx.data_mask_headers or (req.get_headers())) do
        if type(value) == "table" then
            value = concat(value, ", ")
        end
        parts[#parts + 1] = name .. ": " .. tostring(value) .. "\r\n"
    end
    parts[#parts + 1] = "\r\n"
    if conf.include_req_body then
        parts[#parts + 1] = bodies.request_body(conf.max_req_body_bytes) or ""
    end
    return concat(parts)
end


--- Checks the expressions in a logger's conf.
function _M.check_log_schema(conf)
    for _, name in pairs({ "include_req_body_expr", "include_resp_body_expr" }) do
        if conf[name] then
            local ok, err = expr.new(conf[name])
            if not ok then
                return nil, "failed to validate the '" .. name .. "' expression: " .. err
            end
        end
    end
    return true
end


--- "2026-01-02T03:04:05.678Z".
-- @tparam[opt] number timestamp seconds, otherwise now
function _M.get_rfc3339_zulu_timestamp(timestamp)
    if not timestamp then
        update_time()
        timestamp = now()
    end
    local second = floor(timestamp)
    return date("!%Y-%m-%dT%T.", second) .. format("%03dZ", floor((timestamp - second) * 1000))
end


return _M
