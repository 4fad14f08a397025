--- `ltn12`: sources, sinks, filters and pumps.
-- @module ltn12
local concat = table.concat
local error = error
local ipairs = ipairs
local select = select
local sub = string.sub
local type = type

local _M = { _VERSION = "LTN12 1.0.3", BLOCKSIZE = 2048, filter = {}, source = {}, sink = {},
             pump = {} }
local filter, source, sink, pump = _M.filter, _M.source, _M.sink, _M.pump


--- A filter out of a function with a state.
function filter.cycle(func, state, extra)
    return function(chunk)
        local made
        made, state = func(state, chunk, extra)
        return made
    end
end


--- Filters one after another.
function filter.chain(...)
    local list = { ... }
    return function(chunk)
        local ended = chunk == nil
        for _, func in ipairs(list) do
            if ended then
                -- What is left in the filters before comes first.
                local parts = {}
                if chunk then
                    parts[1] = func(chunk)
                end
                repeat
                    local more = func(nil)
                    parts[#parts + 1] = more
                until not more or more == ""
                chunk = #parts > 0 and concat(parts) or nil
                if chunk == "" then
                    chunk = nil
                end
            else
                chunk = func(chunk)
            end
        end
        return chunk
    end
end


function source.empty()
    return function()
        return nil
    end
end


function source.error(err)
    return function()
        return nil, err
    end
end


function source.string(text)
    if not text then
        return source.empty()
    end
    local at = 1
    return function()
        local chunk = sub(text, at, at + _M.BLOCKSIZE - 1)
        at = at + _M.BLOCKSIZE
        return chunk ~= "" and chunk or nil
    end
end


function source.table(list)
    local at = 0
    return function()
        at = at + 1
        return list[at]
    end
end


function source.file(handle, err)
    if not handle then
        return source.error(err or "unable to open file")
    end
    return function()
        local chunk = handle:read(_M.BLOCKSIZE)
        if not chunk then
            handle:close()
        end
        return chunk
    end
end


--- Lets a function change its own ways.
function source.simplify(func)
    return function()
        local chunk, other = func()
        func = type(other) == "function" and other or func
        if not chunk then
            return nil, type(other) ~= "function" and other or nil
        end
        return chunk
    end
end


--- Gives back what was taken.
function source.rewind(func)
    local kept = {}
    return function(chunk)
        if chunk then
            kept[#kept + 1] = chunk
            return
        end
        return table.remove(kept) or func()
    end
end


--- A source seen through a filter.
function source.chain(func, ...)
    local through = select("#", ...) > 1 and filter.chain(...) or (...)
    local ended, waiting = false, {}
    return function()
        while true do
            if #waiting > 0 then
                return table.remove(waiting, 1)
            elseif ended then
                return nil
            end
            local chunk, err = func()
            if err then
                return nil, err
            elseif chunk then
                local made = through(chunk)
                if made and made ~= "" then
                    return made
                end
            else
                ended = true
                local made = through(nil)
                while made and made ~= "" do
                    waiting[#waiting + 1] = made
                    made = through(nil)
                end
            end
        end
    end
end


--- Sources one after another.
function source.cat(...)
    local list, at = { ... }, 1
    return function()
        while list[at] do
            local chunk, err = list[at]()
            if chunk or err then
                return chunk, err
            end
            at = at + 1
        end
    end
end


function sink.null()
    return function()
        return 1
    end
end


function sink.error(err)
    return function()
        return nil, err
    end
end


function sink.table(list)
    list = list or {}
    return function(chunk)
        if chunk then
            list[#list + 1] = chunk
        end
        return 1
    end, list
end


function sink.file(handle, err)
    if not handle then
        return sink.error(err or "unable to open file")
    end
    return function(chunk)
        if not chunk then
            handle:close()
            return 1
        end
        return handle:write(chunk)
    end
end


function sink.simplify(func)
    return function(chunk, err)
        local good, other = func(chunk, err)
        if not good then
            return nil, other
        end
        func = type(other) == "function" and other or func
        return 1
    end
end


--- A filter before a sink.
function sink.chain(...)
    local list = { ... }
    local target = table.remove(list)
    local through = #list > 1 and filter.chain(unpack(list)) or list[1]
    return function(chunk, err)
        if chunk == "" then
            return 1
        end
        -- The sink is told of the end of each piece, too: by "", or by nil at the very end.
        local made, done = through(chunk), chunk and "" or nil
        while true do
            local good, problem = target(made, err)
            if not good then
                return nil, problem
            elseif made == done then
                return 1
            end
            made = through(done)
        end
    end
end


--- One piece from a source to a sink.
function pump.step(from, to)
    local chunk, source_err = from()
    local good, sink_err = to(chunk, source_err)
    if chunk and good then
        return 1
    end
    return nil, source_err or sink_err
end


--- Everything from a source to a sink.
function pump.all(from, to, step)
    if not from or not to then
        error("source and sink are needed", 2)
    end
    step = step or pump.step
    while true do
        local good, err = step(from, to)
        if not good then
            if err then
                return nil, err
            end
            return 1
        end
    end
end


return _M
