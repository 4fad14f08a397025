--- `pl.types`: Penlight's questions about values.
-- @module pl.types
local find = string.find
local getmetatable = getmetatable
local ipairs = ipairs
local lower = string.lower
local lua_type = type
local next = next
local rawget = rawget
local io_type = io.type
local floor = math.floor

local TRUE_WORDS = { yes = true, y = true, ["true"] = true, t = true, ["1"] = true }

local _M = {}


local function has_event(value, event)
    local meta = getmetatable(value)
    return lua_type(meta) == "table" and rawget(meta, event) ~= nil
end


--- Whether it can be called.
function _M.is_callable(value)
    return lua_type(value) == "function" or has_event(value, "__call")
end


--- Whether it is of a type: the name of one of Lua's, or a metatable.
function _M.is_type(value, wanted)
    if lua_type(wanted) == "string" then
        return lua_type(value) == wanted
    end
    return wanted == getmetatable(value)
end


--- The name of its type: that of its class if it has one, "file" for open files.
function _M.type(value)
    local name = lua_type(value)
    if name ~= "table" and name ~= "userdata" then
        return name
    end
    local meta = getmetatable(value)
    if lua_type(meta) == "table" and meta._name then
        return meta._name
    end
    if io_type(value) then
        return "file"
    end
    return meta and "unknown " .. name or name
end


--- Whether a number is whole.
function _M.is_integer(value)
    return floor(value) == value
end


--- Whether there is nothing in it. What is neither table nor text counts as empty.
-- @param value
-- @tparam[opt] boolean ignore_spaces a text of nothing but spaces is empty too
function _M.is_empty(value, ignore_spaces)
    local name = lua_type(value)
    if name == "table" then
        return next(value) == nil
    end
    if name ~= "string" then
        return true
    end
    return value == "" or (ignore_spaces and find(value, "^%s+$") ~= nil) or false
end


--- Whether `value[1]` and `#value` make sense.
function _M.is_indexable(value)
    return lua_type(value) == "table" or has_event(value, "__index") and has_event(value, "__len")
end


--- Whether `pairs` takes it.
function _M.is_iterable(value)
    return lua_type(value) == "table" or has_event(value, "__pairs")
end


--- Whether `value[1] = x` makes sense.
function _M.is_writeable(value)
    return lua_type(value) == "table" or has_event(value, "__newindex")
end


--- What it means as a boolean: a number other than 0, a word such as "yes" or "T".
-- @param value
-- @tparam[opt] {string} true_words more words that mean true
-- @tparam[opt] boolean check_objs tables that hold something, and other values, mean true
function _M.to_bool(value, true_words, check_objs)
    local name = lua_type(value)
    if name == "boolean" then
        return value
    end
    if name == "number" then
        return value ~= 0
    end
    if name == "string" then
        local word = lower(value)
        for _, more in ipairs(true_words or {}) do
            if word == lower(more) then
                return true
            end
        end
        return TRUE_WORDS[word] or false
    end
    if not check_objs then
        return false
    end
    return name == "table" and next(value) ~= nil or name ~= "table" and value ~= nil
end


return _M
