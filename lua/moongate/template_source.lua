--- Templates as Lua source, for `resty.template`.
-- @module moongate.template_source
local concat = table.concat
local find = string.find
local format = string.format
local match = string.match
local sub = string.sub

-- The second character of a tag -> what ends it.
local ENDS = { ["{"] = "}}", ["*"] = "*}", ["%"] = "%}", ["("] = ")}", ["["] = "]}", ["#"] = "#}",
               ["-"] = "-}" }

local function quoted(text)
    return format("%q", text)
end


local function emit(code, text)
    if text ~= "" then
        code[#code + 1] = "___[#___+1]=" .. quoted(text) .. "\n"
    end
end


-- The backslashes before a tag: whether it is escaped, and how many characters go.
local function escaped(view, at)
    if sub(view, at - 1, at - 1) ~= "\\" then
        return false, 0
    elseif sub(view, at - 2, at - 2) == "\\" then
        return false, 1
    end
    return true, 1
end


local function trimmed(text)
    return match(text, "^%s*(.-)%s*$")
end


-- The end of the text before a tag that stands alone: blanks before it go.
local function before_alone(view, from, at)
    return match(sub(view, from, at - 1), "^(.-)[ \t%z\v]*$")
end


local function after_alone(view, at)
    return sub(view, at, at) == "\n" and at + 1 or at
end


local function include_code(text)
    local name, context = match(text, "^%s*(.-)%s*,%s*(.-)%s*$")
    name = name or trimmed(text)
    name = match(name, "^[\"'](.*)[\"']$") or name
    return "___[#___+1]=include(" .. quoted(name) .. (context and "," .. context or "") .. ")\n"
end


-- Writes the code of one block that begins at `from`; returns where the text goes on.
local function block(code, view, from, name, open_to, start, skip)
    local close = "{-" .. name .. "-}"
    local stop, stop_to = find(view, close, open_to + 1, true)
    if not stop then
        return nil
    end
    if name == "raw" or name == "verbatim" then
        emit(code, sub(view, start, from - 1 - skip))
        emit(code, sub(view, after_alone(view, open_to + 1), stop - 1))
        return after_alone(view, stop_to + 1)
    end
    emit(code, before_alone(view, start, from - skip))
    local inner = sub(view, after_alone(view, open_to + 1), stop - 1)
    inner = before_alone(inner, 1, #inner + 1)
    code[#code + 1] = "blocks[" .. quoted(name) .. "]=include(" .. quoted(inner) .. ")\n"
    return after_alone(view, stop_to + 1)
end


-- Writes the code of a tag of kind `mark` at `from` that ends at `to`; returns where to go on.
local function tag(code, view, from, to, mark, start, skip)
    local inner = sub(view, from + 2, to - 2)
    if mark == "%" or mark == "#" then
        if mark == "#" then
            emit(code, sub(view, start, from - 1 - skip))
        else
            emit(code, before_alone(view, start, from - skip))
            code[#code + 1] = inner .. "\n"
        end
        return after_alone(view, to + 1)
    end
    emit(code, sub(view, start, from - 1 - skip))
    if mark == "{" then
        code[#code + 1] = "___[#___+1]=(template.escape(" .. trimmed(inner) .. "))\n"
    elseif mark == "*" then
        code[#code + 1] = "___[#___+1]=template.output(" .. trimmed(inner) .. ")\n"
    elseif mark == "(" then
        code[#code + 1] = include_code(inner)
    elseif mark == "[" then
        code[#code + 1] = "___[#___+1]=include(" .. inner .. ")\n"
    end
    return to + 1
end


local HEAD = [[
context=... or {}
local include,blocks=include,blocks or {}
local ___,layout={},nil
]]
local TAIL = "return layout and include(layout,setmetatable({view=template.concat(___),"
             .. "blocks=blocks},{__index=context})) or template.concat(___)"


-- The Lua source of a template.
local function source(view)
    local code = { HEAD }
    local start, at = 1, 1
    while true do
        local from = find(view, "{", at, true)
        if not from then
            break
        end
        local mark = sub(view, from + 1, from + 1)
        local ending = ENDS[mark]
        local stop, to
        if ending then
            stop, to = find(view, ending, from + 2, true)
        end
        local hidden, skip = escaped(view, from)
        local name = stop and mark == "-" and match(sub(view, from + 2, stop - 1), "^[^{}\n]+$")
        at = from + 1
        if stop and hidden then
            emit(code, sub(view, start, from - 2))
            start = from
            at = from + 2
        elseif name then
            local after = block(code, view, from, name, to, start, skip)
            start, at = after or start, after or at
        elseif stop and mark ~= "-" then
            start = tag(code, view, from, to, mark, start, skip)
            at = start
        end
    end
    emit(code, sub(view, start))
    code[#code + 1] = TAIL
    return concat(code)
end


return source
