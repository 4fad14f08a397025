--- `pl.utils`: the functions of Penlight's utils that plugins use.
-- @module pl.utils
local List = require("pl.List")

local find = string.find
local gsub = string.gsub
local io_open = io.open
local sub = string.sub
local unpack = unpack

local _M = { _VERSION = "1.13.1", dir_separator = "/", is_windows = false }


--- The pieces of a text.
-- @tparam string text
-- @tparam[opt="%s+"] string separator a pattern, or literal if `plain`
-- @tparam[opt] boolean plain
-- @tparam[opt] number max how many pieces at most
-- @treturn List
function _M.split(text, separator, plain, max)
    local pieces, at = List(), 1
    separator = separator or "%s+"
    if separator == "" then
        pieces[1] = text
        return pieces
    end
    while true do
        local from, to = find(text, separator, at, plain)
        if not from or max and #pieces + 1 >= max then
            local rest = sub(text, at)
            if rest ~= "" then
                pieces[#pieces + 1] = rest
            end
            if #pieces == 1 and pieces[1] == "" then
                return List()
            end
            return pieces
        end
        pieces[#pieces + 1] = sub(text, at, from - 1)
        at = to + 1
    end
end


--- As `split`, several results instead of a list.
function _M.splitv(text, separator, plain, max)
    return unpack(_M.split(text, separator, plain, max))
end


--- What a file has.
-- @treturn string|nil
-- @treturn nil|string error
function _M.readfile(name, is_binary)
    local file, err = io_open(name, is_binary and "rb" or "r")
    if not file then
        return nil, err
    end
    local text, why = file:read("*a")
    file:close()
    if not text then
        return nil, name .. ": " .. why
    end
    return text
end


--- Writes a file anew.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M.writefile(name, text, is_binary)
    local file, err = io_open(name, is_binary and "wb" or "w")
    if not file then
        return nil, err
    end
    local ok, why = file:write(text)
    file:close()
    if not ok then
        return nil, name .. ": " .. why
    end
    return true
end


--- The lines of a file.
-- @treturn table|nil
-- @treturn nil|string error
function _M.readlines(name)
    local file, err = io_open(name, "r")
    if not file then
        return nil, err
    end
    local lines = {}
    for line in file:lines() do
        lines[#lines + 1] = line
    end
    file:close()
    return lines
end


--- A text as a pattern that finds just it.
function _M.escape(text)
    return (gsub(text, "[%-%.%+%[%]%(%)%$%^%%%?%*]", "%%%1"))
end


--- One of two values.
function _M.choose(condition, one, other)
    if condition then
        return one
    end
    return other
end


return require("moongate.unsupported").absent(_M, "pl.utils.", {
    "array_tostring", "assert_arg", "assert_string", "bind1", "bind2", "enum", "execute",
    "executeex", "fprintf", "function_arg", "import", "is_type", "kpairs", "load", "memoize",
    "npairs", "on_error", "printf", "quit", "quote_arg", "raise", "set_deprecation_func",
    "string_lambda", "unpack",
})
