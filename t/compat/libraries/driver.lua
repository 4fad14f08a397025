-- Runs the cases of one file and writes one line for each: in nginx beside the originals of the
-- libraries, in moongate beside ours. Both sides read this very file.
--
-- A file of cases is Lua that calls `case(name, function)`; what the function returns, or the
-- error it raises, is the line. Numbers have 14 digits, keys of tables are sorted, nils at the end
-- are left out, and the place before an error's text is cut off, since two texts of a library
-- differ in their lines, and so is the name of a function that was given a wrong argument.
local _M = {}

local null = ngx.null


local function text(value, depth, seen)
    local kind = type(value)
    if kind == "string" then
        return (string.format("%q", value):gsub("\\\n", "\\n"):gsub("[%c\127-\255]", function(byte)
            return string.format("\\%03d", byte:byte())
        end))
    elseif kind == "number" then
        return string.format("%.14g", value)
    elseif value == null then
        return "null"
    elseif kind == "cdata" then
        return tostring(value)
    elseif kind ~= "table" then
        return (kind == "boolean" or kind == "nil") and tostring(value) or "<" .. kind .. ">"
    elseif seen[value] or depth > 20 then
        return "<again>"
    end
    seen[value] = true
    local parts, done = {}, 0
    for i = 1, #value do
        parts[i] = text(value[i], depth + 1, seen)
        done = i
    end
    local rest = {}
    for key, item in pairs(value) do
        if not (type(key) == "number" and key >= 1 and key <= done and key % 1 == 0) then
            rest[#rest + 1] = "[" .. text(key, depth + 1, seen) .. "]="
                              .. text(item, depth + 1, seen)
        end
    end
    table.sort(rest)
    for _, part in ipairs(rest) do
        parts[#parts + 1] = part
    end
    seen[value] = nil
    return "{" .. table.concat(parts, ",") .. "}"
end


local function line(ok, ...)
    local parts = {}
    local count = select("#", ...)
    while count > 0 and select(count, ...) == nil do
        count = count - 1
    end
    for i = 1, count do
        local value = select(i, ...)
        if not ok and type(value) == "string" then
            value = value:gsub("^[^\n]-:%d+: ", ""):gsub("^(bad argument #%d+ to )'[^']*'", "%1'?'")
        end
        parts[i] = text(value, 0, {})
    end
    return (ok and "" or "raises ") .. table.concat(parts, " ")
end


-- Which functions of `modules` a file of cases calls itself, not through another library: `finish`
-- answers their lines.
local function watch_calls(path, modules)
    local names, called = {}, {}
    for module in modules:gmatch("[^,]+") do
        local ok, found = pcall(require, module)
        found = ok and (type(found) == "function" and { ["(itself)"] = found } or found)
        for key, func in pairs(type(found) == "table" and found or {}) do
            if type(func) == "function" then
                names[func] = names[func] or {}
                table.insert(names[func], "(called)\t" .. module .. "\t" .. tostring(key))
            end
        end
    end
    -- Whether the first frame that is neither C nor pcall's is one of the cases or of this file.
    local function by_case()
        for level = 4, 9 do
            local info = debug.getinfo(level, "S")
            if not info then
                return true
            elseif info.what ~= "C" and not info.source:find("moongate/boot.lua", 1, true) then
                return info.source == "@" .. path or info.source:find("driver.lua", 1, true)
            end
        end
    end
    jit.off()
    jit.flush()
    debug.sethook(function()
        local func = debug.getinfo(2, "f").func
        if names[func] and not called[func] and by_case() then
            called[func] = true
        end
    end, "c")
    return function()
        debug.sethook()
        jit.on()
        local lines = {}
        for func in pairs(called) do
            lines[#lines + 1] = table.concat(names[func], "\n")
        end
        return lines
    end
end


--- Runs a file of cases.
-- @tparam table args `path`; `side`, which is "original" or "debian" (nginx), "guest" (Debian's
--   in moongate) or "ours"; the ports of the servers that cases talk to; and `calls`, names of
--   modules, for the functions of theirs that were called
-- @treturn string lines of name, tab, result
function _M.run(args)
    local lines = {}
    local env = setmetatable({ side = args.side, ports = args }, { __index = _G })
    -- A library: its name, and its name in Debian's package.
    function env.lib(name, debian)
        if args.side == "debian" or args.side == "guest" then
            return require(debian or name)
        end
        local ok, found = pcall(require, name)
        return ok and found or require(args.side == "ours" and name or debian or name)
    end
    function env.case(name, func)
        lines[#lines + 1] = name .. "\t" .. line(pcall(func)):gsub("\n", "\\n")
    end
    local chunk, err = loadfile(args.path)
    if not chunk then
        return "the file\traises " .. err .. "\n"
    end
    local finish = args.calls and watch_calls(args.path, args.calls)
    local ok
    ok, err = xpcall(setfenv(chunk, env), debug.traceback)
    if not ok then
        lines[#lines + 1] = "the file\traises " .. tostring(err):gsub("\n", " | ")
    end
    if finish then
        lines = finish()
    end
    return table.concat(lines, "\n") .. "\n"
end


-- What a frame of text asks the echo server for, by its first word; the others come back.
local asked = {}


function asked.kind(ws, kind, more)
    return ws:send_text(kind .. tostring(more))
end


function asked.ping(ws, _, _, data)
    return ws:send_ping(data)
end


function asked.fragments(ws)
    ws:send_frame(false, 1, "one ")
    ws:send_frame(false, 0, "two ")
    return ws:send_frame(true, 0, "three")
end


function asked.close(ws, _, _, code)
    return ws:send_close(tonumber(code), "asked for")
end


function asked.send(ws, _, _, size)
    return ws:send_binary(("s"):rep(tonumber(size)))
end


local function answer(ws, data, kind, more)
    if kind == "close" then
        ws:send_close(more, data)
        return nil, "closed with " .. tostring(more) .. " " .. data
    elseif kind == "ping" then
        return ws:send_pong(data)
    elseif kind == "pong" then
        return ws:send_text("pong " .. data)
    end
    local word, rest = data:match("^(%l+) ?(.*)$")
    if asked[word] then
        return asked[word](ws, kind, more, rest)
    elseif kind == "text" then
        return ws:send_text(data)
    end
    return ws:send_binary(data)
end


--- Takes the request's connection for a WebSocket and sends back each frame that comes, or does
-- what it asks for; or runs a text of Lua in a request of its own.
-- @tparam table args `lua`, that text; or `side`, as for `run`; `timeout` in milliseconds, `longest` in bytes; `tell`, a
--   key of the dict "compat" that gets why it ended
-- @treturn string|nil why the request is no upgrade
function _M.echo(args)
    if args.lua then
        return assert(loadstring(args.lua))(args)
    end
    local name = args.side == "ours" and "resty.websocket.server" or "nginx.websocket.server"
    local ws, err = require(name):new({
        timeout = tonumber(args.timeout) or 5000, max_payload_len = tonumber(args.longest) or 100000,
    })
    if not ws then
        ngx.status = 400
        return err .. "\n"
    end
    local ok = true
    while ok do
        local data, kind, more = ws:recv_frame()
        if data then
            ok, err = answer(ws, data, kind, more)
        elseif more:find(": timeout", 1, true) then
            ok, err = ws:send_text(more)
        else
            ok, err = nil, more
        end
    end
    local _, after = ws:send_text("after the end")
    if args.tell then
        ngx.shared.compat:set(args.tell, err .. (after and ", then " .. after or ""))
    end
end


return _M
