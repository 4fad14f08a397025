--- For wrk: posts the same JSON again and again. Argument: the file with it.
-- luacheck: globals wrk init
function init(args)
    local file = assert(io.open(args[1], "rb"))
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = file:read("*a")
    file:close()
end
