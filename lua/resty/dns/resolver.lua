--- `resty.dns.resolver`: asks name servers, over UDP and, where an answer is too long for it, TCP.
--
--     local r = require("resty.dns.resolver"):new({ nameservers = { { "127.0.0.1", 53 } } })
--     local answers, err = r:query("example.com", { qtype = r.TYPE_AAAA })
--
-- Nothing is cached and no file is read: `resty.dns.client` does that.
-- @module resty.dns.resolver
local wire = require("moongate.dns_wire")

local byte = string.byte
local char = string.char
local concat = table.concat
local find = string.find
local floor = math.floor
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local random = math.random
local rep = string.rep
local reverse = string.reverse
local setmetatable = setmetatable
local tcp = ngx.socket.tcp
local type = type
local udp = ngx.socket.udp

local TIMEOUT_MS = 2000
local TRIES = 5

-- Answers that are for somebody else, before one gives up waiting for the right one.
local STRANGE_MAX = 128

local _M = {
    _VERSION = "0.20",
    TYPE_A = 1, TYPE_NS = 2, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_MX = 15,
    TYPE_TXT = 16, TYPE_AAAA = 28, TYPE_SRV = 33, TYPE_SPF = 99,
    CLASS_IN = 1,
    SECTION_AN = wire.SECTIONS.answer,
    SECTION_NS = wire.SECTIONS.authority,
    SECTION_AR = wire.SECTIONS.additional,
}
local mt = { __index = _M }


--- A resolver; it belongs to one request.
-- @tparam table opts `nameservers`: a list of addresses or of `{ address, port }`; `timeout`
--   milliseconds for each try, `retrans` tries, `no_recurse`, `no_random`
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(opts)
    if not opts then
        return nil, "no options table specified"
    end
    local servers = opts.nameservers
    if not servers or #servers == 0 then
        return nil, "no nameservers specified"
    end
    local timeout = opts.timeout or TIMEOUT_MS
    local socks = {}
    for i, server in ipairs(servers) do
        if type(server) ~= "table" then
            server = { server, 53 }
            servers[i] = server
        end
        local sock = udp()
        local ok, err = sock:setpeername(server[1], server[2] or 53)
        if not ok then
            return nil, "failed to set peer name: " .. err
        end
        sock:settimeout(timeout)
        socks[i] = sock
    end
    local stream = tcp()
    stream:settimeout(timeout)
    return setmetatable({
        socks = socks, stream = stream, servers = servers, tries = opts.retrans or TRIES,
        no_recurse = opts.no_recurse, turn = opts.no_random and 1 or random(1, #servers),
    }, mt)
end


--- Sets the time for each try.
-- @tparam number timeout milliseconds
function _M:set_timeout(timeout)
    if not self.socks then
        return nil, "not initialized"
    end
    for _, sock in ipairs(self.socks) do
        sock:settimeout(timeout)
    end
    self.stream:settimeout(timeout)
end


-- The number of the server whose turn it is.
local function take_turn(self)
    local turn = self.turn
    self.turn = turn % #self.servers + 1
    return turn
end


local function question(self, name, opts)
    local id = random(0, 65535)
    local text, err = wire.question(name, id, opts and opts.qtype or _M.TYPE_A,
                                    not self.no_recurse)
    return text, text and id or err
end


local function read(text, id, opts)
    opts = opts or {}
    return wire.answers(text, id, {
        authority = opts.authority_section or opts.qtype == _M.TYPE_SOA,
        additional = opts.additional_section,
    })
end


local function ask_stream(self, server, text, id, opts)
    local name = concat(server, ":")
    local sock = self.stream
    local function failed(what, err)
        sock:close()
        return nil, "failed to " .. what .. " TCP server " .. name .. ": " .. err
    end

    local ok, err = sock:connect(server[1], server[2] or 53)
    if not ok then
        return nil, "failed to connect to TCP server " .. name .. ": " .. err
    end
    ok, err = sock:send(char(floor(#text / 256), #text % 256) .. text)
    if not ok then
        return failed("send query to", err)
    end
    local size, answer
    size, err = sock:receive(2)
    if not size then
        return failed("receive the reply length field from", err)
    end
    answer, err = sock:receive(byte(size, 1) * 256 + byte(size, 2))
    if not answer then
        return failed("receive the reply message body from", err)
    end
    local answers
    answers, err = read(answer, id, opts)
    if not answers then
        return failed("parse the reply from the", err)
    end
    sock:close()
    return answers
end


--- Asks over TCP.
-- @treturn table|nil records
-- @treturn nil|string error
function _M:tcp_query(name, opts)
    if not self.socks then
        return nil, "not initialized"
    end
    local text, id = question(self, name, opts)
    if not text then
        return nil, id
    end
    return ask_stream(self, self.servers[take_turn(self)], text, id, opts)
end


-- The answer to a question that was sent; answers to others are thrown away.
local function await(sock, id, opts)
    for _ = 1, STRANGE_MAX do
        local text, err = sock:receive(4096)
        if not text then
            return nil, "failed to receive reply from", err
        end
        local answers
        answers, err = read(text, id, opts)
        if answers then
            return answers
        elseif err ~= "id mismatch" then
            return nil, nil, err
        end
    end
    return nil, "failed to receive reply from", "id mismatch"
end


--- Asks the servers in turn until one answers.
-- @tparam string name
-- @tparam[opt] table opts `qtype`, `authority_section`, `additional_section`
-- @tparam[opt] table tries filled with the errors of the tries that failed
-- @treturn table|nil records: `name`, `type`, `class`, `ttl`, `section`, and what the type has;
--   `errcode` and `errstr` if the server knows no such name
-- @treturn nil|string error
function _M:query(name, opts, tries)
    if not self.socks then
        return nil, "not initialized"
    end
    local text, id = question(self, name, opts)
    if not text then
        return nil, id
    end
    local last_err
    for _ = 1, self.tries do
        local turn = take_turn(self)
        local server = self.servers[turn]
        local ok, err = self.socks[turn]:send(text)
        if not ok then
            return nil, "failed to send request to UDP server " .. concat(server, ":") .. ": "
                        .. err, tries
        end
        local answers, what
        answers, what, err = await(self.socks[turn], id, opts)
        if answers then
            return answers, nil, tries
        elseif not what and err == "truncated" then
            return ask_stream(self, server, text, id, opts)
        end
        last_err = what and what .. " UDP server " .. concat(server, ":") .. ": " .. err or err
        if tries then
            tries[#tries + 1] = last_err
        end
        if err ~= "timeout" then
            return nil, last_err, tries
        end
    end
    return nil, last_err, tries
end


--- An IPv6 address with its longest row of zeros, or its only group, as "::".
-- @treturn string
function _M.compress_ipv6_addr(address)
    local short = ngx.re.sub(address, "^(0:)+|(:0)+$|:(0:)+", "::", "jo")
    return short == "::0" and "::" or short
end


--- An IPv6 address with all its groups.
-- @treturn string
function _M.expand_ipv6_addr(address)
    if not find(address, "::", 1, true) then
        return address
    end
    local _, colons = gsub(address, ":", "")
    local first, last = match(address, "^(.-)::(.*)$")
    return (first == "" and "0" or first) .. ":" .. rep("0:", 8 - colons)
           .. (last == "" and "0" or last)
end


--- The name under which an address has its PTR record.
-- @treturn string
function _M.arpa_str(address)
    if not find(address, ":", 1, true) then
        return (gsub(address, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$", "%4.%3.%2.%1.in-addr.arpa"))
    end
    local digits = {}
    for group in gmatch(_M.expand_ipv6_addr(address), "[^:]+") do
        digits[#digits + 1] = format("%4s", group):gsub(" ", "0")
    end
    return gsub(reverse(concat(digits)), ".", "%0.") .. "ip6.arpa"
end


--- The names of an address.
function _M:reverse_query(address)
    return self:query(_M.arpa_str(address), { qtype = _M.TYPE_PTR })
end


return _M
