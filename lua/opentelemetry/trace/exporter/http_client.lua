--- `opentelemetry.trace.exporter.http_client`: brings spans to a collector.
-- @module opentelemetry.trace.exporter.http_client
local http = require("resty.http")

local find = string.find
local setmetatable = setmetatable
local tostring = tostring

local _M = {}
local mt = { __index = _M }


--- @tparam string address of the collector, with or without "http://"
-- @tparam[opt=10] number timeout seconds
-- @tparam[opt] table headers
function _M.new(address, timeout, headers)
    headers = headers or {}
    headers["Content-Type"] = "application/x-protobuf"
    local uri = find(address, "^https?://") and address or "http://" .. address
    return setmetatable({ uri = uri .. "/v1/traces", timeout = timeout or 10, headers = headers },
                        mt)
end


--- Sends one request.
-- @treturn table|nil the answer
-- @treturn nil|string error
function _M:do_request(body)
    local client = http.new()
    client:set_timeout(self.timeout * 1000)
    local answer, err = client:request_uri(self.uri, { method = "POST", headers = self.headers,
                                                       body = body })
    if not answer then
        client:close()
        return nil, "request failed: " .. tostring(err)
    end
    if answer.status ~= 200 then
        return nil, "request failed: " .. answer.status
    end
    return answer
end


return _M
