--- Expressions in JSONPath: `@.price < 10 && @.isbn`, `@.length - 1`.
--
-- `@` is the value at hand and `$` the document. Operators: `|| && == != < <= > >= + - * / % !`
-- and parentheses; texts in quotes, numbers, true, false, null. Nothing is ever run as Lua.
-- @module moongate.jsonpath_expr
local null = ngx.null

local find = string.find
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local type = type

local DEPTH_MAX = 50

local LEVELS = {
    { "||" }, { "&&" }, { "==", "!=", "=~" }, { "<=", ">=", "<", ">" }, { "+", "-" },
    { "*", "/", "%" },
}

local Reader = {}
local mt = { __index = Reader }

local _M = {}


function Reader:skip()
    self.at = match(self.text, "^%s*()", self.at)
end


-- `@.a['b'][0]` as a list of keys, the first of which is "@" or "$".
function Reader:reference()
    local keys = { kind = "reference", sub(self.text, self.at, self.at) }
    self.at = self.at + 1
    while true do
        local key, after = match(self.text, "^%.([%a_][%w_]*)()", self.at)
        if not key then
            key, after = match(self.text, "^%[%s*['\"]([^'\"]*)['\"]%s*%]()", self.at)
        end
        if not key then
            key, after = match(self.text, "^%[%s*(%-?%d+)%s*%]()", self.at)
            key = tonumber(key)
        end
        if not key then
            return keys
        end
        keys[#keys + 1] = key
        self.at = after
    end
end


function Reader:operand(depth)
    self:skip()
    local text, at = self.text, self.at
    local char = sub(text, at, at)
    if depth > DEPTH_MAX then
        return nil
    elseif char == "(" then
        self.at = at + 1
        local inner = self:level(1, depth + 1)
        self:skip()
        if not inner or sub(text, self.at, self.at) ~= ")" then
            return nil
        end
        self.at = self.at + 1
        return inner
    elseif char == "!" or char == "-" and not find(text, "^%-%d", at) then
        self.at = at + 1
        local inner = self:operand(depth + 1)
        return inner and { kind = "prefix", char, inner }
    elseif char == "@" or char == "$" then
        return self:reference()
    elseif char == "'" or char == '"' then
        local to = find(text, char, at + 1, true)
        self.at = (to or at) + 1
        return to and { kind = "value", sub(text, at + 1, to - 1) }
    end
    local number, after = match(text, "^(%-?%d+%.?%d*)()", at)
    if number then
        self.at = after
        return { kind = "value", tonumber(number) }
    end
    local word, to = match(text, "^(%a+)()", at)
    self.at = to or at
    if word == "true" or word == "false" then
        return { kind = "value", word == "true" }
    elseif word == "null" then
        return { kind = "value", null }
    end
end


function Reader:operator(list)
    self:skip()
    for _, operator in ipairs(list) do
        if sub(self.text, self.at, self.at + #operator - 1) == operator then
            self.at = self.at + #operator
            return operator
        end
    end
end


function Reader:level(number, depth)
    if number > #LEVELS then
        return self:operand(depth)
    end
    local left = self:level(number + 1, depth)
    while left do
        local operator = self:operator(LEVELS[number])
        if not operator then
            return left
        end
        local right = self:level(number + 1, depth)
        left = right and { kind = "binary", operator, left, right }
    end
end


--- Reads an expression.
-- @treturn table|nil
-- @treturn nil|string error
function _M.compile(text)
    local reader = setmetatable({ text = text, at = 1 }, mt)
    local made = reader:level(1, 1)
    reader:skip()
    if not made or reader.at <= #text then
        return nil, "invalid filter: " .. text
    end
    return made
end


local function truth(value)
    return value ~= nil and value ~= false and value ~= null
end


local OPERATORS = {
    ["=="] = function(a, b) return a == b end,
    ["!="] = function(a, b) return a ~= b end,
    ["=~"] = function(a, b)
        return type(a) == "string" and type(b) == "string" and ngx.re.find(a, b, "jo") ~= nil
    end,
    ["<"] = function(a, b) return a < b end,
    ["<="] = function(a, b) return a <= b end,
    [">"] = function(a, b) return a > b end,
    [">="] = function(a, b) return a >= b end,
    ["+"] = function(a, b) return a + b end,
    ["-"] = function(a, b) return a - b end,
    ["*"] = function(a, b) return a * b end,
    ["/"] = function(a, b) return a / b end,
    ["%"] = function(a, b) return a % b end,
}


local function follow(keys, at, root)
    local value = keys[1] == "@" and at or keys[1] == "$" and root
    for i = 2, #keys do
        if type(value) ~= "table" then
            return nil
        end
        local key = keys[i]
        if type(key) == "number" then
            key = key < 0 and key + #value + 1 or key + 1
        elseif key == "length" and value.length == nil then
            return #value
        end
        value = value[key]
    end
    return value
end


--- What an expression is for a value.
function _M.value(node, at, root)
    if node.kind == "value" then
        return node[1]
    elseif node.kind == "reference" then
        return follow(node, at, root)
    elseif node.kind == "prefix" then
        local value = _M.value(node[2], at, root)
        if node[1] == "!" then
            return not truth(value)
        end
        return type(value) == "number" and -value or nil
    end
    local operator, left = node[1], _M.value(node[2], at, root)
    if operator == "&&" then
        return truth(left) and truth(_M.value(node[3], at, root))
    elseif operator == "||" then
        return truth(left) or truth(_M.value(node[3], at, root))
    end
    local right = _M.value(node[3], at, root)
    if operator ~= "==" and operator ~= "!=" and operator ~= "=~" then
        -- Only what has an order is compared, only numbers are reckoned with.
        if type(left) ~= type(right) or (type(left) ~= "number" and type(left) ~= "string")
           or (type(left) == "string" and not find(operator, "[<>]")) then
            return nil
        end
    end
    return OPERATORS[operator](left, right)
end


--- Whether an expression holds for a value.
function _M.truth(node, at, root)
    return truth(_M.value(node, at, root))
end


return _M
