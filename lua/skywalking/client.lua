--- `skywalking.client`: a timer of the first worker that tells the collector who we are, that we
-- are alive, and which segments are finished, over HTTP.
--
-- What the collector does not take is told to the log and lost. Between two rounds segments wait
-- in the shared dict `tracing_buffer`, whose size is all they may take.
-- @module skywalking.client
local cjson = require("cjson.safe")
local constants = require("skywalking.constants")
local http = require("resty.http")
local management = require("skywalking.management")

local DEBUG = ngx.DEBUG
local ERR = ngx.ERR
local INFO = ngx.INFO
local concat = table.concat
local ngx = ngx

local SEGMENTS_PER_REQUEST_MAX = 100
local PROPERTIES_SENT = "instancePropertiesSubmitted"

local _M = {
    -- Seconds between two rounds.
    backendTimerDelay = 3,
}

local is_initialized = false


-- Sends JSON; the response if the collector took it. `what` is what the log calls it.
local function post(url, body, what)
    local res, err = http.new():request_uri(url, {
        method = "POST",
        body = body,
        headers = { ["Content-Type"] = "application/json" },
    })
    if not res then
        ngx.log(ERR, what, " fails, ", err)
    elseif res.status ~= 200 then
        ngx.log(ERR, what, " fails, response code ", res.status)
    else
        return res
    end
end


--- Begins to report. Only the first worker does.
-- @tparam string uri of the collector, as "http://127.0.0.1:12800"
function _M:startBackendTimer(uri)
    is_initialized = true
    self.stopped = false
    local buffer = ngx.shared.tracing_buffer

    local function again(round)
        local ok, err = ngx.timer.at(self.backendTimerDelay, round)
        if not ok then
            ngx.log(ERR, "failed to create timer: ", err)
        end
    end

    local function round(premature)
        if premature or self.stopped then
            return
        end
        ngx.log(INFO, "running timer")
        if buffer:get(PROPERTIES_SENT) then
            self:ping(buffer, uri)
        else
            self:reportServiceInstance(buffer, uri)
        end
        self:reportTraces(buffer, uri)
        again(round)
    end

    if ngx.worker.id() == 0 then
        again(round)
    end
end


--- Whether `startBackendTimer` was called in this worker.
function _M:isInitialized()
    return is_initialized
end


--- Ends reporting, and drops what was not sent.
-- @treturn boolean|nil true, or nil and an error of the dict
function _M:destroyBackendTimer()
    self.stopped = true
    local ok, err = ngx.shared.tracing_buffer:delete(constants.segment_queue)
    if not ok then
        return nil, err
    end
    return true
end


--- Tells the collector what we are; until it has taken that, again in each round.
-- @tparam table buffer the dict
-- @tparam string uri
function _M:reportServiceInstance(buffer, uri)
    local body = management.newReportInstanceProperties(buffer:get("serviceName"),
                                                        buffer:get("serviceInstanceName"))
    local res = post(uri .. "/v3/management/reportProperties", cjson.encode(body),
                     "Instance report")
    if res then
        ngx.log(DEBUG, "Instance report response = ", res.body)
        buffer:set(PROPERTIES_SENT, true)
    end
end


--- Tells the collector that we are alive.
-- @tparam table buffer the dict
-- @tparam string uri
function _M:ping(buffer, uri)
    local body = management.newServiceInstancePingPkg(buffer:get("serviceName"),
                                                      buffer:get("serviceInstanceName"))
    post(uri .. "/v3/management/keepAlive", cjson.encode(body), "Agent ping")
end


-- The oldest segments, at most as many as one request carries.
local function batch_of(buffer)
    local segments = {}
    while #segments < SEGMENTS_PER_REQUEST_MAX do
        local segment = buffer:rpop(constants.segment_queue)
        if not segment then
            break
        end
        segments[#segments + 1] = segment
    end
    return segments
end


--- Sends all segments that wait; of a worker that ends only one batch.
-- @tparam table buffer the dict
-- @tparam string uri
function _M:reportTraces(buffer, uri)
    local sent = 0
    repeat
        local segments = batch_of(buffer)
        local count = #segments
        if count > 0 and post(uri .. "/v3/segments", "[" .. concat(segments, ",") .. "]",
                              "Segment report") then
            sent = sent + count
        end
    until count < SEGMENTS_PER_REQUEST_MAX or ngx.worker.exiting()
    if sent > 0 then
        ngx.log(DEBUG, sent, " segments reported.")
    end
end


return _M
