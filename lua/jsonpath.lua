--- `jsonpath`: reads values out of tables by JSONPath.
--
--     local jp = require("jsonpath")
--     jp.query(store, "$..author")            --> { "Nigel Rees", ... }
--     jp.nodes(store, "$.book[?(@.price<10)]") --> { { path = { "$", "book", 0 }, value = ... } }
--
-- Understood: names, indices (from 0, negative from the end), unions, slices, wildcards,
-- descent, filters `?(...)` and computed keys `(@.length-1)`.
-- @module jsonpath
local expression = require("moongate.jsonpath_expr")

local find = string.find
local floor = math.floor
local ipairs = ipairs
local match = string.match
local max = math.max
local min = math.min
local next = next
local pairs = pairs
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

-- A document is written by the client: the walk must not follow it for ever.
local DEPTH_MAX = 100
local RESULTS_MAX = 100000

local _M = {}


-- One entry between brackets: a name, an index, a slice, a filter or a computed key.
local function entry(text)
    text = match(text, "^%s*(.-)%s*$")
    if text == "*" then
        return "*"
    elseif match(text, "^%-?%d+$") then
        return tonumber(text)
    end
    local quoted = match(text, "^'(.*)'$") or match(text, '^"(.*)"$')
    if quoted then
        return quoted
    end
    local from, to, step = match(text, "^(%-?%d*):(%-?%d*):?(%-?%d*)$")
    if from then
        return { kind = "slice", from = tonumber(from), to = tonumber(to), step = tonumber(step) }
    end
    local filter = match(text, "^%?%s*(%b())$")
    if filter then
        local compiled, err = expression.compile(sub(filter, 2, -2))
        return compiled and { kind = "filter", compiled = compiled, text = filter }, err
    end
    local computed = match(text, "^(%b())$")
    if computed then
        local compiled, err = expression.compile(sub(computed, 2, -2))
        return compiled and { kind = "computed", compiled = compiled, text = computed }, err
    end
    if match(text, "^[%a_][%w_%-]*$") then
        return text
    end
    return nil, "invalid expression in brackets: " .. text
end


-- The entries of a union, split at commas that no quotes or parentheses hold.
local function entries(text)
    local list, depth, quote, from = {}, 0, nil, 1
    for at = 1, #text + 1 do
        local char = sub(text, at, at)
        if quote then
            quote = char ~= quote and quote or nil
        elseif char == "'" or char == '"' then
            quote = char
        elseif char == "(" then
            depth = depth + 1
        elseif char == ")" then
            depth = depth - 1
        end
        if at > #text or (char == "," and depth == 0 and not quote) then
            local made, err = entry(sub(text, from, at - 1))
            if made == nil then
                return nil, err
            end
            list[#list + 1] = made
            from = at + 1
        end
    end
    return list
end


-- The position of the bracket that closes the one at `at`.
local function closing(path, at)
    local depth, quote = 0, nil
    for i = at, #path do
        local char = sub(path, i, i)
        if quote then
            quote = char ~= quote and quote or nil
        elseif char == "'" or char == '"' then
            quote = char
        elseif char == "[" then
            depth = depth + 1
        elseif char == "]" then
            depth = depth - 1
            if depth == 0 then
                return i
            end
        end
    end
end


local function step_at(path, at)
    local dots, after = match(path, "^(%.%.?)()", at)
    at = after or at
    if sub(path, at, at) == "[" then
        local to = closing(path, at)
        if not to or dots == "." then
            return nil, "invalid expression at position " .. at
        end
        local list, err = entries(sub(path, at + 1, to - 1))
        return list, list and to + 1 or err, dots
    end
    if not dots then
        return nil, "invalid expression at position " .. at
    end
    local name, to = match(path, "^([^%.%[%]%s'\"%(%)]+)()", at)
    if not name then
        return nil, "invalid expression at position " .. at
    end
    return { name }, to, dots
end


--- Takes a path apart.
-- @tparam string path
-- @treturn table|nil "$" and its steps; ".." stands before a step that descends
-- @treturn nil|string error
function _M.parse(path)
    if type(path) ~= "string" then
        return nil, "missing or invalid 'expr' argument"
    end
    local ast, at = {}, 1
    if sub(path, 1, 1) == "$" then
        ast[1], at = "$", 2
    elseif find(path, "^[%a_]") then
        path, at = "." .. path, 1
    end
    while at <= #path do
        local list, after, dots = step_at(path, at)
        if not list then
            return nil, "invalid expression '" .. path .. "': " .. tostring(after)
        end
        if dots == ".." then
            ast[#ast + 1] = ".."
        end
        ast[#ast + 1] = #list == 1 and list[1] or { kind = "union", list = list }
        at = after
    end
    if #ast == 0 then
        return nil, "invalid expression '" .. path .. "'"
    end
    return ast
end


local function is_array(value)
    return value[1] ~= nil or next(value) == nil
end


local function add(found, parent, key, value)
    if #found < RESULTS_MAX then
        found[#found + 1] = { parent = parent, key = key, value = value }
    end
end


-- The children of a value in an order that is always the same.
local function each(node, func)
    local value = node.value
    if type(value) ~= "table" then
        return
    end
    if is_array(value) then
        for i, item in ipairs(value) do
            func(i - 1, item)
        end
        return
    end
    local names = {}
    for name in pairs(value) do
        names[#names + 1] = name
    end
    sort(names, function(a, b)
        return tostring(a) < tostring(b)
    end)
    for _, name in ipairs(names) do
        func(name, value[name])
    end
end


local function pick_slice(node, step, found)
    local value = node.value
    if type(value) ~= "table" or not is_array(value) then
        return
    end
    local count, stride = #value, step.step or 1
    if stride == 0 then
        return
    end
    local function place(at, default)
        at = at or default
        return at < 0 and at + count or at
    end
    if stride > 0 then
        for i = max(0, place(step.from, 0)), min(count, place(step.to, count)) - 1, stride do
            add(found, node, i, value[i + 1])
        end
    else
        local last = step.to and place(step.to) or -1
        for i = min(count - 1, place(step.from, count - 1)), last + 1, stride do
            add(found, node, i, value[i + 1])
        end
    end
end


local function pick(node, step, found, root)
    local value = node.value
    if type(value) ~= "table" then
        return
    end
    local kind = type(step) == "table" and step.kind
    if kind == "union" then
        for _, part in ipairs(step.list) do
            pick(node, part, found, root)
        end
    elseif kind == "slice" then
        pick_slice(node, step, found)
    elseif kind == "filter" then
        each(node, function(key, item)
            if expression.truth(step.compiled, item, root) then
                add(found, node, key, item)
            end
        end)
    elseif kind == "computed" then
        local key = expression.value(step.compiled, value, root)
        if key ~= nil then
            pick(node, type(key) == "number" and floor(key) or key, found, root)
        end
    elseif step == "*" then
        each(node, function(key, item)
            add(found, node, key, item)
        end)
    elseif type(step) == "number" then
        local at = step < 0 and step + #value or step
        if is_array(value) and value[at + 1] ~= nil then
            add(found, node, at, value[at + 1])
        end
    elseif value[step] ~= nil then
        add(found, node, step, value[step])
    elseif step == "length" and is_array(value) then
        add(found, node, step, #value)
    end
end


local function descend(node, step, found, root, depth)
    pick(node, step, found, root)
    if depth >= DEPTH_MAX then
        return
    end
    each(node, function(key, item)
        if type(item) == "table" then
            descend({ parent = node, key = key, value = item }, step, found, root, depth + 1)
        end
    end)
end


local function walk(root, path, count)
    if type(root) ~= "table" then
        return nil, "missing or invalid 'obj' argument"
    end
    local ast = path
    if type(path) ~= "table" then
        local err
        ast, err = _M.parse(path)
        if not ast then
            return nil, err
        end
    end
    local nodes, deep = { { value = root } }, false
    for _, step in ipairs(ast) do
        if step == ".." then
            deep = true
        elseif step ~= "$" then
            local found = {}
            for _, node in ipairs(nodes) do
                if deep then
                    descend(node, step, found, root, 1)
                else
                    pick(node, step, found, root)
                end
            end
            nodes, deep = found, false
        end
    end
    if count then
        for i = #nodes, count + 1, -1 do
            nodes[i] = nil
        end
    end
    return nodes
end


local function path_of(node)
    local keys = {}
    while node.parent do
        keys[#keys + 1] = node.key
        node = node.parent
    end
    local path = { "$" }
    for i = #keys, 1, -1 do
        path[#path + 1] = keys[i]
    end
    return path
end


--- All matches with their places.
-- @treturn table|nil of `path` ("$", names and indices from 0) and `value`
-- @treturn nil|string error
function _M.nodes(root, path, count)
    local found, err = walk(root, path, count)
    if not found then
        return nil, err
    end
    local list = {}
    for i, node in ipairs(found) do
        list[i] = { path = path_of(node), value = node.value }
    end
    return list
end


--- All values.
function _M.query(root, path, count)
    local found, err = walk(root, path, count)
    if not found then
        return nil, err
    end
    local list = {}
    for i, node in ipairs(found) do
        list[i] = node.value
    end
    return list
end


--- The first value.
function _M.value(root, path)
    local found, err = walk(root, path, 1)
    if not found then
        return nil, err
    end
    return found[1] and found[1].value
end


--- The places alone.
function _M.paths(root, path, count)
    local found, err = walk(root, path, count)
    if not found then
        return nil, err
    end
    local list = {}
    for i, node in ipairs(found) do
        list[i] = path_of(node)
    end
    return list
end


return _M
