--- `ngx.req`: the request of the client.
-- @module moongate.api.req
local const = require("moongate.api.const")
local context = require("moongate.api.context")
local host = require("moongate.host")
local names = require("moongate.api.names")

local clear = require("table.clear")
local concat = table.concat
local decode_args = host.uri.decode_args
local encode_args = host.uri.encode_args
local error = error
local find = string.find
local format = string.format
local gsub = string.gsub
local headers_mt = names.headers_mt
local pairs = pairs
local select = select
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
    socket = require("moongate.api.req_socket"),
}


function _M.is_internal()
    return (host.req_place())
end


function _M.set_method(method)
    if type(method) ~= "number" then
        error("bad method number", 2)
    end
    local name = METHODS[method]
    if not name then
        error("unsupported HTTP method: " .. method, 2)
    end
    host.req_set_method(name)
end


--- All request headers, keys in lower case; any spelling finds them unless `raw`.
-- @tparam[opt=100] number max 0 for all
-- @tparam[opt] boolean raw keep the keys as they were sent
-- @treturn table
-- @treturn string|nil "truncated"
function _M.get_headers(max, raw)
    if max ~= nil and type(max) ~= "number" then
        error("bad argument #1 to 'get_headers' (number expected, got " .. type(max) .. ")", 2)
    end
    local headers, err = host.req_headers(max or HEADERS_MAX, raw)
    if not raw then
        setmetatable(headers, headers_mt)
    end
    if err then
        return headers, err
    end
    return headers
end


-- The empty text and the empty list remove a header, as nil does.
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
    if value == nil or value == "" then
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
        if value[1] == nil then
            error("bad 'value' argument: non-empty table expected", 2)
        end
        for i = 1, #value do
            host.req_add_header(name, tostring(value[i]))
        end
        return
    end
    host.req_add_header(name, tostring(value))
end


-- Puts decoded arguments into the caller's table, if there is one.
local function into(given, args, err)
    if type(given) == "table" and args then
        clear(given)
        for name, value in pairs(args) do
            given[name] = value
        end
        args = given
    end
    if err then
        return args, err
    end
    return args
end


--- The arguments of the query string.
-- @tparam[opt=100] number max 0 for all
-- @tparam[opt] table given emptied, filled and returned instead of a new table
-- @treturn table
-- @treturn string|nil "truncated"
function _M.get_uri_args(max, given)
    return into(given, decode_args(host.req_args() or "", max or ARGS_MAX))
end

_M.get_query_args = _M.get_uri_args


function _M.set_uri_args(...)
    if select("#", ...) ~= 1 then
        error("expecting 1 argument but seen " .. select("#", ...), 2)
    end
    local args = ...
    if type(args) == "table" then
        args = encode_args(args)
    elseif type(args) ~= "string" and type(args) ~= "number" then
        error("bad argument #1 to 'set_uri_args' (string, number, or table expected, but got "
              .. type(args) .. ")", 2)
    end
    host.req_set_args(tostring(args))
end


local function check_uri(uri)
    local at = find(uri, "[%z\1-\31\127]")
    if at then
        local shown = gsub(uri, "[%z\1-\31\127]", function(byte)
            return format("\\x%02X", byte:byte())
        end)
        error(format('unsafe byte "0x%02x" in uri "%s" (maybe you want to set the \'binary\' '
                     .. 'argument?)', uri:byte(at), shown), 3)
    end
end


--- Sets the path.
-- @tparam string uri
-- @tparam[opt] boolean jump look for a location again; in `rewrite_by_lua` only
-- @tparam[opt] boolean binary whether control characters may stand in it
function _M.set_uri(...)
    local count = select("#", ...)
    if count < 1 or count > 3 then
        error("expecting 1, 2 or 3 arguments but seen " .. count, 2)
    end
    local uri, jump, binary = ...
    if type(uri) ~= "string" and type(uri) ~= "number" then
        error("bad argument #1 to 'set_uri' (string expected, got " .. type(uri) .. ")", 2)
    end
    uri = tostring(uri)
    if uri == "" then
        error("attempt to use zero-length uri", 2)
    end
    if jump ~= nil and type(jump) ~= "boolean" then
        error("bad argument #2 to 'set_uri' (boolean expected, got " .. type(jump) .. ")", 2)
    end
    if jump and host.phase() ~= "rewrite" then
        context.disabled(2)
    end
    context.needs_access(2)
    if not binary then
        check_uri(uri)
    end
    host.req_set_uri(uri)
    if jump then
        host.jump_again()
    end
end


function _M.read_body()
    context.needs_access(2)
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


--- The arguments in the body.
-- @tparam[opt=100] number max 0 for all
-- @tparam[opt] table given emptied, filled and returned instead of a new table
function _M.get_post_args(max, given)
    local body, file = host.req_body()
    if file then
        return nil, "request body in temp file not supported"
    end
    if not body and not host.req_body_read() then
        error("no request body found; maybe you should turn on lua_need_request_body?", 2)
    end
    return into(given, decode_args(body or "", max or ARGS_MAX))
end


local function need_body(level)
    if not host.req_body_read() then
        error("request body not read yet", level + 1)
    end
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


function _M.set_body_data(...)
    if select("#", ...) ~= 1 then
        error("expecting 1 arguments but seen " .. select("#", ...), 2)
    end
    local body = ...
    if type(body) ~= "string" and type(body) ~= "number" then
        error("bad argument #1 to 'set_body_data' (string expected, got " .. type(body) .. ")", 2)
    end
    need_body(2)
    forget_parsed_body()
    host.req_set_body(tostring(body))
end


function _M.set_body_file(...)
    local count = select("#", ...)
    if count ~= 1 and count ~= 2 then
        error("expecting 1 or 2 arguments but seen " .. count, 2)
    end
    local path, auto_clean = ...
    if type(path) ~= "string" then
        error("bad argument #1 to 'set_body_file' (string expected, got " .. type(path) .. ")", 2)
    end
    need_body(2)
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


function _M.init_body(size)
    if size ~= nil and (type(size) ~= "number" or size < 0) then
        error("bad size argument: " .. tostring(size), 2)
    end
    need_body(2)
    building[host.ngx_ctx()] = {}
end


function _M.append_body(...)
    if select("#", ...) ~= 1 then
        error("expecting 1 arguments but seen " .. select("#", ...), 2)
    end
    local data = ...
    if type(data) ~= "string" and type(data) ~= "number" then
        error("bad argument #1 to 'append_body' (string expected, got " .. type(data) .. ")", 2)
    end
    local pieces = building[host.ngx_ctx()]
    if not pieces then
        error("request_body not initialized", 2)
    end
    pieces[#pieces + 1] = tostring(data)
end


function _M.finish_body()
    local key = host.ngx_ctx()
    local pieces = building[key]
    if not pieces then
        error("request_body not initialized", 2)
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
