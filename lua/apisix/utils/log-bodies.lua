--- Request and response bodies for logger plugins.
-- @module apisix.utils.log-bodies
local content_decode = require("apisix.utils.content-decode")
local expr = require("resty.expr.v1")
local host = require("moongate.host")
local log = require("apisix.core.log")
local req = require("moongate.api.req")
local response = require("apisix.core.response")

local open = io.open
local setmetatable = setmetatable
local sub = string.sub
local type = type

local BODY_BYTES_MAX = 512 * 1024

local _M = {}


--- The request body, if it was read, cut to a length.
-- @tparam[opt] number max bytes
-- @treturn string|nil
-- @treturn nil|string error
function _M.request_body(max)
    max = max or BODY_BYTES_MAX
    local body, path = host.req_body()
    if body and body ~= "" then
        return #body > max and sub(body, 1, max) or body
    end
    if not path then
        return nil
    end

    local file, err = open(path, "rb")
    if not file then
        return nil, "fail to open file " .. err
    end
    body = file:read(max)
    file:close()
    return body
end


-- conf -> its compiled expressions. They must not stand in the conf itself, whose text is
-- its version.
local request_exprs = setmetatable({}, { __mode = "k" })
local response_exprs = setmetatable({}, { __mode = "k" })


local function compiled(conf, field, cache)
    local object = cache[conf]
    if not object then
        local err
        object, err = expr.new(conf[field])
        if not object then
            log.error("failed to create the expression of ", field, ": ", err)
            return nil
        end
        cache[conf] = object
    end
    return object
end


--- Whether `include_req_body_expr` allows the body to be logged.
function _M.wants_request_body(conf, ctx)
    if not conf.include_req_body_expr then
        return true
    end
    local object = compiled(conf, "include_req_body_expr", request_exprs)
    return object ~= nil and object:eval(ctx.var) == true
end


--- Reads the body of a request that will be logged with it.
function _M.check_and_read_req_body(conf, ctx)
    if conf.include_req_body and _M.wants_request_body(conf, ctx) then
        req.read_body()
    end
end


local function wants_response_body(conf, ctx)
    if not conf.include_resp_body then
        return false
    end
    if not conf.include_resp_body_expr then
        return true
    end
    if ctx.res_expr_eval_result == nil then
        local object = compiled(conf, "include_resp_body_expr", response_exprs)
        ctx.res_expr_eval_result = object ~= nil and object:eval(ctx.var) == true
    end
    return ctx.res_expr_eval_result
end


local function decoded(body, ctx)
    local encoding = host.resp_header("Content-Encoding")
    if type(encoding) == "table" then
        encoding = encoding[1]
    end
    if not encoding or ctx.gzip_matched then
        return body
    end

    local decode = content_decode.dispatch_decoder(encoding)
    if not decode then
        log.warn("unsupported compression encoding type: ", encoding)
        return body
    end
    local text, err = decode(body)
    if not text then
        log.warn("try decode compressed data err: ", err)
        return body
    end
    return text
end


--- In `body_filter`: keeps the response body in `ctx.resp_body` if the conf wants it.
function _M.collect_body(conf, ctx)
    if not wants_response_body(conf, ctx) then
        return
    end
    local max = conf.max_resp_body_bytes or BODY_BYTES_MAX
    local body = response.hold_body_chunk(ctx, true, max, conf)
    if body then
        ctx.resp_body = decoded(body, ctx)
    end
end


return _M
