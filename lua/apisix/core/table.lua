--- `core.table`: Lua's `table` and more.
-- @module apisix.core.table
local clear = require("table.clear")
local shallow_copy = require("table.clone")
local host = require("moongate.host")
local isarray = require("table.isarray")
local isempty = require("table.isempty")
local new_tab = require("table.new")
local nkeys = require("table.nkeys")

local byte = string.byte
local concat = table.concat
local getmetatable = getmetatable
local ipairs = ipairs
local newproxy = newproxy
local null = host.json.null
local pairs = pairs
local select = select
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring
local type = type

local DOT = byte(".")

local _M = {
    version = 0.2,
    new = new_tab,
    clear = clear,
    nkeys = nkeys,
    isarray = isarray,
    isempty = isempty,
    insert = table.insert,
    concat = concat,
    sort = table.sort,
}

setmetatable(_M, { __index = table })


--- A shallow copy. That of a ctx also has what its metatable knows of the request.
function _M.clone(t)
    local mt = getmetatable(t)
    if type(mt) == "table" and mt.__pairs then
        mt.__pairs(t)
    end
    return shallow_copy(t)
end


--- Appends all values, nil included, and returns the last index.
function _M.insert_tail(tab, ...)
    local index = #tab
    for i = 1, select("#", ...) do
        index = index + 1
        tab[index] = (select(i, ...))
    end
    return index
end


--- Writes the values to 1, 2, ...
function _M.set(tab, ...)
    for i = 1, select("#", ...) do
        tab[i] = (select(i, ...))
    end
end


--- `tab[a][b]...`, nil as soon as something on the way is no table.
function _M.try_read_attr(tab, ...)
    for i = 1, select("#", ...) do
        if type(tab) ~= "table" then
            return nil
        end
        tab = tab[(select(i, ...))]
    end
    return tab
end


--- Index of `val` in `array`, or nil.
function _M.array_find(array, val)
    if type(array) ~= "table" then
        return nil
    end
    for i, item in ipairs(array) do
        if item == val then
            return i
        end
    end
end


--- Sets a metatable whose `__gc` is called when `t` is collected.
function _M.setmt__gc(t, mt)
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = function()
        mt.__gc(t)
    end
    t[proxy] = true
    return setmetatable(t, mt)
end


local function is_under(path, prefix)
    if sub(path, 1, #prefix) ~= prefix then
        return false
    end
    return #path == #prefix or byte(path, #prefix + 1) == DOT
end


local function is_shared(path, opts)
    return _M.array_find(opts.shallows, path)
        or (opts.shallow_prefix and is_under(path, opts.shallow_prefix))
end


local function deep(orig, copied, path, opts)
    local length = #orig
    local copy = new_tab(length, nkeys(orig) - length)
    copied[orig] = copy

    for key, value in pairs(orig) do
        if type(value) == "table" then
            local below = opts and path .. "." .. tostring(key)
            if not (opts and is_shared(below, opts)) then
                value = copied[value] or deep(value, copied, below, opts)
            end
        end
        copy[key] = value
    end
    return setmetatable(copy, getmetatable(orig))
end


--- A copy of a table and all tables in it; metatables are shared.
-- @param orig anything; what is no table is returned as it is
-- @tparam[opt] table opts `shallows`: list of paths ("self.value.plugins") that the copy
--   shares with the original; `shallow_prefix`: one path shared with all below it
function _M.deepcopy(orig, opts)
    if type(orig) ~= "table" then
        return orig
    end
    return deep(orig, {}, "self", opts)
end


--- Merges `extend` into `origin`, table by table. Arrays are replaced, nulls delete.
function _M.merge(origin, extend)
    for key, value in pairs(extend) do
        local old = origin[key]
        if type(value) == "table" and type(old) == "table"
           and not isarray(old) and not isarray(value) then
            _M.merge(old, value)
        elseif value == null then
            origin[key] = nil
        else
            origin[key] = value
        end
    end
    return origin
end


--- Sets the node at `sub_path` ("a/b") to `conf`.
-- @return status and message when a node on the way is no table, else nil, nil, root
function _M.patch(root, sub_path, conf)
    local names = {}
    for name in (sub_path .. "/"):gmatch("([^/]*)/") do
        names[#names + 1] = name
    end

    local node = root
    for i = 1, #names - 1 do
        local name = names[i]
        if node[name] == nil then
            node[name] = {}
        end
        node = node[name]
        if type(node) ~= "table" then
            return 400, "invalid sub-path: /" .. concat(names, 1, i)
        end
    end
    if type(node) ~= "table" then
        return 400, "invalid sub-path: /" .. sub_path
    end

    local last = names[#names]
    if last and last ~= "" then
        node[last] = conf
    else
        root = conf
    end
    return nil, nil, root
end


--- Whether two tables have the same keys.
function _M.set_eq(a, b)
    if nkeys(a) ~= nkeys(b) then
        return false
    end
    for key in pairs(a) do
        if b[key] == nil then
            return false
        end
    end
    return true
end


local function deep_eq(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then
        return a == b
    end
    if nkeys(a) ~= nkeys(b) then
        return false
    end
    for key, value in pairs(a) do
        if not deep_eq(value, b[key]) then
            return false
        end
    end
    return true
end


--- Whether two values are equal, looking into tables.
_M.deep_eq = deep_eq


--- The fields of `obj` that `attrs` names as keys.
function _M.pick(obj, attrs)
    local picked = {}
    for key, value in pairs(obj) do
        if attrs[key] ~= nil then
            picked[key] = value
        end
    end
    return picked
end


return _M
