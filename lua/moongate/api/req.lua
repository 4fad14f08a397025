--- `ngx.req`: the request of the client.
-- @module moongate.api.req
local const = require("moongate.api.const")
local host = require("moongate.host")
local names = require("moongate.api.names")
local unsupported = require("moongate.unsupported")

local concat = table.concat
local decode_args = host.uri.decode_args
local encode_args = host.uri.encode_args
local error = error
local headers_mt = names.headers_mt
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local HEADERS_MAX = 100
local ARGS_MAX = 100

local METHODS = {}
for _, name in ipairs({
    "GET", "HEAD", "POST", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "OPTIONS", "PROPFIND",
    "PROPPATCH", "LOCK", "UNLOCK", "PATCH", "TRACE",
}) do
    METHODS[const["HTTP_" .. name]] = name
end

local _M = {
    get_method = host.req_method,
    http_version = host.req_http_version,
    raw_header = host.req_raw_header,
    start_time = host.req_start_time,
    discard_body = host.req_discard_body,
    socket = unsupported.raise("ngx.req.socket"),
}


function _M.is_internal()
    return false
end


function _M.set_method(method)
    local name = METHODS[method]
    if not name then
        error("unsupported HTTP method: " .. tostring(method), 2)
    end
    host.req_set_method(name)
end


--- All request headers, keys in lower case; any spelling finds them unless `raw`.
-- @tparam[opt=100] number max 0 for all
-- @tparam[opt] boolean raw keep the keys as they were sent
-- @treturn table
-- @treturn string|nil "truncated"
function _M.get_headers(max, raw)
    local headers, err = host.req_headers(max or HEADERS_MAX, raw)
    if not raw then
        setmetatable(headers, headers_mt)
    end
    return headers, err
end


local function as_value(value)
    if type(value) == "table" then
        if value[1] == nil then
            return nil
        end
        local copy = {}
        for i = 1, #value do
            copy[i] = tostring(value[i])
        end
        return copy
    end
    if value == nil then
        return nil
    end
    return tostring(value)
end


local function check_name(name, level)
    if type(name) ~= "string" and type(name) ~= "number" then
        error("bad 'name' argument: string expected, got " .. type(name), level + 1)
    end
    return tostring(name)
end


function _M.set_header(name, value)
    host.req_set_header(check_name(name, 2), as_value(value))
end


function _M.clear_header(name)
    host.req_set_header(check_name(name, 2), nil)
end


--- Adds one or several lines of a header (module `ngx.req`).
function _M.add_header(name, value)
    name = check_name(name, 2)
    if value == nil then
        error("bad 'value' argument: string or table expected, got nil", 2)
    end

    if type(value) == "table" then
        for i = 1, #value do
            host.req_add_header(name, tostring(value[i]))
        end
        return
    end
    host.req_add_header(name, tostring(value))
end


function _M.get_uri_args(max)
    return decode_args(host.req_args() or "", max or ARGS_MAX)
end


function _M.set_uri_args(args)
    if type(args) == "table" then
        args = encode_args(args)
    elseif type(args) ~= "string" and type(args) ~= "number" then
        error("bad argument #1 to 'set_uri_args' (string, number, or table expected, but got "
              .. type(args) .. ")", 2)
    end
    host.req_set_args(tostring(args))
end


function _M.set_uri(uri, jump)
    if type(uri) ~= "string" then
        error("bad argument #1 to 'set_uri' (string expected, got " .. type(uri) .. ")", 2)
    end
    if uri == "" then
        error("attempt to use zero-length uri", 2)
    end
    if jump then
        error("API disabled in the context of " .. host.phase(), 2)
    end
    host.req_set_uri(uri)
end


function _M.read_body()
    host.req_read_body()
end


function _M.get_body_data(max_bytes)
    local body = host.req_body()
    if body == "" then
        return nil
    end
    if body and max_bytes and #body > max_bytes then
        return body:sub(1, max_bytes)
    end
    return body
end


function _M.get_body_file()
    local _, file = host.req_body()
    return file
end


function _M.get_post_args(max)
    local body, file = host.req_body()
    if file then
        return nil, "request body in temp file not supported"
    end
    return decode_args(body or "", max or ARGS_MAX)
end


-- What was computed from the old body must not outlive it.
local function forget_parsed_body()
    local ctx = host.ngx_ctx().api_ctx
    if ctx then
        ctx._request_body_table = nil
        ctx._request_body_type = nil
        ctx.req_post_args = nil
    end
end


function _M.set_body_data(body)
    if type(body) ~= "string" and type(body) ~= "number" then
        error("bad argument #1 to 'set_body_data' (string expected, got " .. type(body) .. ")", 2)
    end
    forget_parsed_body()
    host.req_set_body(tostring(body))
end


function _M.set_body_file(path, auto_clean)
    forget_parsed_body()
    local ok, err = host.req_set_body_file(path)
    if not ok then
        error(path .. ": " .. err, 2)
    end
    if auto_clean then
        os.remove(path)
    end
end


-- Pieces of a body under construction, per request.
local building = setmetatable({}, { __mode = "k" })


function _M.init_body()
    building[host.ngx_ctx()] = {}
end


function _M.append_body(data)
    local pieces = building[host.ngx_ctx()]
    if not pieces then
        error("ngx.req.init_body() was not called", 2)
    end
    pieces[#pieces + 1] = tostring(data)
end


function _M.finish_body()
    local key = host.ngx_ctx()
    local pieces = building[key]
    if not pieces then
        error("ngx.req.init_body() was not called", 2)
    end
    building[key] = nil
    _M.set_body_data(concat(pieces))
end


--- Names of the methods by their `ngx.HTTP_*` number.
function _M.method_names()
    local copy = {}
    for number, name in pairs(METHODS) do
        copy[number] = name
    end
    return copy
end


return _M
