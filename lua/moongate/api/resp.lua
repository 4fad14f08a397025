--- The response side of the `ngx` table: `header`, `resp`, `print`, `exit`, `arg`.
-- @module moongate.api.resp
local context = require("moongate.api.context")
local host = require("moongate.host")
local names = require("moongate.api.names")

local concat = table.concat
local canonical = names.canonical
local dashed = names.dashed
local disabled = context.disabled
local error = error
local find = string.find
local format = string.format
local gsub = string.gsub
local headers_mt = names.headers_mt
local needs_access = context.needs_access
local null = host.json.null
local pairs = pairs
local phase = host.phase
local select = select
local setmetatable = setmetatable
local tostring = tostring
local type = type

local HEADERS_MAX = 100
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local _M = {}


local function get_header(_, name)
    if type(name) ~= "string" then
        if type(name) ~= "number" then
            return nil
        end
        name = tostring(name)
    end
    return host.resp_header(dashed(name))
end


-- The empty text and the empty list remove a header, as nil does.
local function set_header(_, name, value)
    if type(name) ~= "string" then
        if type(name) ~= "number" then
            error("bad header name: string expected, got " .. type(name), 2)
        end
        name = tostring(name)
    end

    if value == "" then
        value = nil
    elseif type(value) == "table" then
        if value[1] == nil then
            value = nil
        elseif canonical(name) == "content-type" then
            -- There is one at most.
            value = tostring(value[#value])
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
        if value[1] == nil then
            error("invalid header value", 2)
        end
        for i = 1, #value do
            host.resp_add_header(name, tostring(value[i]))
        end
        return
    end
    host.resp_add_header(name, tostring(value))
end


function _M.get_headers(max, raw)
    if max ~= nil and type(max) ~= "number" then
        error("bad argument #1 to 'get_headers' (number expected, got " .. type(max) .. ")", 2)
    end
    local headers, err = host.resp_headers(max or HEADERS_MAX, raw)
    if not raw then
        setmetatable(headers, headers_mt)
    end
    if err then
        return headers, err
    end
    return headers
end


local function arg_get(_, index)
    if phase() ~= "body_filter" then
        error("API disabled in the current context", 2)
    end
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
    if phase() ~= "body_filter" then
        disabled(2)
    end
    if index == 2 then
        host.set_eof(value and true or false)
        return
    end
    if index ~= 1 then
        error("bad index: " .. tostring(index), 2)
    end

    if type(value) == "table" then
        host.set_chunk(_M.flatten(value))
    elseif value == nil or value == null then
        host.set_chunk(nil)
    elseif type(value) == "string" or type(value) == "number" then
        host.set_chunk(tostring(value))
    else
        error("bad chunk data type: " .. type(value), 2)
    end
end


--- `ngx.arg`, the chunk in a body filter.
_M.arg = setmetatable({}, { __index = arg_get, __newindex = arg_set })


-- The last place of an array; nil for a table with other keys.
local function length_of(list)
    local last = 0
    for key in pairs(list) do
        if type(key) ~= "number" or key < 1 or key % 1 ~= 0 then
            return nil
        end
        if key > last then
            last = key
        end
    end
    return last
end


-- Appends a piece and those inside it. Returns what is wrong with it, if anything.
local function collect(parts, value)
    local kind = type(value)
    if kind == "string" then
        parts[#parts + 1] = value
    elseif kind == "table" then
        local last = length_of(value)
        if not last then
            return "non-array table found"
        end
        for i = 1, last do
            local wrong = collect(parts, value[i])
            if wrong then
                return wrong
            end
        end
    elseif value == null then
        parts[#parts + 1] = "null"
    elseif kind == "number" or kind == "boolean" or kind == "nil" then
        parts[#parts + 1] = tostring(value)
    else
        return "bad data type " .. kind .. " found"
    end
end


--- Joins a nested array of pieces into one string.
-- @treturn string|nil
-- @treturn nil|string what is no piece
function _M.flatten(value)
    local parts = {}
    local wrong = collect(parts, value)
    if wrong then
        return nil, wrong
    end
    return concat(parts)
end


local function body_of(name, ...)
    local count = select("#", ...)
    local first = ...
    if count == 1 and type(first) == "string" then
        return first
    end

    local parts = {}
    for i = 1, count do
        local piece = (select(i, ...))
        local wrong = collect(parts, piece)
        if wrong then
            if type(piece) ~= "table" then
                wrong = "string, number, boolean, nil, ngx.null, or array table expected, but got "
                        .. type(piece)
            end
            error("bad argument #" .. i .. " to '" .. name .. "' (" .. wrong .. ")", 3)
        end
    end
    return concat(parts)
end


function _M.print(...)
    needs_access(2)
    local ok, err = host.print(body_of("print", ...))
    if ok == nil and err then
        return nil, err
    end
    return 1
end


function _M.say(...)
    needs_access(2)
    local ok, err = host.print(body_of("say", ...) .. "\n")
    if ok == nil and err then
        return nil, err
    end
    return 1
end


--- What was said leaves, and with it the head. Always waits until the client has taken it: a
-- slow client holds this thread up, and not memory.
-- @treturn number|nil 1
-- @treturn nil|string error
function _M.flush(...)
    local count = select("#", ...)
    if count > 1 then
        error("attempt to pass " .. count .. " arguments, but accepted 0 or 1", 2)
    end
    needs_access(2)
    if count == 1 and type((...)) ~= "boolean" then
        error("bad argument #1 to 'flush' (boolean expected, got " .. type((...)) .. ")", 2)
    end
    return host.flush()
end


--- The head stays as it is from now on; it leaves with what is said or flushed next.
function _M.send_headers()
    needs_access(2)
    host.fix_head()
    return 1
end


function _M.exit(code)
    if type(code) ~= "number" then
        error("bad argument #1 to 'exit' (number expected, got " .. type(code) .. ")", 2)
    end
    local now = phase()
    if now == "body_filter" or now == "log" or now == "init_worker" then
        disabled(2)
    end
    if now == "header_filter" and code == 0 then
        return
    end
    return host.exit(code)
end


local function check_redirect(uri)
    local at = find(uri, "[%c]")
    if at then
        local shown = gsub(uri, "%c", function(byte)
            return format("\\x%02X", byte:byte())
        end)
        error(format('unsafe byte "0x%02x" in redirect uri "%s"', uri:byte(at), shown), 3)
    end
end


function _M.redirect(...)
    local count = select("#", ...)
    if count ~= 1 and count ~= 2 then
        error("expecting one or two arguments", 2)
    end
    needs_access(2)
    local uri, status = ...
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
    check_redirect(uri)
    host.resp_set_header("Location", uri)
    return host.exit(status)
end


return _M
