--- `graphql`: reads a GraphQL document (queries, mutations, subscriptions and fragments).
--
-- `parse` gives tables with a field `kind`, or raises "Syntax error near line N". Type
-- definitions are not read: no plugin receives them.
-- @module graphql
local unsupported = require("moongate.unsupported")

local byte = string.byte
local error = error
local find = string.find
local gsub = string.gsub
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local type = type

-- Nesting is written by the client.
local DEPTH_MAX = 200

local Reader = {}
local mt = { __index = Reader }


function Reader:fail()
    local _, line = gsub(sub(self.text, 1, self.at), "\n", "")
    error("Syntax error near line " .. line + 1, 0)
end


-- Goes on to the next token: past blanks, commas and comments.
function Reader:skip()
    local text, at = self.text, self.at
    while true do
        local from = at
        at = match(text, "^[%s,]*()", at)
        at = match(text, "^\239\187\191()", at) or at
        at = match(text, "^#[^\r\n]*()", at) or at
        if at == from then
            break
        end
    end
    self.at = at
end


-- Takes what `pattern` finds here; its last capture is the position after it.
function Reader:take(pattern)
    self:skip()
    local captures = { match(self.text, pattern, self.at) }
    local after = captures[#captures]
    if not after then
        return nil
    end
    self.at = after
    return captures[1]
end


function Reader:mark(char)
    self:skip()
    if sub(self.text, self.at, self.at + #char - 1) ~= char then
        return false
    end
    self.at = self.at + #char
    return true
end


function Reader:need(char)
    if not self:mark(char) then
        self:fail()
    end
end


function Reader:deeper()
    self.depth = self.depth + 1
    if self.depth > DEPTH_MAX then
        error("document is nested too deeply", 0)
    end
end


function Reader:name()
    local value = self:take("^([%a_][%w_]*)()")
    if not value then
        self:fail()
    end
    return { kind = "name", value = value }
end


function Reader:variable()
    self:need("$")
    return { kind = "variable", name = self:name() }
end


function Reader:string()
    local text, at = self.text, self.at
    if sub(text, at, at + 2) == '"""' then
        local from, to = find(text, '[^\\]"""', at + 2)
        if sub(text, at + 3, at + 5) == '"""' then
            from, to = at + 2, at + 5
        end
        if not from then
            self:fail()
        end
        self.at = to + 1
        return { kind = "string", value = (gsub(sub(text, at + 3, from), '\\"""', '"""')) }
    end
    local from = at + 1
    while true do
        local stop = find(text, '["\\\r\n]', from)
        local char = stop and byte(text, stop)
        if char == 34 then
            self.at = stop + 1
            return { kind = "string", value = (gsub(sub(text, at + 1, stop - 1), '\\"', '"')) }
        elseif char ~= 92 then
            self:fail()
        end
        from = stop + 2
    end
end


function Reader:fields_of_object()
    local values = {}
    while not self:mark("}") do
        local name = self:name()
        self:need(":")
        values[#values + 1] = { name = name.value, value = self:value() }
    end
    return { kind = "inputObject", values = values }
end


function Reader:value()
    self:skip()
    local char = sub(self.text, self.at, self.at)
    if char == "$" then
        return self:variable()
    elseif char == '"' then
        return self:string()
    elseif char == "[" or char == "{" then
        self:deeper()
        self.at = self.at + 1
        local made
        if char == "{" then
            made = self:fields_of_object()
        else
            made = { kind = "list", values = {} }
            while not self:mark("]") do
                made.values[#made.values + 1] = self:value()
            end
        end
        self.depth = self.depth - 1
        return made
    end
    local number, after = match(self.text, "^(%-?%d+)()", self.at)
    if number then
        local rest, to = match(self.text, "^(%.%d+[eE]?[+-]?%d*)()", after)
        if not rest then
            rest, to = match(self.text, "^([eE][+-]?%d+)()", after)
        end
        self.at = to or after
        return { kind = rest and "float" or "int", value = number .. (rest or "") }
    end
    local word = self:name().value
    if word == "true" or word == "false" then
        return { kind = "boolean", value = word }
    end
    return { kind = "enum", value = word }
end


function Reader:arguments()
    if not self:mark("(") then
        return nil
    end
    local list = {}
    while not self:mark(")") do
        local name = self:name()
        self:need(":")
        list[#list + 1] = { kind = "argument", name = name, value = self:value() }
    end
    if #list == 0 then
        self:fail()
    end
    return list
end


function Reader:directives()
    local list
    while self:mark("@") do
        list = list or {}
        list[#list + 1] = { kind = "directive", name = self:name(), arguments = self:arguments() }
    end
    return list
end


function Reader:type()
    local made
    if self:mark("[") then
        self:deeper()
        made = { kind = "listType", type = self:type() }
        self.depth = self.depth - 1
        self:need("]")
    else
        made = { kind = "namedType", name = self:name() }
    end
    if self:mark("!") then
        made = { kind = "nonNullType", type = made }
    end
    return made
end


function Reader:spread()
    local at = self.at
    local word = self:take("^([%a_][%w_]*)()")
    if word and word ~= "on" then
        return { kind = "fragmentSpread", name = { kind = "name", value = word },
                 directives = self:directives() }
    end
    if not word then
        self.at = at
    end
    return {
        kind = "inlineFragment",
        typeCondition = word and self:type() or nil,
        directives = self:directives(),
        selectionSet = self:selections(),
    }
end


function Reader:selection()
    if self:mark("...") then
        return self:spread()
    end
    local name, alias = self:name(), nil
    if self:mark(":") then
        alias = { kind = "alias", name = name }
        name = self:name()
    end
    local field = { kind = "field", alias = alias, name = name, arguments = self:arguments(),
                    directives = self:directives() }
    self:skip()
    if sub(self.text, self.at, self.at) == "{" then
        field.selectionSet = self:selections()
    end
    return field
end


function Reader:selections()
    self:need("{")
    self:deeper()
    local list = {}
    while not self:mark("}") do
        list[#list + 1] = self:selection()
    end
    self.depth = self.depth - 1
    return { kind = "selectionSet", selections = list }
end


function Reader:variables()
    if not self:mark("(") then
        return nil
    end
    local list = {}
    while not self:mark(")") do
        local definition = { kind = "variableDefinition", variable = self:variable() }
        self:need(":")
        definition.type = self:type()
        if self:mark("=") then
            definition.defaultValue = self:value()
        end
        list[#list + 1] = definition
    end
    return #list > 0 and list or nil
end


function Reader:definition()
    self:skip()
    if sub(self.text, self.at, self.at) == "{" then
        return { kind = "operation", operation = "query", selectionSet = self:selections() }
    end
    local word = self:name().value
    if word == "fragment" then
        local name = self:name()
        if self:name().value ~= "on" then
            self:fail()
        end
        return { kind = "fragmentDefinition", name = name, typeCondition = self:type(),
                 directives = self:directives(), selectionSet = self:selections() }
    elseif word ~= "query" and word ~= "mutation" and word ~= "subscription" then
        self:fail()
    end
    local made = { kind = "operation", operation = word }
    local name = self:take("^([%a_][%w_]*)()")
    if name then
        made.name = { kind = "name", value = name }
    end
    made.variableDefinitions = self:variables()
    made.directives = self:directives()
    made.selectionSet = self:selections()
    return made
end


local _M = {}


--- Reads a document.
-- @tparam string text
-- @treturn table `kind` "document" and `definitions`
-- @raise "Syntax error near line N"
function _M.parse(text)
    if type(text) ~= "string" then
        error("bad argument #1 to 'parse' (string expected, got " .. type(text) .. ")", 2)
    end
    local reader = setmetatable({ text = text, at = 1, depth = 0 }, mt)
    local definitions = {}
    reader:skip()
    while reader.at <= #text do
        definitions[#definitions + 1] = reader:definition()
        reader:skip()
    end
    return { kind = "document", definitions = definitions }
end


return unsupported.absent(_M, "graphql.", { "validate", "execute" },
    "plugins read documents, upstreams run them")
