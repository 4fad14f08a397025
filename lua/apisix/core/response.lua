--- `core.response`.
-- @module apisix.core.response
local host = require("moongate.host")
local names = require("moongate.api.names")
local resp = require("moongate.api.resp")

local concat = table.concat
local dashed = names.dashed
local encode = require("apisix.core.json").encode
local error = error
local gmatch = string.gmatch
local header = resp.header
local next = next
local ngx_ctx = host.ngx_ctx
local pairs = pairs
local select = select
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local DESCRIBES_BODY = { "Content-Length", "Content-Encoding", "Last-Modified", "ETag" }

local _M = { version = 0.1 }


local function json_of(value)
    local text, err = encode(value)
    if not text then
        error("failed to encode data: " .. tostring(err), 0)
    end
    return text
end


local function text_of(value)
    if type(value) == "table" then
        return json_of(value) .. "\n"
    end
    return tostring(value)
end


-- The response is ours: remember it and end the request. Never returns.
local function finish(ctx, code)
    local api_ctx = ctx.api_ctx
    if api_ctx and not api_ctx._resp_source then
        api_ctx._resp_source = "apisix"
    end
    return host.exit(code)
end


local function first_body(...)
    for i = 1, select("#", ...) do
        local value = select(i, ...)
        if value ~= nil then
            return value
        end
    end
end


local function exit_through(callbacks, ctx, code, body)
    local headers = {}
    for i = 1, #callbacks, 2 do
        code, body, headers = callbacks[i](code, body, headers, callbacks[i + 1])
    end

    if code then
        host.resp_set_status(code)
    end
    if headers and next(headers) ~= nil then
        for name, value in pairs(headers) do
            header[name] = value
        end
    end
    if body ~= nil then
        host.print(text_of(body))
    end
    if code then
        return finish(ctx, code)
    end
end


--- Answers the request: status, then bodies one after another. A table becomes JSON with
-- a newline. Does not return if `code` is given.
-- @tparam[opt] number code without it, the first argument is a body too
-- @param ... bodies
function _M.exit(code, ...)
    local ctx = ngx_ctx()
    local lead
    if code and type(code) ~= "number" then
        lead, code = code, nil
    end

    local callbacks = ctx.apisix_exit_callback_funcs
    if callbacks then
        local body = first_body(...)
        if body == nil then
            body = lead
        end
        return exit_through(callbacks, ctx, code, body)
    end

    if code then
        host.resp_set_status(code)
    end
    if lead ~= nil then
        host.print(tostring(lead))
    end
    for i = 1, select("#", ...) do
        local body = select(i, ...)
        if body ~= nil then
            host.print(text_of(body))
        end
    end
    if code then
        return finish(ctx, code)
    end
end


--- Writes bodies and goes on.
function _M.say(...)
    _M.exit(nil, ...)
end


--- Lets `func(code, body, headers, conf)` rewrite what `exit` is about to answer; it
-- returns the new three.
function _M.exit_insert_callback(func, conf)
    local ctx = ngx_ctx()
    local callbacks = ctx.apisix_exit_callback_funcs
    if not callbacks then
        callbacks = {}
        ctx.apisix_exit_callback_funcs = callbacks
    end
    callbacks[#callbacks + 1] = func
    callbacks[#callbacks + 1] = conf == nil and false or conf
end


local function put(append, name, value)
    if append then
        resp.add_header(name, value)
    elseif type(value) == "string" and type(name) == "string" then
        host.resp_set_header(dashed(name), value)
    else
        header[name] = value
    end
end


local function put_all(append, ...)
    if host.headers_sent() then
        error("headers have already been sent", 3)
    end

    local count = select("#", ...)
    if count > 1 then
        for i = 1, count, 2 do
            local name, value = select(i, ...)
            put(append, name, value)
        end
        return
    end

    local only = ...
    if type(only) ~= "table" then
        header[only] = nil
        return
    end
    for name, value in pairs(only) do
        put(append, name, value)
    end
end


--- Sets response headers: `(name, value, name, value ...)`, or a table of them. A single
-- name removes that header.
function _M.set_header(...)
    put_all(false, ...)
end


--- Adds lines to response headers. Arguments as for `set_header`.
function _M.add_header(...)
    put_all(true, ...)
end


--- Status of the last upstream tried, or nil.
function _M.get_upstream_status(ctx)
    return tonumber(sub(ctx.var.upstream_status or "", -3))
end


function _M.set_response_source(ctx, source)
    if ctx then
        ctx._resp_source = source
    end
end


--- The last of the values that nginx joins with commas when it tried several upstreams.
function _M.get_last_upstream_token(text)
    local last
    if text then
        for token in gmatch(text, "[^%s,]+") do
            last = token
        end
    end
    return last
end


--- Who made the response: "apisix" (a plugin or the gateway), "upstream", or "nginx" (the
-- proxy failed).
function _M.get_response_source(ctx)
    if not ctx then
        return "apisix"
    end
    if ctx._resp_source then
        return ctx._resp_source
    end
    return host.resp_source()
end


--- Drops the headers that described the body before a plugin changed it.
function _M.clear_header_as_body_modified()
    for i = 1, #DESCRIBES_BODY do
        host.resp_set_header(DESCRIBES_BODY[i], nil)
    end
end


local function append_chunk(buffers, key, chunk)
    local buffer = buffers[key]
    if not buffer then
        buffer = { n = 0, bytes = 0 }
        buffers[key] = buffer
    end
    buffer.n = buffer.n + 1
    buffer[buffer.n] = chunk
    buffer.bytes = buffer.bytes + #chunk
    return buffer
end


local function at_end(buffers, key, chunk, max_bytes)
    local buffer = buffers[key]
    if not buffer then
        if max_bytes and #chunk >= max_bytes then
            return sub(chunk, 1, max_bytes)
        end
        return chunk
    end
    if buffer.done then
        return nil
    end
    buffers[key] = nil
    return concat(buffer, "", 1, buffer.n)
end


--- Collects the chunks of a body filter until the body is complete.
-- @tparam table ctx
-- @tparam[opt] boolean hold_the_copy let the chunks pass meanwhile
-- @tparam[opt] number max_bytes give what there is as soon as it is this much
-- @param[opt] key of the buffer, otherwise the plugin's name
-- @treturn string|nil the body, once
function _M.hold_body_chunk(ctx, hold_the_copy, max_bytes, key)
    local chunk, eof = host.chunk()
    key = key or ctx._plugin_name
    local buffers = ctx._body_buffer
    if not buffers then
        buffers = {}
        ctx._body_buffer = buffers
    end

    if type(chunk) == "string" and chunk ~= "" then
        if buffers[key] and buffers[key].done then
            return nil
        end
        local buffer = append_chunk(buffers, key, chunk)
        if max_bytes and buffer.bytes >= max_bytes then
            buffer.done = true
            return sub(concat(buffer, "", 1, buffer.n), 1, max_bytes)
        end
    end

    if eof then
        return at_end(buffers, key, chunk or "", max_bytes)
    end
    if not hold_the_copy then
        host.set_chunk(nil)
    end
    return nil
end


return _M
