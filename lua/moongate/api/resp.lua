--- The response side of the `ngx` table: `header`, `resp`, `print`, `exit`, `arg`.
-- @module moongate.api.resp
local host = require("moongate.host")
local names = require("moongate.api.names")

local concat = table.concat
local dashed = names.dashed
local error = error
local headers_mt = names.headers_mt
local null = host.json.null
local select = select
local setmetatable = setmetatable
local tostring = tostring
local type = type

local HEADERS_MAX = 100
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local _M = {}


local function get_header(_, name)
    if type(name) ~= "string" then
        return nil
    end
    return host.resp_header(dashed(name))
end


local function set_header(_, name, value)
    if type(name) ~= "string" then
        error("bad header name: string expected, got " .. type(name), 2)
    end

    if type(value) == "table" then
        if value[1] == nil then
            value = nil
        else
            local copy = {}
            for i = 1, #value do
                copy[i] = tostring(value[i])
            end
            value = copy
        end
    elseif value ~= nil then
        value = tostring(value)
    end
    host.resp_set_header(dashed(name), value)
end


--- `ngx.header`.
_M.header = setmetatable({}, { __index = get_header, __newindex = set_header })


function _M.add_header(name, value)
    if type(name) ~= "string" then
        error("bad 'name' argument: string expected, got " .. type(name), 2)
    end
    if value == nil then
        error("bad 'value' argument: string or table expected, got nil", 2)
    end

    if type(value) == "table" then
        for i = 1, #value do
            host.resp_add_header(name, tostring(value[i]))
        end
        return
    end
    host.resp_add_header(name, tostring(value))
end


function _M.get_headers(max, raw)
    local headers, err = host.resp_headers(max or HEADERS_MAX, raw)
    if not raw then
        setmetatable(headers, headers_mt)
    end
    return headers, err
end


local function arg_get(_, index)
    if index ~= 1 and index ~= 2 then
        return nil
    end
    local chunk, eof = host.chunk()
    if index == 1 then
        return chunk
    end
    return eof
end


-- nil and "" both mean "send nothing for this chunk".
local function arg_set(_, index, value)
    if index == 2 then
        host.set_eof(value and true or false)
        return
    end
    if index ~= 1 then
        error("attempt to set ngx.arg[" .. tostring(index) .. "]", 2)
    end

    if type(value) == "table" then
        host.set_chunk(_M.flatten(value))
    elseif value == nil or value == null then
        host.set_chunk(nil)
    else
        host.set_chunk(tostring(value))
    end
end


--- `ngx.arg`, the chunk in a body filter.
_M.arg = setmetatable({}, { __index = arg_get, __newindex = arg_set })


local function collect(parts, value)
    if type(value) == "table" then
        for i = 1, #value do
            collect(parts, value[i])
        end
    elseif value == null then
        parts[#parts + 1] = "null"
    else
        parts[#parts + 1] = tostring(value)
    end
    return parts
end


--- Joins a nested array of pieces into one string.
function _M.flatten(value)
    return concat(collect({}, value))
end


local function body_of(...)
    local count = select("#", ...)
    local first = ...
    if count == 1 and type(first) == "string" then
        return first
    end

    local parts = {}
    for i = 1, count do
        collect(parts, (select(i, ...)))
    end
    return concat(parts)
end


function _M.print(...)
    local ok, err = host.print(body_of(...))
    if ok == nil and err then
        return nil, err
    end
    return 1
end


function _M.say(...)
    local ok, err = host.print(body_of(...) .. "\n")
    if ok == nil and err then
        return nil, err
    end
    return 1
end


function _M.flush(wait)
    local ok, err = host.flush(wait == true)
    if ok == nil and err then
        return nil, err
    end
    return 1
end


function _M.send_headers()
    host.headers_send()
    return 1
end


function _M.exit(code)
    if type(code) ~= "number" then
        error("bad argument #1 to 'exit' (number expected, got " .. type(code) .. ")", 2)
    end
    return host.exit(code)
end


function _M.redirect(uri, status)
    if type(uri) ~= "string" then
        error("bad argument #1 to 'redirect' (string expected, got " .. type(uri) .. ")", 2)
    end
    status = status or 302
    if not REDIRECTS[status] then
        error("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, "
              .. "ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and "
              .. "ngx.HTTP_TEMPORARY_REDIRECT are allowed", 2)
    end
    if host.headers_sent() then
        error("attempt to call ngx.redirect after sending out the headers", 2)
    end
    host.resp_set_header("Location", uri)
    return host.exit(status)
end


return _M
