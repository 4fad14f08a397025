--- What `ctx.var.graphql_*` needs to know of a GraphQL document: the first operation's
-- kind and name, and the names of the fields at its root.
-- @module moongate.graphql
local find = string.find
local match = string.match
local sub = string.sub

local OPERATIONS = { query = true, mutation = true, subscription = true }
local CLOSING = { ["{"] = "}", ["("] = ")", ["["] = "]" }

-- Nesting is written by the client.
local DEPTH_MAX = 200

local _M = {}


-- Position of the next token: after spaces, commas, byte order mark and comments.
local function skip(text, at)
    while true do
        local from = at
        at = match(text, "^[%s,]*()", at)
        at = match(text, "^\239\187\191()", at) or at
        at = match(text, "^#[^\r\n]*()", at) or at
        if at == from then
            return at
        end
    end
end


-- Position after a string that begins at `at`, or nil if it does not end.
local function skip_string(text, at)
    if sub(text, at, at + 2) == '"""' then
        local position = at + 3
        while true do
            local from, to = find(text, '"""', position, true)
            if not from then
                return nil
            end
            if sub(text, from - 1, from - 1) ~= "\\" then
                return to + 1
            end
            position = to + 1
        end
    end

    local position = at + 1
    while true do
        local from = find(text, '["\\\r\n]', position)
        local char = from and sub(text, from, from)
        if char == '"' then
            return from + 1
        elseif char == "\\" then
            position = from + 2
        else
            return nil
        end
    end
end


-- Position after the bracket that closes the one at `at`, or nil.
local function skip_group(text, at)
    local open = {}
    while true do
        at = skip(text, at)
        local char = sub(text, at, at)
        if char == "" or #open > DEPTH_MAX then
            return nil
        end

        if char == '"' then
            at = skip_string(text, at)
            if not at then
                return nil
            end
        else
            if CLOSING[char] then
                open[#open + 1] = CLOSING[char]
            elseif char == "}" or char == ")" or char == "]" then
                if open[#open] ~= char then
                    return nil
                end
                open[#open] = nil
                if #open == 0 then
                    return at + 1
                end
            end
            at = at + 1
        end
    end
end


-- Position after variables and directives that may follow a name.
local function skip_decorations(text, at)
    while true do
        at = skip(text, at)
        local char = sub(text, at, at)
        if char == "(" then
            at = skip_group(text, at)
            if not at then
                return nil
            end
        elseif char == "@" then
            local after = match(text, "^@[%a_][%w_]*()", at)
            if not after then
                return nil
            end
            at = after
        else
            return at
        end
    end
end


-- One entry of a selection: the field's name (nil for a fragment) and the next position.
local function read_selection(text, at)
    local name
    local after = match(text, "^%.%.%.()", at)
    if after then
        at = skip(text, after)
        local word, rest = match(text, "^([%a_][%w_]*)()", at)
        if word == "on" then
            at = match(text, "^[%a_][%w_]*()", skip(text, rest)) or rest
        elseif word then
            at = rest
        end
    else
        name, at = match(text, "^([%a_][%w_]*)()", at)
        if not name then
            return nil
        end
        local colon = skip(text, at)
        if sub(text, colon, colon) == ":" then
            name, at = match(text, "^([%a_][%w_]*)()", skip(text, colon + 1))
            if not name then
                return nil
            end
        end
    end

    at = skip_decorations(text, at)
    if at and sub(text, at, at) == "{" then
        at = skip_group(text, at)
    end
    return name or false, at
end


-- The field names between the braces that begin at `at`, and the position after them.
local function read_fields(text, at)
    local fields = {}
    at = skip(text, at + 1)
    while sub(text, at, at) ~= "}" do
        local name, after = read_selection(text, at)
        if name == nil or not after then
            return nil
        end
        if name then
            fields[#fields + 1] = name
        end
        at = skip(text, after)
    end
    return fields, at + 1
end


-- One definition: { operation, name, fields } and the position after it.
local function read_definition(text, at)
    local definition = { operation = "query", name = "" }
    if sub(text, at, at) ~= "{" then
        local word, after = match(text, "^(%l+)()", at)
        if not word then
            return nil
        end
        definition.operation = word
        at = skip(text, after)

        local name, next_at = match(text, "^([%a_][%w_]*)()", at)
        if name then
            definition.name = name
            at = next_at
        end
        if word == "fragment" then
            at = match(text, "^on%s+[%a_][%w_]*()", skip(text, at))
        elseif not OPERATIONS[word] then
            return nil
        end
        at = at and skip_decorations(text, at)
    end

    if not at or sub(text, at, at) ~= "{" then
        return nil
    end
    definition.fields, at = read_fields(text, at)
    if not definition.fields then
        return nil
    end
    return definition, at
end


--- Reads a document.
-- @tparam string text
-- @treturn table|nil `{ name, operation, root_fields, count }`, the first definition and
--   how many there are
-- @treturn nil|string error
function _M.summary(text)
    local first, count = nil, 0
    local at = skip(text, 1)
    while at <= #text do
        local definition
        definition, at = read_definition(text, at)
        if not definition then
            return nil, "failed to parse graphql: syntax error body: " .. text
        end
        first = first or definition
        count = count + 1
        at = skip(text, at)
    end

    if not first then
        return nil, "empty graphql: " .. text
    end
    return {
        name = first.name,
        operation = first.operation,
        root_fields = first.fields,
        count = count,
    }
end


return _M
