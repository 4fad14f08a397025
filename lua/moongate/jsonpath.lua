--- A JSONPath reader for `ctx.var["post_arg.…"]`: names, indices, wildcards, descent.
--
-- Understood: `$`, `.name`, `['name']`, `[n]`, `[-n]`, `[*]`, `.*`, `..name`, `..*`.
-- Filters and slices are not; a path with them finds nothing.
-- @module moongate.jsonpath
local names = require("moongate.api.names")

local find = string.find
local ipairs = ipairs
local match = string.match
local pairs = pairs
local tonumber = tonumber
local type = type

-- A body is written by the client: the walk must not follow it for ever.
local DEPTH_MAX = 64
local RESULTS_MAX = 10000

local _M = {}


local function read_step(path, at)
    local deep = false
    local from, to = find(path, "^%.%.?", at)
    if from then
        deep = to > from
        at = to + 1
    end

    local key, after = match(path, "^%[%s*['\"](.-)['\"]%s*%]()", at)
    if key then
        return { key = key, deep = deep }, after
    end
    key, after = match(path, "^%[%s*(%-?%d+)%s*%]()", at)
    if key then
        return { index = tonumber(key), deep = deep }, after
    end
    after = match(path, "^%[%s*%*%s*%]()", at) or match(path, "^%*()", at)
    if after then
        return { all = true, deep = deep }, after
    end
    key, after = match(path, "^([^%.%[%]%*%s]+)()", at)
    if key and from then
        return { key = key, deep = deep }, after
    end
    if deep and find(path, "^%[", at) then
        return nil
    end
end


-- The steps of a path; an empty table if it is not understood.
local steps_of = names.memoise(function(path)
    local steps, at = {}, 2
    if path:sub(1, 1) ~= "$" then
        return steps
    end
    while at <= #path do
        local step, after = read_step(path, at)
        if not step then
            return {}
        end
        steps[#steps + 1] = step
        at = after
    end
    return steps
end)


local function pick(node, step, found)
    if type(node) ~= "table" or #found >= RESULTS_MAX then
        return
    end
    if step.all then
        for _, value in pairs(node) do
            found[#found + 1] = value
        end
        return
    end

    local key = step.key
    if step.index then
        key = step.index >= 0 and step.index + 1 or #node + 1 + step.index
    end
    if node[key] ~= nil then
        found[#found + 1] = node[key]
    end
end


local function descend(node, step, found, depth)
    pick(node, step, found)
    if depth >= DEPTH_MAX or type(node) ~= "table" then
        return
    end
    for _, value in pairs(node) do
        if type(value) == "table" then
            descend(value, step, found, depth + 1)
        end
    end
end


--- All values that a path names.
-- @tparam table root
-- @tparam string path beginning with "$"
-- @treturn table list, empty if nothing was found
function _M.query(root, path)
    local steps = steps_of(path)
    if #steps == 0 then
        return {}
    end

    local nodes = { root }
    for _, step in ipairs(steps) do
        local found = {}
        for _, node in ipairs(nodes) do
            if step.deep then
                descend(node, step, found, 1)
            else
                pick(node, step, found)
            end
        end
        nodes = found
    end
    return nodes
end


return _M
