--- `ngx.location` and `ngx.exec`: requests inside of a request, and requests that go on
-- in another location.
-- @module moongate.api.location
local context = require("moongate.api.context")
local host = require("moongate.host")
local req = require("moongate.api.req")

local decoded = host.uri.unescape
local encode_args = host.uri.encode_args
local error = error
local find = string.find
local needs_access = context.needs_access
local pairs = pairs
local select = select
local sub = string.sub
local tostring = tostring
local type = type
local unpack = unpack

local METHODS = req.method_names()

-- Variables that one request may be given.
local VARS_MAX = 200

-- Methods that take over the body of the request they are in.
local WITH_BODY = { POST = true, PUT = true }

local _M = {}


--- Splits a path from its arguments; raises for one that leaves the root.
local function split_uri(uri, level, what)
    local at = find(uri, "?", 1, true)
    local path, args = uri, ""
    if at then
        path, args = sub(uri, 1, at - 1), sub(uri, at + 1)
    end
    if path == "" or find("/" .. path .. "/", "/../", 1, true) or find(path, "%z") then
        error(what, level + 1)
    end
    if find(path, "%%%x%x") then
        path = decoded(path)
        if find("/" .. path .. "/", "/../", 1, true) or find(path, "%z") then
            error(what, level + 1)
        end
    end
    return path, args
end


local function joined(args, more)
    if more == "" then
        return args
    elseif args == "" then
        return more
    end
    return args .. "&" .. more
end


local function args_text(args, level, message)
    local kind = type(args)
    if kind == "nil" then
        return ""
    elseif kind == "string" or kind == "number" then
        return tostring(args)
    elseif kind == "table" then
        return encode_args(args)
    end
    error(message, level + 1)
end


--- `ngx.exec`: the request goes on in another location. Does not return.
-- @tparam string uri path with or without arguments, or `@name`
-- @tparam[opt] string|table args
function _M.exec(...)
    local count = select("#", ...)
    if count ~= 1 and count ~= 2 then
        error("expecting one or two arguments, but got " .. count, 2)
    end
    local uri, args = ...
    if type(uri) ~= "string" and type(uri) ~= "number" then
        error("bad argument #1 to 'exec' (string expected, got " .. type(uri) .. ")", 2)
    end
    needs_access(2)
    uri = tostring(uri)
    if uri == "" then
        error("The uri argument is empty", 2)
    end
    local more = args_text(args, 2, "bad argument #2 to 'exec' (string, number, or table expected, "
                                    .. "but got " .. type(args) .. ")")
    if sub(uri, 1, 1) == "@" then
        return host.exec(uri)
    end
    local path, own = split_uri(uri, 2, "unsafe uri")
    return host.exec(path, joined(own, more))
end


local function flag(options, name)
    local value = options[name]
    if value ~= nil and type(value) ~= "boolean" then
        error("Bad " .. name .. " option value", 4)
    end
    return value
end


local function method_of(options)
    local number = options.method
    if number == nil then
        return "GET"
    end
    if type(number) ~= "number" then
        error("Bad http request method", 4)
    end
    return METHODS[number] or error("unsupported HTTP method: " .. number, 4)
end


local function body_of(options)
    local body = options.body
    if body ~= nil and type(body) ~= "string" and type(body) ~= "number" then
        error("Bad http request body", 4)
    end
    return body and tostring(body)
end


--- Names and values of option `vars`, in turns.
local function vars_of(options)
    local vars, list = options.vars, {}
    if vars == nil then
        return list
    elseif type(vars) ~= "table" then
        error("Bad vars option value", 4)
    end
    for name, value in pairs(vars) do
        if type(name) ~= "string" then
            error("attempt to use a non-string key in the \"vars\" option table", 4)
        end
        local kind = type(value)
        if kind ~= "string" and kind ~= "number" then
            error("attempt to use bad variable value type " .. kind, 4)
        end
        list[#list + 1] = name
        list[#list + 1] = tostring(value)
    end
    if #list > 2 * VARS_MAX then
        error("more than " .. VARS_MAX .. " variables in the \"vars\" option table", 4)
    end
    return list
end


--- What `host.sub_add` wants for one request, and whether it shares variables.
local function prepared(uri, options)
    if type(uri) ~= "string" and type(uri) ~= "number" then
        error("bad argument #1 to 'capture' (string expected, got " .. type(uri) .. ")", 3)
    end
    if options == nil then
        options = {}
    elseif type(options) ~= "table" then
        error("bad argument #2 to 'capture' (table expected, got " .. type(options) .. ")", 3)
    end
    uri = tostring(uri)
    local unsafe = "unsafe uri in argument #1: " .. uri
    if sub(uri, 1, 1) == "@" then
        error(unsafe, 3)
    end
    local path, own = split_uri(uri, 3, unsafe)
    local args = joined(own, args_text(options.args, 3, "Bad args option value"))
    local method, body, vars = method_of(options), body_of(options), vars_of(options)
    local shares = flag(options, "share_all_vars")
    local copies = flag(options, "copy_all_vars")
    local forward = options.always_forward_body or WITH_BODY[method]
    if options.ctx ~= nil and type(options.ctx) ~= "table" then
        error("Bad ctx option value type " .. type(options.ctx) .. ", expected a Lua table", 3)
    end
    return { method, path, args, body or false, forward and true or false, options.ctx or false,
             shares or copies or false, vars = vars, shares = shares }
end


--- Headers by name, those that repeat as lists.
local function headers_of(list)
    local headers = {}
    for at = 1, #list, 2 do
        local name, value = list[at], list[at + 1]
        local known = headers[name]
        if known == nil then
            headers[name] = value
        elseif type(known) == "table" then
            known[#known + 1] = value
        else
            headers[name] = { known, value }
        end
    end
    return headers
end


--- Asks all requests of a list; nothing waits between adding the first and asking.
local function ask(list)
    for at = 1, #list do
        local one = list[at]
        local method, path, args, body, forward, ctx, copies = unpack(one, 1, 7)
        host.sub_add(method, path, args, body or nil, forward, ctx or nil, copies,
                     unpack(one.vars))
    end
    local answers = host.sub_run()
    for at = 1, #answers do
        local status, truncated, body, headers, vars = unpack(answers[at], 1, 5)
        if list[at].shares then
            for n = 1, #vars, 2 do
                host.ngx_var_set(vars[n], vars[n + 1] or nil)
            end
        end
        answers[at] = {
            status = status,
            truncated = truncated,
            body = body,
            header = headers_of(headers),
        }
    end
    return answers
end


--- `ngx.location.capture`: asks another location and waits for its answer.
-- @tparam string uri
-- @tparam[opt] table options method, body, args, vars, ctx, copy_all_vars, share_all_vars,
--   always_forward_body
-- @treturn table status, header, body, truncated
function _M.capture(...)
    local count = select("#", ...)
    if count ~= 1 and count ~= 2 then
        error("expecting one or two arguments", 2)
    end
    needs_access(2)
    local uri, options = ...
    return ask({ prepared(uri, options) })[1]
end


--- The same for several requests at the same time.
-- @tparam {{string,table},...} list
-- @return their answers, in the same order
function _M.capture_multi(...)
    local count = select("#", ...)
    if count ~= 1 then
        error("only one argument is expected, but got " .. count, 2)
    end
    local list = ...
    if type(list) ~= "table" then
        error("bad argument #1 to 'capture_multi' (table expected, got " .. type(list) .. ")", 2)
    end
    if #list == 0 then
        error("at least one subrequest should be specified", 2)
    end
    needs_access(2)
    local asked = {}
    for at = 1, #list do
        if type(list[at]) ~= "table" then
            error("the query argument " .. at - 1 .. " is not a table, but a " .. type(list[at]), 2)
        end
        asked[at] = prepared(list[at][1], list[at][2])
    end
    return unpack(ask(asked), 1, #asked)
end


return _M
