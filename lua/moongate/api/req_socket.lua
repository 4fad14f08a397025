--- `ngx.req.socket`: the request's body, read piece by piece.
--
-- Works for bodies in chunks and over HTTP/2, too. What was not read goes upstream.
-- @module moongate.api.req_socket
local context = require("moongate.api.context")
local host = require("moongate.host")

local concat = table.concat
local error = error
local find = string.find
local next_piece = host.req_piece
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local TIMEOUT_MS = 60000

-- Requests whose socket somebody has, by their ngx.ctx.
local given = setmetatable({}, { __mode = "k" })

local methods = {}
local mt = { __index = methods }


-- Appends the next piece to what was not asked for yet. False behind the last.
local function more(self)
    if self.over then
        return false
    end
    local piece, err = next_piece(self.timeout)
    if piece then
        self.buf = self.buf .. piece
        return true
    end
    if err then
        return nil, err
    end
    self.over = true
    return false
end


-- Takes the first `size` bytes, and drops some behind them.
local function cut(self, size, drop)
    local data = sub(self.buf, 1, size)
    self.buf = sub(self.buf, size + 1 + (drop or 0))
    return data
end


-- What a failed read returns: the error, and what came until then unless that was told before.
local function failed(self, err)
    if self.ended then
        return nil, "closed"
    end
    self.ended = self.over
    return nil, err or "closed", cut(self, #self.buf)
end


local function receive_line(self)
    local from = 1
    while true do
        local at = find(self.buf, "\n", from, true)
        if at then
            return (cut(self, at - 1, 1):gsub("\r", ""))
        end
        from = #self.buf + 1
        local ok, err = more(self)
        if not ok then
            return failed(self, err)
        end
    end
end


local function receive_all(self)
    local parts = { cut(self, #self.buf) }
    while true do
        local ok, err = more(self)
        if ok then
            parts[#parts + 1] = cut(self, #self.buf)
        elseif err then
            self.buf = concat(parts)
            return failed(self, err)
        else
            return concat(parts)
        end
    end
end


local function receive_size(self, size)
    local parts, have = { self.buf }, #self.buf
    while have < size do
        self.buf = ""
        local ok, err = more(self)
        if not ok then
            self.buf = concat(parts)
            return failed(self, err)
        end
        parts[#parts + 1] = self.buf
        have = have + #self.buf
    end
    self.buf = concat(parts)
    return cut(self, size)
end


--- Receives a line ("*l"), everything ("*a") or a number of bytes.
function methods:receive(pattern)
    local size = tonumber(pattern)
    if size and size >= 0 then
        return receive_size(self, size)
    elseif pattern == nil or pattern == "*l" or pattern == "l" then
        return receive_line(self)
    elseif pattern == "*a" or pattern == "a" then
        return receive_all(self)
    end
    error("bad argument #2 to 'receive' (bad pattern argument)", 2)
end


--- Receives what there is.
function methods:receiveany(max)
    max = tonumber(max)
    if not max or max < 1 then
        error("bad argument #2 to 'receiveany' (bad max argument)", 2)
    end
    if self.buf == "" then
        local ok, err = more(self)
        if not ok then
            return failed(self, err)
        end
    end
    return cut(self, max)
end


-- One step of `receiveuntil`: data, or nil, error and what came; whether the pattern followed.
local function step(self, pattern, inclusive, size)
    local from = 1
    while true do
        local at, last = find(self.buf, pattern, from, true)
        if at and (not size or at - 1 <= size) then
            local data = cut(self, at - 1, last - at + 1)
            return inclusive and data .. pattern or data, nil, nil, true
        end
        -- What may turn out to be the pattern's beginning stays.
        local sure = at and at - 1 or #self.buf - #pattern + 1
        if size and sure >= size then
            return cut(self, size)
        end
        from = #self.buf - #pattern + 2
        from = from > 1 and from or 1
        local ok, err = more(self)
        if not ok then
            return failed(self, err)
        end
    end
end


--- A function that receives up to a pattern, or at most a number of bytes of that.
function methods:receiveuntil(pattern, options)
    if type(pattern) ~= "string" and type(pattern) ~= "number" then
        error("bad argument #2 to 'receiveuntil' (string expected, got " .. type(pattern) .. ")",
              2)
    end
    pattern = tostring(pattern)
    if pattern == "" then
        return nil, "pattern is empty"
    end
    local inclusive = options and options.inclusive
    local told = false
    return function(size)
        if told then
            told = false
            return nil, nil, nil
        end
        size = size and size > 0 and size or nil
        local data, err, partial, matched = step(self, pattern, inclusive, size)
        if data then
            told = matched and size ~= nil or false
            return data
        end
        if partial == nil then
            return nil, err
        end
        return nil, err, partial
    end
end


--- Milliseconds that a read may take; 0, nil or what is no number for the default.
function methods:settimeout(timeout)
    timeout = tonumber(timeout) or 0
    self.timeout = timeout > 0 and timeout or TIMEOUT_MS
end


function methods:settimeouts(_, _, read)
    self:settimeout(read)
end


--- The socket of the request's body.
-- @tparam[opt] boolean raw the client's connection itself, which answers nothing any more then
-- @treturn table|nil
-- @treturn nil|string error
return function(raw)
    context.needs_access(2)
    if raw then
        -- Only now: this module comes before the one of the answer, which sockets need.
        return require("moongate.socket").downstream()
    end
    local present, read = host.req_body_state()
    if not present then
        return nil, "no body"
    end
    local request = host.ngx_ctx()
    if read or given[request] then
        return nil, "request body already exists"
    end
    given[request] = true
    return setmetatable({ buf = "", timeout = TIMEOUT_MS }, mt)
end
