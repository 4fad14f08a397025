--- The words of a .proto file, for `moongate.protoc_reader`.
-- @module moongate.protoc_lexer
local error = error
local find = string.find
local format = string.format
local gsub = string.gsub
local match = string.match
local sub = string.sub
local tonumber = tonumber

local ESCAPES = { n = "\n", r = "\r", t = "\t", a = "\a", b = "\b", f = "\f", v = "\v" }

local Reader = {}

function Reader:fail(text)
    local _, line = gsub(sub(self.text, 1, self.at), "\n", "")
    error(format("%s:%d: %s", self.name, line + 1, text), 0)
end


function Reader:skip()
    local text, at = self.text, self.at
    while true do
        local from = at
        at = match(text, "^%s*()", at)
        at = match(text, "^//[^\n]*()", at) or at
        if sub(text, at, at + 1) == "/*" then
            local _, to = find(text, "*/", at + 2, true)
            at = to and to + 1 or #text + 1
        end
        if at == from then
            break
        end
    end
    self.at = at
end


function Reader:take(pattern)
    self:skip()
    local found, after = match(self.text, pattern, self.at)
    if after then
        self.at = after
    end
    return after and found
end


function Reader:mark(char)
    self:skip()
    if sub(self.text, self.at, self.at + #char - 1) == char then
        self.at = self.at + #char
        return true
    end
    return false
end


function Reader:need(char)
    if not self:mark(char) then
        self:fail("'" .. char .. "' expected")
    end
end


function Reader:ident()
    return self:take("^([%a_][%w_]*)()") or self:fail("identifier expected")
end


function Reader:full_ident()
    return self:take("^(%.?[%a_][%w_.]*)()") or self:fail("name expected")
end


function Reader:integer()
    local text = self:take("^(%-?0[xX]%x+)()") or self:take("^([-+]?%d+)()")
    if not text then
        self:fail("integer expected")
    end
    if match(text, "^0%d") then
        return tonumber(text, 8)
    end
    return tonumber(text)
end


function Reader:string()
    self:skip()
    local quote = sub(self.text, self.at, self.at)
    if quote ~= '"' and quote ~= "'" then
        self:fail("string expected")
    end
    local from = self.at + 1
    while true do
        local stop = find(self.text, "[\\\n" .. quote .. "]", from)
        local char = stop and sub(self.text, stop, stop)
        if char == quote then
            local raw = sub(self.text, self.at + 1, stop - 1)
            self.at = stop + 1
            return (gsub(raw, "\\(.)", ESCAPES))
        elseif char ~= "\\" then
            self:fail("unfinished string")
        end
        from = stop + 2
    end
end


-- A value of an option: a number, a name, a text, or a group that is passed over.
function Reader:constant()
    self:skip()
    local char = sub(self.text, self.at, self.at)
    if char == '"' or char == "'" then
        local text = self:string()
        while find(self.text, "^%s*[\"']", self.at) do
            text = text .. self:string()
        end
        return text
    elseif char == "{" or char == "[" then
        local depth = 0
        repeat
            self:skip()
            char = sub(self.text, self.at, self.at)
            if char == '"' or char == "'" then
                self:string()
            else
                depth = depth + ((char == "{" or char == "[") and 1
                                 or (char == "}" or char == "]") and -1 or 0)
                self.at = self.at + 1
            end
            if self.at > #self.text + 1 then
                self:fail("unfinished option")
            end
        until depth == 0
        return nil
    end
    return self:take("^([-+]?[%w_.]+[-+]?%d*)()") or self:fail("constant expected")
end


function Reader:option_name()
    local name = ""
    repeat
        if self:mark("(") then
            name = name .. "(" .. self:full_ident() .. ")"
            self:need(")")
        else
            name = name .. self:full_ident()
        end
    until not self:mark(".")
    return name
end


return Reader
