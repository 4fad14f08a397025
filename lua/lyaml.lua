--- `lyaml`: YAML as Lua values and back.
--
-- Reading is the gateway's own, as it reads its configuration: within bounds, keys are texts.
-- @module lyaml
local host = require("moongate.host")

local error = error
local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local huge = math.huge
local ipairs = ipairs
local load_all = host.yaml.load
local next = next
local pairs = pairs
local rep = string.rep
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

local DEPTH_MAX = 200

-- What stands for nothing, so that a key can have it.
local null = setmetatable({}, { _type = "LYAML null" })

local _M = { _VERSION = "6.2.8", null = null }


-- Lists that the host marks as JSON's are plain tables here, and null is our own.
local function plain(value)
    if value == ngx.null then
        return null
    elseif type(value) == "table" then
        setmetatable(value, nil)
        for key, inner in pairs(value) do
            value[key] = plain(inner)
        end
    end
    return value
end


--- The documents of a text.
-- @tparam string text
-- @tparam[opt] table|boolean options `all`, or true: all documents as a list, not just the first
-- @treturn any `lyaml.null` for what is null; nothing if there is no document
-- @raise an error with its line
function _M.load(text, options)
    local documents, err = load_all(text)
    if not documents then
        error(err, 2)
    end
    documents = plain(documents)
    if options == true or type(options) == "table" and options.all then
        return documents
    end
    local first = documents[1]
    return first
end


-- Whether a plain text would be read as something else.
local function misread(text)
    if text == "" or find(text, "^[%s%-?:,%[%]{}#&*!|>'\"%%@`]") or find(text, "%s$")
       or find(text, ": ", 1, true) or find(text, " #", 1, true) or find(text, ":$")
       or find(text, "^%.%.%.") or find(text, "%c") then
        return true
    end
    local documents = load_all(text)
    return not documents or documents[1] ~= text
end


local Writer = {}
local mt = { __index = Writer }


function Writer:put(text)
    self.out[#self.out + 1] = text
end


local CODES = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\",
                ["\0"] = "\\0" }


local function scalar(value, level)
    if type(value) == "number" then
        if value ~= value then
            return ".nan"
        elseif value == huge or value == -huge then
            return value > 0 and ".inf" or "-.inf"
        end
        return tostring(value)
    elseif type(value) == "boolean" then
        return tostring(value)
    end
    local text, indent = value, rep("  ", level)
    if find(text, "[%z\1-\9\11-\31\127]") then
        return '"' .. gsub(text, '[%c"\\]', function(one)
            return CODES[one] or format("\\x%02X", one:byte())
        end) .. '"'
    elseif find(text, "\n", 1, true) and not find(text, "^%s") then
        local keep = find(text, "\n\n$") and "+" or find(text, "\n$") and "" or "-"
        local lines = {}
        for line in gmatch(gsub(text, "\n$", "") .. "\n", "(.-)\n") do
            lines[#lines + 1] = line == "" and "" or indent .. line
        end
        return "|" .. keep .. "\n" .. table.concat(lines, "\n")
    elseif misread(text) then
        return "'" .. gsub(gsub(text, "'", "''"), "\n", "\n\n" .. indent) .. "'"
    end
    return text
end


local function is_list(value)
    local count = 0
    for key in pairs(value) do
        count = count + 1
        if type(key) ~= "number" or value[count] == nil then
            return false
        end
    end
    return true
end


local function sorted_keys(map)
    local keys = {}
    for key in pairs(map) do
        keys[#keys + 1] = key
    end
    sort(keys, function(a, b)
        return tostring(a) < tostring(b)
    end)
    return keys
end


-- Writes what stands behind a dash or a key: on the same line if it is short or begins a list.
function Writer:value(value, level, after_dash)
    local kind = type(value)
    if value == null then
        self:put(" ~\n")
    elseif kind == "string" or kind == "number" or kind == "boolean" then
        self:put(" " .. scalar(value, level) .. "\n")
    elseif kind ~= "table" then
        error("cannot dump object of type '" .. kind .. "'", 0)
    elseif next(value) == nil then
        self:put(" []\n")
    elseif level > DEPTH_MAX or self.open[value] then
        error("cannot dump a table that is nested too deep", 0)
    else
        self.open[value] = true
        if after_dash then
            self:put(" ")
        else
            self:put("\n")
        end
        self:collection(value, level, after_dash)
        self.open[value] = nil
    end
end


-- The entries of a table; the first one stands on the line of the dash before it.
function Writer:collection(value, level, after_dash)
    local indent = rep("  ", level)
    local first = after_dash
    if is_list(value) then
        for _, item in ipairs(value) do
            self:put((first and "" or indent) .. "-")
            self:value(item, level + 1, true)
            first = false
        end
        return
    end
    for _, key in ipairs(sorted_keys(value)) do
        self:put((first and "" or indent) .. scalar(key, level) .. ":")
        local inner = value[key]
        -- A list stands below its key without an indent of its own.
        local same = type(inner) == "table" and inner ~= null and next(inner) ~= nil
                     and is_list(inner)
        self:value(inner, same and level or level + 1, false)
        first = false
    end
end


--- Documents as a text.
-- @tparam table documents a list
-- @treturn string
-- @raise if something has no form
function _M.dump(documents)
    local writer = setmetatable({ out = {}, open = {} }, mt)
    for _, document in ipairs(documents) do
        writer:put("---")
        writer:value(document, 0, false)
        writer:put("...\n")
    end
    return table.concat(writer.out)
end


return _M
