-- Signals and commands.
-- alone: yes
local signal = require("resty.signal")
case("signum", function()
    assert(signal.signum("TERM") == 15 and signal.signum("NONE") == 0 and signal.signum("X") == nil)
    return "as expected"
end)
case("kill with none", function() assert(signal.kill(ngx.worker.pid(), "NONE")) return "as expected" end)
case("kill of nobody", function()
    local ok, err = signal.kill(2 ^ 22 + 1, 0)
    assert(ok == nil and err == "No such process", err)
    return "as expected"
end)
case("kill with an unknown one", function()
    local ok, err = signal.kill(1, "FOO")
    assert(ok == nil and err == "unknown signal name: FOO", err)
    return "as expected"
end)
case("ksuid", function()
    local ksuid = require("resty.ksuid")
    assert(#ksuid.generate() == 27 and ksuid.generate() ~= ksuid.generate())
    -- From the documentation of the first implementation.
    local payload = ("B5A1CD34B5F99D1154FB6853345C9735"):gsub("..", function(hex)
        return string.char(tonumber(hex, 16))
    end)
    local id = ksuid.generate(1400000000 + 107608047, payload)
    assert(id == "0ujtsYcgvSTl8PAuAdqWYSMnLOv", id)
    return "as expected"
end)
