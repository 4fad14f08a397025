--- What cases/worker.lua runs in threads beside the workers.
local _M = {}


function _M.sum(a, b)
    return a + b
end


function _M.echo(...)
    return ...
end


function _M.count(...)
    return select("#", ...)
end


function _M.types(...)
    local names = {}
    for at = 1, select("#", ...) do
        names[at] = type((select(at, ...)))
    end
    return table.concat(names, " ")
end


function _M.fail()
    error("what it raised")
end


function _M.fail_with(value)
    error(value, 0)
end


function _M.nothing()
end


function _M.change(list)
    list.changed = true
    list[#list + 1] = "more"
    return list
end


function _M.give_function()
    return print
end


function _M.work(rounds)
    local sum = 0
    for i = 1, rounds do
        sum = (sum * 31 + i) % 1000003
    end
    return sum
end


function _M.base64(text)
    return ngx.encode_base64(text), ngx.md5(text)
end


return _M
