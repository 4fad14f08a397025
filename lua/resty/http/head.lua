--- Request heads written, and response heads read.
-- @module resty.http.head
local host = require("moongate.host")
local http_headers = require("resty.http_headers")

local concat = table.concat
local find = string.find
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local HEADERS_MAX = 1000
local HEAD_BYTES_MAX = 256 * 1024
local WITH_BODY = { POST = true, PUT = true, PATCH = true }
local PORTS = { http = 80, https = 443 }
local USER_AGENT = "lua-resty-http/0.17.2 (Lua) moongate/" .. tostring(host.version)

local _M = {}


local function is_clean(text)
    return not find(text, "[%z\r\n]")
end


local function add_line(lines, name, value)
    name, value = tostring(name), tostring(value)
    if not is_clean(name) or not is_clean(value) then
        return nil, "invalid character in header " .. name
    end
    lines[#lines + 1] = name .. ": " .. value .. "\r\n"
    return true
end


local function host_value(client)
    local name = client.host
    if not name or sub(name, 1, 5) == "unix:" then
        return "localhost"
    end
    if find(name, ":", 1, true) and sub(name, 1, 1) ~= "[" then
        name = "[" .. name .. "]"
    end
    if client.port and client.port ~= PORTS[client.scheme or "http"] then
        return name .. ":" .. client.port
    end
    return name
end


local function body_length(body, method)
    if type(body) == "string" then
        return #body
    end
    if type(body) == "table" then
        local length = 0
        for _, piece in ipairs(body) do
            length = length + #tostring(piece)
        end
        return length
    end
    if body == nil and WITH_BODY[method] then
        return 0
    end
end


--- The headers of a request: the caller's, and what is missing.
-- @treturn table|nil
-- @treturn nil|string error
function _M.request_headers(client, params, method)
    local headers = http_headers.new(params.headers)
    local body = params.body

    if not headers["Host"] then
        headers["Host"] = host_value(client)
    end
    if not headers["User-Agent"] then
        headers["User-Agent"] = USER_AGENT
    end
    if params.version == 1.0 and not headers["Connection"] then
        headers["Connection"] = "Keep-Alive"
    end
    if not headers["Content-Length"] and not headers["Transfer-Encoding"] then
        if type(body) == "function" then
            return nil, "Request body is a function but a length or chunked encoding is not "
                        .. "specified"
        end
        headers["Content-Length"] = body_length(body, method)
    end
    return headers
end


local function target_of(params)
    local path, query = params.path or "/", params.query
    if type(query) == "table" then
        query = host.uri.encode_args(query)
    end
    if query and query ~= "" and sub(query, 1, 1) ~= "?" then
        query = "?" .. query
    end
    return path .. (query or "")
end


--- The text of a request's head.
-- @treturn string|nil
-- @treturn nil|string error
function _M.format_request(method, params, headers)
    local target = target_of(params)
    if not is_clean(method) or not is_clean(target) or find(target, " ", 1, true) then
        return nil, "invalid character in the request line"
    end

    local version = params.version == 1.0 and "1.0" or "1.1"
    local lines = { method .. " " .. target .. " HTTP/" .. version .. "\r\n" }
    for name, value in pairs(headers) do
        local values = type(value) == "table" and value or { value }
        for _, item in ipairs(values) do
            local ok, err = add_line(lines, name, item)
            if not ok then
                return nil, err
            end
        end
    end
    lines[#lines + 1] = "\r\n"
    return concat(lines)
end


local function read_headers(sock)
    local headers, count, bytes = http_headers.new(), 0, 0
    while true do
        local line, err = sock:receive("*l")
        if not line then
            return nil, err
        end
        if line == "" then
            return headers
        end

        count = count + 1
        bytes = bytes + #line
        if count > HEADERS_MAX or bytes > HEAD_BYTES_MAX then
            return nil, "response head is too large"
        end
        local name, value = match(line, "^([^:%s]+):%s*(.-)%s*$")
        if name then
            local old = headers[name]
            if old == nil then
                headers[name] = value
            elseif type(old) == "table" then
                old[#old + 1] = value
            else
                headers[name] = { old, value }
            end
        end
    end
end


--- Reads a head; interim answers (1xx) are passed over, except 101.
-- @tparam table sock
-- @tparam[opt] boolean stop_at_continue give "100 Continue" to the caller
-- @treturn table|nil `{ status, version, reason, headers }`
-- @treturn nil|string error
function _M.read_response(sock, stop_at_continue)
    while true do
        local line, err = sock:receive("*l")
        if not line then
            return nil, err
        end
        local version, status, reason = match(line, "^HTTP/(%d%.%d)%s+(%d%d%d)%s*(.-)%s*$")
        if not version then
            return nil, "couldn't parse HTTP version from response status line: "
                        .. sub(line, 1, 100)
        end

        local headers
        headers, err = read_headers(sock)
        if not headers then
            return nil, err
        end
        status = tonumber(status)
        if status >= 200 or status == 101 or (status == 100 and stop_at_continue) then
            return {
                status = status,
                version = tonumber(version),
                reason = reason,
                headers = headers,
            }
        end
    end
end


--- Whether the connection can carry another request after this response.
function _M.keeps_alive(response)
    local connection = response.headers["Connection"]
    if type(connection) == "table" then
        connection = concat(connection, ",")
    end
    connection = connection and lower(connection) or ""
    if response.version >= 1.1 then
        return not find(connection, "close", 1, true)
    end
    return find(connection, "keep-alive", 1, true) ~= nil
end


return _M
