--- The wire of T1K, in which gateways ask SafeLine's detection service about a request.
--
-- A message is a row of parts: a byte with the tag in its lower six bits, four bytes with the
-- length (the lowest first), and so many bytes. Bit 6 of the first byte marks the first part of a
-- message, bit 7 the last one. This is version 2, as the library of APISIX 3.18 speaks it.
-- @module moongate.t1k
local log = ngx.log
local tcp = ngx.socket.tcp

local band = bit.band
local byte = string.byte
local char = string.char
local floor = math.floor
local format = string.format
local ipairs = ipairs

local WARN = ngx.WARN

local FIRST, LAST, TAG = 0x40, 0x80, 0x3f
local HEAD_BYTES = 5
local VERSION = "Proto:2\n"
-- The service answers with some hundred bytes. More than this is not read.
local ANSWER_BYTES_MAX = 1024 * 1024

local _M = {
    -- In a request: its head, its body, what the gateway knows of it. In an answer: the verdict,
    -- the status, and two of the service's own.
    HEAD = 0x01, BODY = 0x02, EXTRA = 0x03, VERSION = 0x20, EXTRA_HEADER = 0x23, EXTRA_BODY = 0x24,
}


-- What stands before the bytes of a part.
local function lead(tag, size)
    return char(tag, size % 256, floor(size / 256) % 256, floor(size / 65536) % 256,
                floor(size / 16777216) % 256)
end


local function warn(text, ...)
    log(WARN, "lua-resty-t1k: ", format(text, ...))
end


-- Sets what a connection keeps while it is in the pool.
local function prepare(sock, opts, server)
    local count, err = sock:getreusedtimes()
    if not count then
        warn("failed to get reused times from t1k server %s: %s", server, err)
    end
    if count ~= 0 then
        return
    end
    for _, name in ipairs({ "keepalive", "reuseaddr", "tcp-nodelay" }) do
        if not (opts.uds and name == "tcp-nodelay") then
            local ok
            ok, err = sock:setoption(name, true)
            if not ok then
                warn("failed to set %s for t1k server %s: %s", name, server, err)
            end
        end
    end
end


local function connect(opts, server)
    local sock, err = tcp()
    if not sock then
        return nil, "failed to create socket: " .. err
    end
    sock:settimeouts(opts.connect_timeout, opts.send_timeout, opts.read_timeout)
    local ok
    if opts.uds then
        ok, err = sock:connect(opts.host)
    else
        ok, err = sock:connect(opts.host, opts.port)
    end
    if not ok then
        sock:close()
        return nil, format("failed to connect to t1k server %s: %s", server, err)
    end
    prepare(sock, opts, server)
    return sock
end


local function send(sock, request)
    local head, body, extra = request.head, request.body, request.extra
    local ok, err = sock:send({ lead(_M.HEAD + FIRST, #head), head })
    if not ok then
        return "header", err
    end
    if body then
        ok, err = sock:send({ lead(_M.BODY, #body), body })
        if not ok then
            return "body", err
        end
    end
    ok, err = sock:send({ lead(_M.VERSION, #VERSION), VERSION,
                          lead(_M.EXTRA + LAST, #extra), extra })
    if not ok then
        return "extra", err
    end
end


-- Reads parts to the last one. A part without bytes is as good as none, and of two with one tag
-- the later counts; nobody needs to know all tags.
local function receive(sock, server)
    local parts, total = {}, 0
    local kind
    repeat
        local head, err = sock:receive(HEAD_BYTES)
        if not head then
            return nil, format("failed to receive info packet from t1k server %s: %s", server, err)
        end
        local one, two, three, four
        kind, one, two, three, four = byte(head, 1, HEAD_BYTES)
        if total == 0 and band(kind, FIRST) == 0 then
            return nil, format("first packet is not MASK_FIRST from t1k server %s", server)
        end
        local size = one + 256 * two + 65536 * three + 16777216 * four
        total = total + HEAD_BYTES + size
        if total > ANSWER_BYTES_MAX then
            return nil, format("failed to receive payload from t1k server %s: too large", server)
        end
        if size > 0 then
            local data
            data, err = sock:receive(size)
            if not data then
                return nil, format("failed to receive payload from t1k server %s: %s", server, err)
            end
            parts[band(kind, TAG)] = data
        end
    until band(kind, LAST) ~= 0
    return parts
end


--- Asks the service about a request.
-- @tparam table opts `host` and `port`, or `host` of a socket's path with `uds`; `connect_timeout`,
--   `send_timeout`, `read_timeout` and `keepalive_timeout` in milliseconds; `keepalive_size`
-- @tparam table request strings: `head`, `extra`, and `body` if there is one
-- @treturn table|nil what came, by tag
-- @treturn nil|string error
function _M.ask(opts, request)
    local server = opts.uds and opts.host or format("%s:%d", opts.host, opts.port)
    local sock, err = connect(opts, server)
    if not sock then
        return nil, "failed to get socket: " .. err
    end
    local part
    part, err = send(sock, request)
    if part then
        sock:close()
        return nil, format("failed to send %s data to t1k server %s: %s", part, server, err)
    end
    local parts
    parts, err = receive(sock, server)
    if not parts then
        sock:close()
        return nil, err
    end
    local ok
    ok, err = sock:setkeepalive(opts.keepalive_timeout, opts.keepalive_size)
    if not ok then
        warn("failed to set keepalive: %s", err)
        sock:close()
    end
    return parts
end


return _M
