--- One active check: asks one node and says how it went. Knows nothing of states and counts.
-- @module moongate.health_probe
local concat = table.concat
local ipairs = ipairs
local log = ngx.log
local ERR = ngx.ERR
local match = string.match
local pairs = pairs
local tcp = ngx.socket.tcp
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = {}


-- Headers as lines: a list of lines, or name -> value or list of values.
local function header_lines(headers)
    local lines = {}
    for name, value in pairs(headers or {}) do
        if type(name) == "number" then
            lines[#lines + 1] = value
        else
            for _, one in ipairs(type(value) == "table" and value or { value }) do
                lines[#lines + 1] = name .. ": " .. tostring(one)
            end
        end
    end
    return lines
end


local function request(check, host)
    local lines = { (check.http_method or "GET") .. " " .. check.http_path .. " HTTP/1.1" }
    local own = false
    for _, list in ipairs({ check.headers or {}, check.req_headers or {} }) do
        for _, line in ipairs(header_lines(list)) do
            own = own or match(line, "^[Hh][Oo][Ss][Tt]:") ~= nil
            lines[#lines + 1] = line
        end
    end
    if not own then
        lines[#lines + 1] = "Host: " .. host
    end
    local body = check.http_req_body
    if body and body ~= "" then
        lines[#lines + 1] = "Content-Length: " .. #body
    end
    lines[#lines + 1] = "Connection: close"
    return concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end


local function failed(sock, what, err)
    sock:close()
    return err == "timeout" and "timeout" or "tcp", what .. ": " .. tostring(err)
end


-- A connection, or how it failed.
local function open(check, node, host, certificate)
    local sock = tcp()
    sock:settimeout(check.timeout * 1000)
    local ok, err = sock:connect(node.ip, check.port or node.port)
    if not ok then
        return nil, failed(sock, "connect", err)
    end
    if check.type == "https" then
        if certificate then
            sock:setclientcert(certificate.cert, certificate.key)
        end
        ok, err = sock:sslhandshake(nil, check.https_sni or host, check.https_verify_certificate)
        if not ok then
            log(ERR, "[healthcheck] failed SSL handshake with ", host, " (", node.ip, "): ", err)
            sock:close()
            return nil, "tcp", "handshake: " .. tostring(err)
        end
    end
    return sock
end


--- Asks a node.
-- @tparam table check the settings of active checks
-- @tparam table node `ip`, `port`, `hostname`, `hostheader`
-- @tparam[opt] table certificate `cert` and `key` for https
-- @treturn string "success" for a connection that is all that is wanted, "status", "tcp" or
--   "timeout"
-- @treturn number|string the status (0 for an answer that is none), or what failed
function _M.run(check, node, certificate)
    local host = check.host or node.hostheader or node.hostname or node.ip
    local sock, kind, why = open(check, node, host, certificate)
    if not sock then
        return kind, why
    elseif check.type == "tcp" then
        sock:close()
        return "success"
    end
    local ok, err = sock:send(request(check, host))
    if not ok then
        return failed(sock, "send", err)
    end
    local line
    line, err = sock:receive()
    if not line then
        return failed(sock, "receive", err)
    end
    sock:close()
    return "status", tonumber(match(line, "^HTTP/%d+%.%d+%s+(%d+)")) or 0
end


return _M
