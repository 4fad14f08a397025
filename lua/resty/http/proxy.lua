--- Requests through a forward proxy: which one, and how to reach a server behind it.
-- @module resty.http.proxy
local uris = require("resty.http.uri")

local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local match = string.match

local _M = {}


-- Whether a host, or a domain that it is in, stands in a list such as ".example.com,localhost".
local function excepted(list, host)
    if list == "*" then
        return true
    end
    local names = {}
    for name in gmatch(list or "", "%.?([^,%s]+)") do
        names[name] = true
    end
    repeat
        if names[host] then
            return true
        end
        host = gsub(host, "^[^.]+%.", "")
    until not find(host, ".", 1, true)
    return false
end


--- The address of the proxy for a server, nil if there is none for it.
-- @tparam table options `http_proxy`, `https_proxy`, `no_proxy`
-- @tparam string scheme
-- @tparam string host
-- @treturn string|nil
function _M.uri(options, scheme, host)
    if not options or excepted(options.no_proxy, host) then
        return nil
    end
    return options[scheme .. "_proxy"]
end


--- The proxy for a connection.
-- @treturn table|nil `uri`, `host`, `port`, `authorization`, and for plain HTTP `prefix`, what
--   stands before the path of a request
-- @treturn nil|string error
function _M.choose(options, scheme, host, port)
    local uri = _M.uri(options, scheme, host)
    if not uri then
        return nil
    end
    local parts, err = uris.parse(uri)
    if not parts then
        return nil, "error parsing proxy url: " .. err
    elseif parts[1] ~= "http" then
        return nil, "protocol " .. parts[1] .. " not supported for proxy connections"
    end
    return {
        uri = uri, host = parts[2], port = parts[3],
        authorization = options[scheme .. "_proxy_authorization"],
        prefix = scheme == "http" and "http://" .. host .. (port == 80 and "" or ":" .. port)
                 or nil,
    }
end


--- Has the proxy open a tunnel to a server.
-- @tparam table sock connected to the proxy
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.tunnel(sock, proxy, host, port)
    local address = host .. ":" .. port
    local text = "CONNECT " .. address .. " HTTP/1.1\r\nHost: " .. address .. "\r\n"
    if proxy.authorization then
        text = text .. "Proxy-Authorization: " .. proxy.authorization .. "\r\n"
    end
    local ok, err = sock:send(text .. "\r\n")
    if not ok then
        return nil, "failed to issue CONNECT to proxy: " .. err
    end
    local answer
    answer, err = sock:receiveuntil("\r\n\r\n")()
    if not answer then
        return nil, "failed to issue CONNECT to proxy: " .. err
    end
    local status = match(answer, "^HTTP/1%.[01] (%d%d%d)")
    if not status or not find(status, "^2") then
        return nil, "failed to establish a tunnel through a proxy: " .. (status or "no HTTP")
    end
    return true
end


return _M
