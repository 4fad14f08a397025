--- `resty.t1k`: asks the detection service of the firewall SafeLine about each request.
--
--     local ok, err, result = t1k.do_access({ mode = "block", host = "127.0.0.1", port = 8000 })
--     -- result.action "." or "?", result.status "403", result.event_id
--
-- It never decides what becomes of a request that the service could not be asked about: that is
-- an error, and the caller's matter. The bytes that go to and fro are in `moongate.t1k`.
-- @module resty.t1k
local random_bytes = require("moongate.host").crypto.random_bytes
local wire = require("moongate.t1k")

local band = bit.band
local bor = bit.bor
local byte = string.byte
local char = string.char
local concat = table.concat
local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local max = math.max
local ngx = ngx
local open = io.open
local pairs = pairs
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local to_hex = require("resty.string").to_hex
local type = type

local PASSED, BLOCKED = ".", "?"
-- What `do_handle` tells a client, with the status and the event.
local BLOCKED_BODY = '{"code": %s, "success":false, "message": "blocked by Chaitin SafeLine Web '
                     .. 'Application Firewall", "event_id": "%s"}'
-- Milliseconds; the body in kilobytes.
local DEFAULTS = {
    connect_timeout = 1000, send_timeout = 1000, read_timeout = 1000, req_body_size = 1024,
    keepalive_size = 256, keepalive_timeout = 60000,
}

local _M = { _VERSION = "1.0.0" }


local function named(text, ...)
    return format("lua-resty-t1k: " .. text, ...)
end


local function debug(text, ...)
    ngx.log(ngx.DEBUG, named(text, ...))
end


-- The variable that "X-Forwarded-For: 1" names, and the number.
local function variable(text)
    local name, number = match(text, "^([^:]*):(.*)$")
    name = gsub(lower(name or text), "-", "_")
    if sub(name, 1, 5) ~= "http_" then
        name = "http_" .. name
    end
    return name, tonumber(number)
end


-- The part of that number of a list with commas or blanks; -1 is the last one. Without a number
-- all of it.
local function part_of(list, number)
    if not list or not number or number == 0 then
        return list
    end
    local parts = {}
    for part in gmatch(list, "[^,%s]+") do
        parts[#parts + 1] = part
    end
    return parts[number > 0 and number or #parts + 1 + number]
end


local function remote_addr(opts)
    local found = opts.variable and part_of(ngx.var[opts.variable], opts.number)
    return found or opts.client_ip or ngx.var.remote_addr
end


-- The head as it came, or, where it came in binary, as it would have been.
local function request_head()
    local version = ngx.req.http_version()
    if not version or version < 2 then
        return ngx.req.raw_header()
    end
    local fields, err = ngx.req.get_headers(0, true)
    if err then
        return nil, "failed to call ngx_req.get_headers: " .. err
    end
    local lines = { format("%s %s HTTP/%.1f\r\n", ngx.req.get_method(), ngx.var.request_uri,
                           version) }
    for name, value in pairs(fields) do
        value = type(value) == "table" and concat(value, ", ") or tostring(value)
        lines[#lines + 1] = name .. ": " .. value .. "\r\n"
    end
    lines[#lines + 1] = "\r\n"
    return concat(lines)
end


-- The first `size` bytes of the body; nil if there is none. In HTTP/2 a body comes without any
-- field that announces it.
local function request_body(size)
    local fields = ngx.var
    if (tonumber(fields.http_content_length) or 0) == 0 and not fields.http_transfer_encoding
        and (ngx.req.http_version() or 0) < 2
    then
        return nil
    end
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    if body then
        if #body > size then
            debug("request body is too long: %d bytes, cut to %d bytes", #body, size)
        end
        return sub(body, 1, size)
    end
    local path = ngx.req.get_body_file()
    if not path then
        return nil
    end
    local file, err = open(path, "rb")
    if not file then
        return nil, format("failed to read temporary file %s: %s", path, err)
    end
    body = file:read(size)
    file:close()
    return body or ""
end


-- 32 hexadecimal digits, random but for the bits that tell a UUID's version and variant.
local function uuid()
    local bytes = random_bytes(16)
    local version = char(bor(band(byte(bytes, 7), 0x0f), 0x40))
    local variant = char(bor(band(byte(bytes, 9), 0x3f), 0x80))
    return to_hex(sub(bytes, 1, 6) .. version .. sub(bytes, 8, 8) .. variant .. sub(bytes, 10))
end


-- What the gateway knows of a request beyond its bytes: a line for each.
local function request_extra(opts)
    local var = ngx.var
    local client = remote_addr(opts)
    if not client then
        return nil, format("failed to get remote_addr, var: %s, idx %s", opts.variable, opts.number)
    end
    for _, name in ipairs({ "remote_port", "server_addr", "server_port" }) do
        if not var[name] then
            return nil, "failed to get ngx_var." .. name
        end
    end
    return concat({
        "UUID:", uuid(), "\nRemoteAddr:", client, "\nRemotePort:", var.remote_port,
        "\nLocalAddr:", var.server_addr, "\nLocalPort:", var.server_port,
        "\nScheme:", var.scheme, "\nServerName:", var.server_name or "",
        "\nProxyName:", var.hostname,
        -- Microseconds.
        "\nReqBeginTime:", format("%.0f", ngx.req.start_time() * 1000000),
        -- Whether the response will be shown as well.
        "\nHasRspIfOK:n\nHasRspIfBlock:n\n",
    })
end


local function ask(opts)
    local head, err = request_head()
    if not head then
        return nil, err
    end
    local body
    body, err = request_body(opts.body_bytes)
    if err then
        return nil, err
    end
    local extra
    extra, err = request_extra(opts)
    if not extra then
        return nil, err
    end
    local parts
    parts, err = wire.ask(opts, { head = head, body = body, extra = extra })
    if not parts then
        return nil, err
    end
    if opts.mode == "block" then
        ngx.ctx.t1k_extra_header = parts[wire.EXTRA_HEADER] or ngx.ctx.t1k_extra_header
    end
    local told = parts[wire.EXTRA_BODY]
    local event = told and (match(told, "<!%-%- event_id: (%w+) %-%->")
                            or match(told, "<!%-%- event_id: (%w+) TYPE: %a %-%->"))
    return { action = parts[wire.HEAD], status = parts[wire.BODY], event_id = event }
end


-- What `do_access` was given, with the defaults.
local function settings(given, mode)
    if mode ~= "block" and mode ~= "monitor" then
        return nil, named("invalid t1k mode: %s", given.mode)
    elseif not given.host then
        return nil, named("invalid t1k host: %s", given.host)
    end
    local opts = { mode = mode, host = given.host, uds = find(given.host, "^unix:") ~= nil,
                   client_ip = given.client_ip }
    if not opts.uds then
        opts.port = tonumber(given.port)
        if not opts.port then
            return nil, named("invalid t1k port: %s", given.port)
        end
    end
    for name, value in pairs(DEFAULTS) do
        opts[name] = given[name] or value
    end
    opts.body_bytes = max(opts.req_body_size * 1024, 0)
    if given.remote_addr then
        opts.variable, opts.number = variable(given.remote_addr)
    end
    return opts
end


--- Asks the service about the request.
-- @tparam table t `mode` is "block", "monitor", or "off" (which is the default: nobody is asked);
--   `host`, an address, a name or "unix:" and a path; `port`; `connect_timeout`, `send_timeout`,
--   `read_timeout` and `keepalive_timeout` in milliseconds; `keepalive_size`; `req_body_size`,
--   how many kilobytes of the body are shown; `remote_addr`, the field that tells where the client
--   is, if not the connection, with ": N" for the Nth of a list; `client_ip`, what to tell if that
--   field is not there, as the plugin chaitin-waf says it (the original takes the connection's)
-- @tparam[opt] boolean handle in mode "block": `do_handle` what comes
-- @treturn boolean|nil true unless there is an error
-- @treturn nil|string error
-- @treturn table|nil `action` "." (let it pass) or "?" (block it); `status`, text, and `event_id`
--   if it is to be blocked
function _M.do_access(t, handle)
    t = t or {}
    local mode = t.mode and lower(t.mode)
    if not mode then
        return true
    elseif mode == "off" then
        debug("t1k is not enabled")
        return true
    end
    local opts, err = settings(t, mode)
    if not opts then
        return nil, err
    end
    local result
    result, err = ask(opts)
    if not result then
        return nil, err
    end
    if handle and mode == "block" then
        local ok
        ok, err = _M.do_handle(result)
        return ok, err, result
    end
    return true, nil, result
end


--- Ends a request that is to be blocked.
-- @tparam table t what `do_access` returned
-- @treturn boolean|nil true if it passes
-- @treturn nil|string error
function _M.do_handle(t)
    if type(t) ~= "table" then
        return nil, named("invalid result type: %s", type(t))
    end
    if t.action == PASSED then
        return true
    elseif t.action ~= BLOCKED then
        return nil, named("unknown action from t1k server: %s", t.action)
    end
    ngx.status = tonumber(t.status) or ngx.HTTP_FORBIDDEN
    ngx.header.content_type = "application/json"
    ngx.say(format(BLOCKED_BODY, ngx.status, t.event_id))
    return ngx.exit(ngx.status)
end


--- Gives the response the fields that the service wants it to have: a cookie of its own, mostly.
-- Lines that are none are left out.
function _M.do_header_filter()
    for line in gmatch(ngx.ctx.t1k_extra_header or "", "[^\r\n]+") do
        local name, value = match(line, "^([^:]+):(.*)$")
        if name then
            ngx.header[name] = value
        end
    end
end


return _M
