-- Messages to a log server. The original has one logger for all and no objects, so the cases know
-- what must come out; the server counts requests of HTTP, so that is what is logged.
-- alone: yes
-- peer: health
local logger = require("resty.logger.socket")
local port = tonumber(ports.health)
local function expect(name, func)
    case(name, function()
        func()
        return "as expected"
    end)
end
local MESSAGE = "GET /log HTTP/1.1\r\nHost: x\r\n\r\n"
local function served()
    local sock = ngx.socket.tcp()
    sock:connect("127.0.0.1", port)
    sock:send("GET /served HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    local answer = sock:receive("*a")
    sock:close()
    return tonumber(answer:match("\r\n\r\n(%d+)"))
end
local function arrives(count)
    for _ = 1, 100 do
        if served() == count then return true end
        ngx.sleep(0.05)
    end
    error("there are " .. served() .. " and not " .. count)
end
for i, pair in ipairs({
    { {}, 'no logging server configured. "host"/"port" or "path" is required.' }, { { host = 1 }, '"host" must be a string' }, { { host = "h", port = "x" }, '"port" must be a number' }, { { host = "h", port = 70000 }, '"port" out of range 0~65535' }, { { path = 1 }, '"path" must be a string' },
    { { host = "h", port = 1, sock_type = "x" }, '"sock_type" must be "tcp" or "udp"' }, { { host = "h", port = 1, sock_type = 1 }, '"sock_type" must be a string' }, { { host = "h", port = 1, flush_limit = -1 }, 'invalid "flush_limit"' }, { { host = "h", port = 1, timeout = "x" }, 'invalid "timeout"' }, { { host = "h", port = 1, periodic_flush = 0 }, 'invalid "periodic_flush"' },
    { { host = "h", port = 1, ssl = 1 }, '"ssl" must be a boolean value' }, { { host = "h", port = 1, sni_host = 1 }, '"sni_host" must be a string' }, { { host = "h", port = 1, flush_limit = 10, drop_limit = 5 }, '"flush_limit" should be < "drop_limit"' }, { "x", "user_config must be a table" },
}) do
    expect("wrong " .. i, function()
        local made, err = logger:new(pair[1])
        assert(made == nil and err == pair[2], err)
        local other = setmetatable({}, { __index = logger })
        made, err = other:init(pair[1])
        assert(made == nil and err == pair[2], err)
    end)
end
local function new(more)
    local config = { host = "127.0.0.1", port = port, flush_limit = 1, max_retry_times = 1, retry_interval = 1, pool_size = 1 }
    for key, value in pairs(more or {}) do config[key] = value end
    return assert(logger:new(config))
end
expect("not begun", function()
    local own = setmetatable({}, { __index = logger })
    assert(own:initted() == false)
    local bytes, err = own:log("x")
    assert(bytes == nil and err == "not initialized")
    bytes, err = own:flush()
    assert(bytes == nil and err == "not initialized")
    assert(own:init({ host = "127.0.0.1", port = port }) == true and own:initted() == true)
end)
expect("log", function()
    local before, own = served(), new()
    assert(own:log(MESSAGE) == #MESSAGE)
    arrives(before + 1)
end)
expect("what waits", function()
    local before, own = served(), new({ flush_limit = 10000 })
    own:log(MESSAGE:sub(1, 10))
    own:log(MESSAGE:sub(11))
    ngx.sleep(0.1)
    assert(served() == before, "it is not sent yet")
    assert(own:flush() == #MESSAGE)
    arrives(before + 1)
end)
expect("periodic_flush", function()
    local before, own = served(), new({ flush_limit = 10000, periodic_flush = 0.05 })
    own:log(MESSAGE)
    arrives(before + 1)
end)
expect("too much", function()
    local own = new({ flush_limit = 100, drop_limit = 200 })
    local bytes, err = own:log(("x"):rep(201))
    assert(bytes == 0 and err == "logger buffer is full, this log message will be dropped", err)
end)
expect("nobody there", function()
    local own = new({ port = 1 })
    own:log("x")
    for _ = 1, 100 do
        ngx.sleep(0.02)
        local _, err = own:log("y")
        if err then
            assert(err:find("^try to connect to the log server failed"), err)
            return
        end
    end
    error("the error was not told")
end)
expect("numbers are texts", function() assert(new({ flush_limit = 1000 }):log(12) == 2) end)
