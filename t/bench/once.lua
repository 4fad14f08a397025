--- For wrk: sends each request of a file once, and ends when there are no more.
-- Arguments: the file, the bytes of a request; all are equally long; and `again` to start over
-- at the end of the file.
-- luacheck: globals wrk init request
local again, file, next_one, size


function init(args)
    file = assert(io.open(args[1], "rb"))
    size = tonumber(args[2])
    again = args[3] == "again"
    next_one = file:read(size)
end


function request()
    local this = next_one
    next_one = file:read(size)
    if again and not next_one then
        file:seek("set", 0)
        next_one = file:read(size)
    end
    -- Those in flight then are lost: one per connection, at most.
    if not next_one then
        wrk.thread:stop()
        next_one = this
    end
    return this
end
