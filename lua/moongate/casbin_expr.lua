--- Matchers of Casbin: `g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act`.
--
-- An expression becomes a function of the request, the policy and the functions it may call.
-- Nothing of it is ever run as Lua.
-- @module moongate.casbin_expr
local error = error
local find = string.find
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local DEPTH_MAX = 64

local LEVELS = {
    { "||" }, { "&&" }, { "==", "!=", "<=", ">=", "<", ">", "in " }, { "+", "-" },
    { "*", "/", "%" },
}

local Reader = {}
local mt = { __index = Reader }


function Reader:skip()
    self.at = match(self.text, "^%s*()", self.at)
end


function Reader:fail()
    error("cannot read matcher at position " .. self.at .. ": " .. self.text, 0)
end


function Reader:list(closing, depth)
    local items = {}
    self:skip()
    while sub(self.text, self.at, self.at) ~= closing do
        items[#items + 1] = self:level(1, depth + 1)
        self:skip()
        if sub(self.text, self.at, self.at) == "," then
            self.at = self.at + 1
        elseif sub(self.text, self.at, self.at) ~= closing then
            self:fail()
        end
        self:skip()
    end
    self.at = self.at + 1
    return items
end


local function constant(value)
    return function()
        return value
    end
end


-- A name: a field of `r` or `p`, or a call.
function Reader:name(depth)
    local path, after = match(self.text, "^([%a_][%w_.]*)()", self.at)
    if not path then
        self:fail()
    end
    self.at = after
    if find(self.text, "^%s*%(", after) then
        self.at = match(self.text, "^%s*%(()", after)
        local args = self:list(")", depth)
        return function(env)
            local func = env.functions[path]
            if not func then
                error("unknown function " .. path, 0)
            end
            local values = {}
            for i, arg in ipairs(args) do
                values[i] = arg(env)
            end
            return func(values, env)
        end
    elseif path == "true" or path == "false" then
        return constant(path == "true")
    end
    local keys = {}
    for key in path:gmatch("[^.]+") do
        keys[#keys + 1] = key
    end
    -- Policies and requests may be written r_sub or r.sub.
    if #keys == 1 then
        local root, rest = match(path, "^(%a%d*)_(.+)$")
        if root then
            keys = { root, rest }
        end
    end
    return function(env)
        local value = env
        for _, key in ipairs(keys) do
            if type(value) ~= "table" then
                error("no field " .. path, 0)
            end
            value = value[key]
        end
        return value
    end
end


function Reader:operand(depth)
    if depth > DEPTH_MAX then
        error("matcher is nested too deeply", 0)
    end
    self:skip()
    local char = sub(self.text, self.at, self.at)
    if char == "(" then
        self.at = self.at + 1
        local items = self:list(")", depth)
        if #items == 1 then
            return items[1], true
        end
        return function(env)
            local values = {}
            for i, item in ipairs(items) do
                values[i] = item(env)
            end
            return values
        end
    elseif char == "!" then
        self.at = self.at + 1
        local inner = self:operand(depth + 1)
        return function(env)
            return not inner(env)
        end
    elseif char == "'" or char == '"' then
        local stop = find(self.text, char, self.at + 1, true)
        if not stop then
            self:fail()
        end
        local text = sub(self.text, self.at + 1, stop - 1)
        self.at = stop + 1
        return constant(text)
    end
    local number, after = match(self.text, "^(%-?%d+%.?%d*)()", self.at)
    if number then
        self.at = after
        return constant(tonumber(number))
    end
    return self:name(depth)
end


local function contains(value, list)
    if type(list) ~= "table" then
        return value == list
    end
    for _, item in ipairs(list) do
        if item == value then
            return true
        end
    end
    return false
end


local function compare(a, b, func)
    local x, y = tonumber(a), tonumber(b)
    if x and y then
        return func(x, y)
    end
    return func(tostring(a), tostring(b))
end


local OPERATORS = {
    ["=="] = function(a, b) return a == b end,
    ["!="] = function(a, b) return a ~= b end,
    ["<"] = function(a, b) return compare(a, b, function(x, y) return x < y end) end,
    [">"] = function(a, b) return compare(a, b, function(x, y) return x > y end) end,
    ["<="] = function(a, b) return compare(a, b, function(x, y) return x <= y end) end,
    [">="] = function(a, b) return compare(a, b, function(x, y) return x >= y end) end,
    ["in "] = contains,
    ["+"] = function(a, b) return a + b end,
    ["-"] = function(a, b) return a - b end,
    ["*"] = function(a, b) return a * b end,
    ["/"] = function(a, b) return a / b end,
    ["%"] = function(a, b) return a % b end,
}


function Reader:level(number, depth)
    if number > #LEVELS then
        return (self:operand(depth))
    end
    local left = self:level(number + 1, depth)
    while true do
        self:skip()
        local operator
        for _, candidate in ipairs(LEVELS[number]) do
            if sub(self.text, self.at, self.at + #candidate - 1) == candidate then
                operator = candidate
                break
            end
        end
        if not operator then
            return left
        end
        self.at = self.at + #operator
        local before, right = left, self:level(number + 1, depth)
        if operator == "&&" then
            left = function(env) return before(env) and right(env) end
        elseif operator == "||" then
            left = function(env) return before(env) or right(env) end
        else
            local func = OPERATORS[operator]
            left = function(env) return func(before(env), right(env)) end
        end
    end
end


local _M = {}


--- Reads an expression.
-- @treturn function of a table with `r`, `p` and `functions`
-- @raise if it cannot be read
function _M.compile(text)
    local reader = setmetatable({ text = text, at = 1 }, mt)
    local made = reader:level(1, 1)
    reader:skip()
    if reader.at <= #text then
        reader:fail()
    end
    return made
end


return _M
