--- `pl.stringx`: the functions of Penlight's stringx that plugins use.
-- @module pl.stringx
local concat = table.concat
local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local match = string.match
local sub = string.sub

local _M = {}


-- A set of characters as a pattern; spaces if none are given.
local function set_of(chars)
    if not chars then
        return "%s"
    end
    return "[" .. gsub(chars, "[%^%]%-%%]", "%%%0") .. "]"
end


function _M.lstrip(text, chars)
    return (gsub(text, "^" .. set_of(chars) .. "+", ""))
end


function _M.rstrip(text, chars)
    local last = #text
    local set = set_of(chars)
    while last > 0 and find(sub(text, last, last), set) do
        last = last - 1
    end
    return sub(text, 1, last)
end


function _M.strip(text, chars)
    return _M.lstrip(_M.rstrip(text, chars), chars)
end


--- The pieces of a text.
-- @tparam string text
-- @tparam[opt] string separator literal; spaces if nil
-- @tparam[opt] number max how many pieces at most
function _M.split(text, separator, max)
    local pieces = {}
    if not separator then
        text = _M.lstrip(text)
        while text ~= "" do
            local from, to = find(text, "%s+")
            if not from or (max and #pieces + 1 >= max) then
                pieces[#pieces + 1] = max and text or _M.rstrip(text)
                break
            end
            pieces[#pieces + 1] = sub(text, 1, from - 1)
            text = sub(text, to + 1)
        end
        return pieces
    end

    local position = 1
    while not max or #pieces + 1 < max do
        local from, to = find(text, separator, position, true)
        if not from then
            break
        end
        pieces[#pieces + 1] = sub(text, position, from - 1)
        position = to + 1
    end
    pieces[#pieces + 1] = sub(text, position)
    return pieces
end


function _M.startswith(text, prefix)
    return sub(text, 1, #prefix) == prefix
end


function _M.endswith(text, suffix)
    return #text >= #suffix and sub(text, #text - #suffix + 1) == suffix
end


--- Joins a list with `separator` between.
function _M.join(separator, list)
    return concat(list, separator)
end


--- Replaces a literal text.
-- @tparam[opt] number max how many times at most
function _M.replace(text, old, new, max)
    old = gsub(old, "%p", "%%%0")
    new = gsub(new, "%%", "%%%%")
    return (gsub(text, old, new, max))
end


--- How often a literal text occurs.
function _M.count(text, part)
    local count, position = 0, 1
    while true do
        local from, to = find(text, part, position, true)
        if not from then
            return count
        end
        count = count + 1
        position = to + 1
    end
end


--- The lines of a text, as a list.
function _M.splitlines(text)
    local lines = {}
    for line in gmatch(gsub(text, "\r\n?", "\n") .. (match(text, "[\r\n]$") and "" or "\n"),
                       "([^\n]*)\n") do
        lines[#lines + 1] = line
    end
    return lines
end


function _M.isalpha(text)
    return find(text, "^%a+$") == 1
end


function _M.isdigit(text)
    return find(text, "^%d+$") == 1
end


function _M.isalnum(text)
    return find(text, "^%w+$") == 1
end


function _M.isspace(text)
    return find(text, "^%s+$") == 1
end


--- The last place of `part` in a text, between two positions.
-- @treturn number|nil where it begins
function _M.rfind(text, part, first, last)
    last = last or #text
    for at = last - #part + 1, first or 1, -1 do
        if sub(text, at, at + #part - 1) == part then
            return at
        end
    end
end


return _M
