--- `pl.stringx`: Penlight's functions for texts.
-- @module pl.stringx
local List = require("pl.List")
local Template = require("moongate.pl_template")

local concat = table.concat
local error = error
local find = string.find
local floor = math.floor
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local rep = string.rep
local reverse = string.reverse
local sub = string.sub
local type = type
local unpack = unpack
local upper = string.upper

local _M = { Template = Template }


local function needs_text(text, place)
    if type(text) ~= "string" then
        error("argument " .. (place or 1) .. " expected a 'string' got a '" .. type(text) .. "'", 3)
    end
end


for name, pattern in pairs({ isalpha = "^%a+$", isdigit = "^%d+$", isalnum = "^%w+$",
                             isspace = "^%s+$", islower = "^[%l%s]+$", isupper = "^[%u%s]+$" }) do
    --- Whether a text has only such characters, and any.
    _M[name] = function(text)
        needs_text(text)
        return find(text, pattern) == 1
    end
end


-- Whether a text begins or ends with a text, or with one of several.
local function edge(cut)
    return function(text, part)
        needs_text(text)
        if type(part) == "string" then
            return cut(text, #part) == part
        elseif type(part) ~= "table" then
            error("argument #2 expected a 'string' or a 'table', got a '" .. type(part) .. "'", 2)
        end
        for _, one in ipairs(part) do
            if cut(text, #one) == one then
                return true
            end
        end
        return false
    end
end


--- Whether a text begins with `prefix`, or with one of a list.
_M.startswith = edge(function(text, size)
    return sub(text, 1, size)
end)

--- Whether a text ends with `suffix`, or with one of a list.
_M.endswith = edge(function(text, size)
    return sub(text, #text - size + 1)
end)


-- A set of characters as a pattern; spaces if none are given.
local function set_of(chars)
    return chars and "[" .. gsub(chars, "[%^%]%-%%%[]", "%%%0") .. "]" or "%s"
end


function _M.lstrip(text, chars)
    needs_text(text)
    return (gsub(text, "^" .. set_of(chars) .. "+", ""))
end


function _M.rstrip(text, chars)
    needs_text(text)
    local last, set = #text, set_of(chars)
    while last > 0 and find(text, "^" .. set, last) do
        last = last - 1
    end
    return sub(text, 1, last)
end


function _M.strip(text, chars)
    needs_text(text)
    return _M.lstrip(_M.rstrip(text, chars), chars)
end


--- The pieces of a text.
-- @tparam string text
-- @tparam[opt] string separator literal; spaces if nil
-- @tparam[opt] number max how many pieces at most
-- @treturn List
function _M.split(text, separator, max)
    needs_text(text)
    local pieces, at, plain = List(), 1, separator ~= nil
    if not plain then
        text = _M.lstrip(text)
    end
    if text == "" then
        return pieces
    end
    while not max or #pieces + 1 < max do
        local from, to = find(text, separator or "%s+", at, plain)
        if not from then
            break
        end
        pieces[#pieces + 1] = sub(text, at, from - 1)
        at = to + 1
    end
    local rest = sub(text, at)
    if plain or rest ~= "" then
        pieces[#pieces + 1] = rest
    end
    return pieces
end


--- As `split`, several results instead of a list.
function _M.splitv(text, separator, max)
    needs_text(text)
    return unpack(_M.split(text, separator, max))
end


--- The lines of a text.
-- @tparam string text
-- @tparam[opt] boolean keep_ends
-- @treturn List
function _M.splitlines(text, keep_ends)
    needs_text(text)
    local lines, at = List(), 1
    while at <= #text do
        local from, to = find(text, "\r?\n", at)
        local bare = find(text, "\r", at, true)
        if bare and (not from or bare < from) then
            from, to = bare, bare
        end
        if not from then
            lines[#lines + 1] = sub(text, at)
            break
        end
        lines[#lines + 1] = sub(text, at, keep_ends and to or from - 1)
        at = to + 1
    end
    return lines
end


--- Walks over the lines of a text.
function _M.lines(text)
    needs_text(text)
    if not find(text, "\n$") then
        text = text .. "\n"
    end
    return gmatch(text, "([^\n]*)\n")
end


--- Joins a list with `separator` between.
function _M.join(separator, list)
    needs_text(separator)
    return concat(list, separator)
end


--- Replaces a literal text.
-- @tparam[opt] number max how many times at most
function _M.replace(text, old, new, max)
    needs_text(text)
    return (gsub(text, gsub(old, "%p", "%%%0"), gsub(new, "%%", "%%%%"), max))
end


--- How often a literal text occurs.
-- @tparam[opt] boolean overlapping
function _M.count(text, part, overlapping)
    needs_text(text)
    local count, at = 0, 1
    while true do
        local from, to = find(text, part, at, true)
        if not from then
            return count
        end
        count = count + 1
        at = overlapping and from + 1 or to + 1
    end
end


--- The first place of `part` between two positions.
-- @treturn number|nil where it begins
function _M.lfind(text, part, first, last)
    needs_text(text)
    local from, to = find(text, part, first or 1, true)
    if from and to <= (last or #text) then
        return from
    end
end


--- The last place of `part` between two positions.
-- @treturn number|nil where it begins
function _M.rfind(text, part, first, last)
    needs_text(text)
    last = last or #text
    for at = last - #part + 1, first or 1, -1 do
        if sub(text, at, at + #part - 1) == part then
            return at
        end
    end
end


local function pad(text, width, char, before)
    local missing = width - #text
    if missing <= 0 then
        return text
    end
    char = char or " "
    local left = before(missing)
    return rep(char, left) .. text .. rep(char, missing - left)
end


function _M.ljust(text, width, char)
    needs_text(text)
    return pad(text, width, char, function() return 0 end)
end


function _M.rjust(text, width, char)
    needs_text(text)
    return pad(text, width, char, function(missing) return missing end)
end


function _M.center(text, width, char)
    needs_text(text)
    return pad(text, width, char, function(missing) return floor(missing / 2) end)
end


--- What stands before the first `part`, the part, and what stands behind it.
function _M.partition(text, part)
    needs_text(text)
    local from, to = find(text, part, 1, true)
    if not from then
        return text, "", ""
    end
    return sub(text, 1, from - 1), part, sub(text, to + 1)
end


--- As `partition` with the last one.
function _M.rpartition(text, part)
    needs_text(text)
    local from, to = find(reverse(text), reverse(part), 1, true)
    if not from then
        return "", "", text
    end
    return sub(text, 1, #text - to), part, sub(text, #text - from + 2)
end


--- The character at a place; from the end if it is negative.
function _M.at(text, place)
    needs_text(text)
    return sub(text, place, place)
end


--- Each word with a capital.
function _M.title(text)
    needs_text(text)
    return (gsub(text, "(%S)(%S*)", function(first, rest)
        return upper(first) .. rest:lower()
    end))
end


_M.capitalize = _M.title


--- A text cut to a width, with three dots where it was cut.
-- @tparam string text
-- @tparam number width
-- @tparam[opt] boolean tail keep the end instead of the begin
function _M.shorten(text, width, tail)
    needs_text(text)
    if #text <= width then
        return text
    elseif width < 3 then
        return sub("...", 1, width)
    elseif tail then
        return "..." .. sub(text, #text - width + 4)
    end
    return sub(text, 1, width - 3) .. "..."
end


--- A text as Lua source: in long brackets if it has lines, otherwise in quotes.
function _M.quote_string(text)
    needs_text(text)
    if find(text, "\n", 1, true) and not find(text, "[%z\1-\8\11-\31]") then
        local level = ""
        while find(text, "]" .. level .. "]", 1, true) or find(text, "]" .. level .. "$") do
            level = level .. "="
        end
        -- The first line break after the brackets is not part of the text.
        local lead = find(text, "^\n") and "\n" or ""
        return "[" .. level .. "[" .. lead .. text .. "]" .. level .. "]"
    end
    return (gsub(("%q"):format(text), "\r", "\\r"))
end


--- Tabs as spaces up to the next column.
function _M.expandtabs(text, width)
    needs_text(text)
    width = width or 8
    return (gsub(text, "([^\t\r\n]*)\t", function(before)
        return before .. rep(" ", width - #before % width)
    end))
end


--- Puts spaces, or something else, before each line.
function _M.indent(text, count, char)
    needs_text(text)
    local lead, lines = rep(char or " ", count), {}
    for _, line in ipairs(_M.splitlines(text)) do
        lines[#lines + 1] = lead .. line
    end
    return concat(lines, "\n") .. "\n"
end


--- Takes the spaces of the first line from all lines.
function _M.dedent(text)
    needs_text(text)
    local lines = {}
    local first = match(text, "^%s*")
    for _, line in ipairs(_M.splitlines(text)) do
        lines[#lines + 1] = sub(line, #first + 1)
    end
    return concat(lines, "\n") .. "\n"
end


--- The words of a text as lines of a width.
-- @treturn List
function _M.wrap(text, width)
    needs_text(text)
    width = width or 70
    local lines, line = List(), nil
    for word in gmatch(text, "%S+") do
        if line and #line + 1 + #word <= width then
            line = line .. " " .. word
        else
            if line then
                lines[#lines + 1] = line
            end
            line = word
        end
    end
    lines[#lines + 1] = line or ""
    return lines
end


--- As `wrap`, as one text.
function _M.fill(text, width)
    return concat(_M.wrap(text, width), "\n") .. "\n"
end


return require("moongate.unsupported").absent(_M, "pl.stringx.", { "format_operator", "import" },
                                              "it changes all texts of the gateway")
