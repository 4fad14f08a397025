--- `rapidjson`: JSON with the functions of that library, over the gateway's own.
-- @module rapidjson
local cjson = require("cjson.safe")
local dkjson = require("dkjson")

local setmetatable = setmetatable
local type = type

local _M = { _VERSION = "0.7.2", null = ngx.null }

local array_mt = { __jsontype = "array" }
local object_mt = { __jsontype = "object" }


--- Marks a table as array, also an empty one.
function _M.array(value)
    return setmetatable(value or {}, array_mt)
end


function _M.object(value)
    return setmetatable(value or {}, object_mt)
end


-- `dkjson` has a null of its own.
local function write_null(_, value, _, message)
    if value == _M.null then
        return "null"
    end
    return nil, message
end


--- A value as JSON; keys are sorted.
-- @tparam any value
-- @tparam[opt] table options `pretty`, `empty_table_as_array`
-- @treturn string|nil
-- @treturn nil|string error
function _M.encode(value, options)
    local ok, text = pcall(dkjson.encode, value, {
        indent = options and options.pretty, exception = write_null,
        empty = options and options.empty_table_as_array and "array" or "object",
    })
    if not ok then
        return nil, text
    end
    return text
end


--- JSON as a value.
-- @treturn any
-- @treturn nil|string error
function _M.decode(text)
    if type(text) ~= "string" then
        return nil, "required string or light userdata (points to a memory of a string) and length"
    end
    return cjson.decode(text)
end


function _M.load(path)
    local file, err = io.open(path, "rb")
    if not file then
        return nil, err
    end
    local text = file:read("*a")
    file:close()
    return _M.decode(text)
end


function _M.dump(value, path, options)
    local text, err = _M.encode(value, options)
    if not text then
        return nil, err
    end
    local file
    file, err = io.open(path, "wb")
    if not file then
        return nil, err
    end
    file:write(text)
    file:close()
    return true
end


return require("moongate.unsupported").absent(_M, "rapidjson.", { "Document", "SchemaDocument",
                                                               "SchemaValidator" },
    "documents are plain tables, schemas are jsonschema's")
