--- Runs one case in the phase it is made for, the same way in nginx and in moongate.
--
-- A file of cases gets `say`, `try` and what the test knows as arguments and returns a table: name
-- -> function, which runs in access, or name -> table with the request to send (`method`, `uri`,
-- `headers`, `body`, `raw`) and a function for each phase, `init` being the start of a worker.
-- With `parts`, a text, the client waits for that text to arrive before it lets the case go on,
-- which waits for that with `arrived()`; with `leaves` it goes away instead, with `http2` all of it
-- is one stream of HTTP/2.
-- What is said becomes the answer, unless a function of the access phase returns "pass": then the
-- upstream answers, and /result tells what was said.
local env = require("compat_env")

local concat = table.concat
local format = string.format
local gsub = string.gsub
local sort = table.sort

local _M = {}

-- What the case that runs has said; cases run one after another, in one worker.
local said, over = {}, true
-- Whether the client has got the part it waits for.
local got_part = false
local loaded = {}


local function quoted(text)
    text = gsub(text, '[%c\\\128-\255]', function(char)
        return format("\\%03d", char:byte())
    end)
    -- Addresses say nothing.
    text = gsub(text, "0x%x%x%x%x%x%x%x+", "ADDRESS")
    return '"' .. text .. '"'
end


local function shown(value, depth)
    local kind = type(value)
    if kind == "string" then
        return quoted(value)
    elseif kind == "number" then
        return format("%.14g", value)
    elseif value == ngx.null then
        return "null"
    elseif kind ~= "table" then
        return kind == "boolean" and tostring(value) or kind
    elseif depth > 4 then
        return "{...}"
    end
    local parts, count = {}, #value
    for at = 1, count do
        parts[at] = shown(value[at], depth + 1)
    end
    local rest = {}
    for key, item in pairs(value) do
        if not (type(key) == "number" and key >= 1 and key <= count and key % 1 == 0) then
            rest[#rest + 1] = "[" .. shown(key, depth + 1) .. "]=" .. shown(item, depth + 1)
        end
    end
    sort(rest)
    for _, text in ipairs(rest) do
        parts[#parts + 1] = text
    end
    return "{" .. concat(parts, ",") .. "}"
end


--- Adds a line with all values, as a reader of Lua would write them.
local function say(...)
    local parts = {}
    for at = 1, select("#", ...) do
        parts[at] = shown((select(at, ...)), 0)
    end
    said[#said + 1] = concat(parts, " ")
end


local function tried(ok, ...)
    if ok then
        return ...
    end
    -- Without the place, which is a file of the host's as often as the caller's, and without the
    -- name of the function, which a protected call hides on one side.
    local text = gsub(tostring((...)), "^[^\n]-:%d+: ", "")
    return "raised", (gsub(text, "^(bad argument #%d+ to )'[^']*'", "%1it"))
end


--- Calls a function; "raised" and the message if it raises.
local function try(func, ...)
    return tried(pcall(func, ...))
end


local function done()
    over = true
end


-- Waits until the client has got the part it waits for; false if it never tells.
local function arrived()
    for _ = 1, 2000 do
        if got_part then
            return true
        end
        ngx.sleep(0.005)
    end
    return false
end


-- Ends the case with what it printed itself.
local function leave(code)
    return ngx.exit(code or 200)
end


-- All values as a line to be printed.
local function line(...)
    local parts = {}
    for at = 1, select("#", ...) do
        parts[at] = tostring((select(at, ...)))
    end
    return concat(parts, " ") .. "\n"
end


-- A case that begins with empty dictionaries.
local function with_empty_dicts(func)
    return function()
        for _, name in ipairs({ "compat", "compat_lists" }) do
            ngx.shared[name]:flush_all()
            ngx.shared[name]:flush_expired()
        end
        func()
    end
end


local compat = {
    env = env,
    done = done,
    arrived = arrived,
    leave = leave,
    line = line,
    with_empty_dicts = with_empty_dicts,
}


local function file_of(name)
    if not loaded[name] then
        local chunk = assert(loadfile(env.cases .. "/" .. name .. ".lua"))
        loaded[name] = chunk(say, try, compat)
    end
    return loaded[name]
end


--- Runs what cases want to have run when a worker starts, and keeps what they say.
function _M.init()
    for _, name in ipairs(env.files) do
        for _, case in pairs(file_of(name)) do
            if type(case) == "table" and case.init then
                said = {}
                local ok, err = try(case.init)
                if ok == "raised" then
                    say("init raised", err)
                end
                local lines = said
                case.access = function()
                    for at = 1, #lines do
                        said[at] = lines[at]
                    end
                end
            end
        end
    end
    said, over = {}, true
end


local function requested()
    local name = ngx.var.http_x_case
    if not name then
        return nil
    end
    local file, case = name:match("^([^/]+)/(.*)$")
    local found = file_of(file)[case]
    if type(found) == "function" then
        return { access = found }
    end
    return found
end


-- As APISIX does before any plugin runs; moongate does it itself.
local function forwarded()
    local headers = ngx.req.get_headers()
    if not headers["X-Forwarded-Proto"] then
        ngx.req.set_header("X-Forwarded-Proto", ngx.var.scheme)
        ngx.req.set_header("X-Forwarded-Host", ngx.var.host)
        ngx.req.set_header("X-Forwarded-Port", ngx.var.server_port)
    end
end


-- Requests the comparison needs itself.
local function answer_own()
    local uri = ngx.var.uri
    if uri == "/list" then
        for _, name in ipairs(env.files) do
            for case, spec in pairs(file_of(name)) do
                spec = type(spec) == "table" and spec or {}
                local later = spec.header_filter or spec.body_filter or spec.log or spec.waits
                local headers = concat(spec.headers or {}, "\31")
                local fields = { name .. "/" .. case, spec.method or "GET", spec.uri or "/t",
                    headers, spec.body or "", spec.raw or "", later and "later" or "",
                    spec.compare or "", spec.log and "log" or "", spec.parts or "",
                    spec.leaves and "leaves" or "", spec.http2 and "http2" or "" }
                ngx.print(concat(fields, "\30"), "\29")
            end
        end
    elseif uri == "/arrived" then
        got_part = true
    elseif over then
        ngx.print("over\n", concat(said, "\n"))
    end
    ngx.exit(200)
end


--- The case that runs has said everything.
function _M.over()
    over = true
end


--- Runs the current request's case in `phase`.
function _M.run(phase)
    local case = requested()
    if not case then
        if phase == "access" then
            answer_own()
        end
        return
    end
    if phase == "rewrite" then
        said, over, got_part = {}, false, false
        forwarded()
    end
    local func = case[phase]
    if phase == "access" then
        if not func then
            return
        end
        local ok, result = try(func)
        if ok == "raised" then
            say("the case raised", result)
        elseif ok == "pass" then
            return
        end
        ngx.print(concat(said, "\n"), "\n")
        ngx.exit(200)
    elseif func then
        func()
    end
    if phase == "log" and not case.waits then
        over = true
    end
end


return _M
