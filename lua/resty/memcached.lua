--- `resty.memcached`: memcached's text protocol over a cosocket.
--
--     local memc = require("resty.memcached"):new()
--     memc:set_timeout(1000)
--     memc:connect("127.0.0.1", 11211)
--     memc:set("key", "value", 60)
--     local value, flags, err = memc:get("key")
-- @module resty.memcached
local concat = table.concat
local escape_uri = ngx.escape_uri
local find = string.find
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local tcp = ngx.socket.tcp
local type = type
local unescape_uri = ngx.unescape_uri

local _M = { _VERSION = "0.17" }
local mt = { __index = _M }


--- A client that is not connected.
-- @tparam[opt] table opts `key_transform`: two functions, by which keys are escaped and back
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(opts)
    local pair = opts and opts.key_transform or { escape_uri, unescape_uri }
    if not pair[1] or not pair[2] then
        return nil, "expecting key_transform = { escape, unescape } table"
    end
    return setmetatable({ sock = tcp(), escape = pair[1], unescape = pair[2] }, mt)
end


-- A method that hands its arguments on to the socket.
local function by_socket(name)
    return function(self, ...)
        local sock = self.sock
        if not sock then
            return nil, "not initialized"
        end
        return sock[name](sock, ...)
    end
end


_M.connect = by_socket("connect")
_M.set_keepalive = by_socket("setkeepalive")
_M.get_reused_times = by_socket("getreusedtimes")
_M.close = by_socket("close")


--- Sets the time for each step.
-- @tparam number timeout milliseconds
function _M:set_timeout(timeout)
    if not self.sock then
        return nil, "not initialized"
    end
    self.sock:settimeout(timeout)
    return 1
end


-- Reads a line, or so many bytes; a connection that was too slow is not used any more.
local function receive(sock, what)
    local data, err = sock:receive(what)
    if not data and err == "timeout" then
        sock:close()
    end
    return data, err
end


-- Sends a command and reads with `read(sock, self)`; in a pipeline both happen later. An error of
-- what asks for a single value stands behind the flags.
local function ask(self, text, read, single)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    local waiting = self.waiting
    if waiting then
        waiting[#waiting + 1] = { text, read }
        return 1
    end
    local bytes, err = sock:send(text)
    if not bytes and single then
        return nil, nil, err
    elseif not bytes then
        return nil, err
    end
    return read(sock, self)
end


-- Reads one line that must match, for `ask`; `take` makes the result of what was found.
local function line(pattern, take)
    return function(sock)
        local text, err = receive(sock)
        if not text then
            return nil, err
        end
        local found = match(text, pattern)
        if not found then
            return nil, text
        end
        return take and found or 1
    end
end


-- All values up to the end: key -> `{ value, flags, cas }`.
local function read_values(sock, self)
    local values = {}
    while true do
        local text, err = receive(sock)
        if not text then
            return nil, err
        elseif text == "END" then
            return values
        end
        local key, flags, size, rest = match(text, "^VALUE (%S+) (%d+) (%d+)(.*)$")
        if not key then
            return nil, text
        end
        local value
        value, err = receive(sock, size + 2)
        if not value then
            return nil, err
        end
        values[self.unescape(key)] = { value:sub(1, -3), flags, match(rest, "%d+") }
    end
end


local function read_one(sock, self)
    local values, err = read_values(sock, self)
    if not values then
        return nil, nil, err
    end
    local _, found = next(values)
    if found then
        return found[1], found[2], found[3]
    end
end


local function read_one_of_gets(sock, self)
    local value, flags, more = read_one(sock, self)
    if not value then
        return nil, nil, nil, more
    end
    return value, flags, more
end


local function get(command)
    return function(self, key)
        if type(key) == "table" then
            if not self.sock then
                return nil, "not initialized"
            elseif #key == 0 then
                return {}
            end
            local keys = {}
            for i, one in ipairs(key) do
                keys[i] = self.escape(one)
            end
            return ask(self, command .. " " .. concat(keys, " ") .. "\r\n", read_values)
        elseif not self.sock then
            return nil, nil, command == "gets" and nil or "not initialized",
                   command == "gets" and "not initialized" or nil
        end
        return ask(self, command .. " " .. self.escape(key) .. "\r\n", command == "get" and read_one
                   or read_one_of_gets, true)
    end
end


--- The value of a key, its flags, and an error; of a list of keys a table of `{ value, flags }`.
_M.get = get("get")

--- As `get`, with the number for `cas` after the flags.
_M.gets = get("gets")


local function flat(value)
    if type(value) ~= "table" then
        return value
    end
    local parts = {}
    for i, part in ipairs(value) do
        parts[i] = flat(part)
    end
    return concat(parts)
end


local stored = line("^STORED$")


local function store(self, command, key, value, exptime, flags, cas)
    if not self.sock then
        return nil, "not initialized"
    end
    value = flat(value)
    if type(value) ~= "string" then
        value = tostring(value)
    end
    return ask(self, command .. " " .. self.escape(key) .. " " .. (flags or 0) .. " "
               .. (exptime or 0) .. " " .. #value .. (cas and " " .. cas or "") .. "\r\n" .. value
               .. "\r\n", stored)
end


for _, command in ipairs({ "set", "add", "replace", "append", "prepend" }) do
    --- Stores a value: 1, or nil and what the server says.
    _M[command] = function(self, key, value, exptime, flags)
        return store(self, command, key, value, exptime, flags)
    end
end


--- Stores a value if the key has not changed since `gets`.
function _M:cas(key, value, cas, exptime, flags)
    return store(self, "cas", key, value, exptime, flags, cas)
end


local deleted = line("^DELETED$")


--- Removes a key.
function _M:delete(key)
    if not self.sock then
        return nil, "not initialized"
    end
    return ask(self, "delete " .. self.escape(key) .. "\r\n", deleted)
end


local fine = line("^OK$")


--- Removes all keys, now or in so many seconds.
function _M:flush_all(time)
    return ask(self, time and "flush_all " .. time .. "\r\n" or "flush_all\r\n", fine)
end


--- Sets how much the server writes into its log.
function _M:verbosity(level)
    return ask(self, "verbosity " .. level .. "\r\n", fine)
end


local number = line("^(%d+)$", true)


local function by_number(command)
    return function(self, key, value)
        if not self.sock then
            return nil, "not initialized"
        end
        return ask(self, command .. " " .. self.escape(key) .. " " .. value .. "\r\n", number)
    end
end


--- Adds to a number: the new one as text.
_M.incr = by_number("incr")

--- Takes from a number: the new one as text.
_M.decr = by_number("decr")


local touched = line("^TOUCHED$")


--- Sets the time for which a key is kept.
function _M:touch(key, exptime)
    if not self.sock then
        return nil, "not initialized"
    end
    return ask(self, "touch " .. self.escape(key) .. " " .. (exptime or 0) .. "\r\n", touched)
end


local version = line("^VERSION (.+)$", true)


--- The server's version.
function _M:version()
    return ask(self, "version\r\n", version)
end


local function read_stats(sock)
    local lines = {}
    while true do
        local text, err = receive(sock)
        if not text then
            return nil, err
        elseif text == "END" or text == "RESET" then
            return lines
        elseif find(text, "ERROR", 1, true) then
            return nil, text
        end
        lines[#lines + 1] = text
    end
end


--- What the server says of itself, as lines.
function _M:stats(args)
    return ask(self, args and "stats " .. args .. "\r\n" or "stats\r\n", read_stats)
end


--- Asks the server to close.
function _M:quit()
    return ask(self, "quit\r\n", function()
        return 1
    end)
end


--- Begins a pipeline: what is called now is sent by `commit_pipeline`.
function _M:init_pipeline()
    self.waiting = {}
end


--- Forgets what was called since `init_pipeline`.
function _M:cancel_pipeline()
    self.waiting = nil
end


--- Sends what was called, and reads all answers.
-- @treturn table|nil a list; each is what the call would have returned, in a table
-- @treturn nil|string error
function _M:commit_pipeline()
    local waiting = self.waiting
    if not waiting then
        return nil, "no pipeline"
    end
    self.waiting = nil
    if #waiting == 0 then
        return nil, "no more cmds"
    end
    local texts, results = {}, {}
    for i, one in ipairs(waiting) do
        texts[i] = one[1]
    end
    local bytes, err = self.sock:send(concat(texts))
    if not bytes then
        return nil, err
    end
    for i, one in ipairs(waiting) do
        results[i] = { one[2](self.sock, self) }
    end
    return results
end


return _M
