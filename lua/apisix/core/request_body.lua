--- The body half of `core.request`.
-- @module apisix.core.request_body
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local req = require("moongate.api.req")

local find = string.find
local lower = string.lower
local ngx_ctx = host.ngx_ctx
local open = io.open
local req_header = host.req_header
local tonumber = tonumber

local JSON = "application/json"
local FORM = "application/x-www-form-urlencoded"
local MULTIPART = "multipart/form-data"

local _M = {}


local function check_size(size, max_size)
    if max_size and size > max_size then
        return nil, "request size " .. size .. " is greater than the maximum size "
                    .. max_size .. " allowed"
    end
    return true
end


-- Refuses by the announced length, so that nothing too long is read at all.
local function check_announced(max_size)
    local length = max_size and tonumber((req_header("content-length")))
    if not length then
        return true
    end

    local ok, err = check_size(length, max_size)
    if not ok then
        local expect = req_header("expect")
        if expect and lower(expect) == "100-continue" then
            -- The client waits for leave to send; without the header it is not given.
            host.req_set_header("expect", nil)
        end
    end
    return ok, err
end


local function read_file(path, max_size)
    log.info("attempt to read body from file: ", path)
    local file, err = open(path, "rb")
    if not file then
        return nil, err
    end

    local ok
    ok, err = check_size(file:seek("end"), max_size)
    local content
    if ok then
        file:seek("set")
        content, err = file:read("*a")
    end
    file:close()
    return content, err
end


--- The request body, read now if it was not yet.
-- @tparam[opt] number max_size bytes; a longer body is an error
-- @treturn string|nil nil also for an empty body
-- @treturn nil|string error
function _M.get_body(max_size)
    local ok, err = check_announced(max_size)
    if not ok then
        return nil, err
    end

    req.read_body()
    local body, path = host.req_body()
    if body and body ~= "" then
        ok, err = check_size(#body, max_size)
        if not ok then
            return nil, err
        end
        return body
    end

    if not path then
        return nil
    end
    return read_file(path, max_size)
end


--- The fields of an urlencoded body, read once per request.
function _M.get_post_args(ctx)
    ctx = ctx or ngx_ctx().api_ctx
    local args = ctx.req_post_args
    if not args then
        req.read_body()
        local err
        args, err = req.get_post_args(0)
        if not args then
            log.error("the post form is too large: ", err)
            args = {}
        end
        ctx.req_post_args = args
    end
    return args
end


local function from_json(ctx, max_size)
    local body, err = _M.get_body(max_size, ctx)
    if not body then
        return nil, "could not get body: " .. (err or "request body is empty")
    end

    local value
    value, err = json.decode(body)
    if not value then
        return nil, "could not parse JSON request body: " .. (err or "invalid JSON")
    end
    return value
end


local function from_form(ctx)
    return _M.get_post_args(ctx)
end


local function from_multipart(ctx, max_size, content_type)
    local body, err = _M.get_body(max_size, ctx)
    if not body then
        return nil, "could not get body: " .. (err or "request body is empty")
    end

    return require("multipart")(body, content_type):get_all()
end


local READERS = {
    { type = JSON, read = from_json },
    { type = FORM, read = from_form },
    { type = MULTIPART, read = from_multipart },
}


--- The body as a table, by its content type; parsed once per request.
-- @tparam[opt] table ctx
-- @tparam[opt] string content_type instead of the header's
-- @tparam[opt] number max_size bytes
-- @treturn table|nil
-- @treturn nil|string error
function _M.get_request_body_table(ctx, content_type, max_size)
    ctx = ctx or ngx_ctx().api_ctx
    if ctx._request_body_table ~= nil then
        if content_type and ctx._request_body_type ~= content_type then
            return nil, "request body type mismatch: cached type is "
                        .. (ctx._request_body_type or "unknown")
                        .. ", expected " .. content_type
        end
        return ctx._request_body_table
    end

    local actual = content_type or req_header("content-type") or ""
    for i = 1, #READERS do
        local reader = READERS[i]
        if find(actual, reader.type, 1, true) then
            local value, err = reader.read(ctx, max_size, actual)
            if not value then
                return nil, err
            end
            ctx._request_body_table = value
            ctx._request_body_type = reader.type
            return value
        end
    end
    return nil, "unsupported content-type: " .. actual .. ", supported types are: "
                .. JSON .. ", " .. FORM .. ", " .. MULTIPART
end


--- The body as JSON.
-- @treturn table|nil
-- @treturn nil|table `{ message = error }`, ready to be a response body
function _M.get_json_request_body_table(max_size)
    local value, err = _M.get_request_body_table(nil, JSON, max_size)
    if not value then
        return nil, { message = err }
    end
    return value
end


return _M
