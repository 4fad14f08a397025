--- For wrk: sends each request of a file once, and ends when there are no more.
-- Arguments: the file, the bytes of a request; all are equally long.
-- luacheck: globals wrk init request
local size, text
local at = 1


function init(args)
    local file = assert(io.open(args[1], "rb"))
    text = file:read("*a")
    file:close()
    size = tonumber(args[2])
end


function request()
    local this = text:sub(at, at + size - 1)
    at = at + size
    -- Those in flight then are lost: one per connection, at most.
    if at > #text then
        wrk.thread:stop()
    end
    return this
end
