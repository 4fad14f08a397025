--- Parameters of requests, by the rules of OpenAPI 3 for how they are written.
-- @module resty.openapi_validator.params
local schema = require("resty.openapi_validator.schema")

local gmatch = string.gmatch
local ipairs = ipairs
local lower = string.lower
local pairs = pairs
local tonumber = tonumber
local type = type

local _M = {}

local SEPARATORS = { simple = ",", form = ",", spaceDelimited = " ", pipeDelimited = "|" }


-- A text as the type that a schema names; what does not fit stays a text.
local function typed(spec, text, source)
    source = schema.resolve(spec, source) or {}
    local kind = source.type
    if type(text) ~= "string" then
        return text
    elseif kind == "integer" or kind == "number" then
        return tonumber(text) or text
    elseif kind == "boolean" then
        if text == "true" or text == "false" then
            return text == "true"
        end
        return text
    end
    for _, name in ipairs({ "allOf", "anyOf", "oneOf" }) do
        for _, part in ipairs(source[name] or {}) do
            local value = typed(spec, text, part)
            if type(value) ~= "string" then
                return value
            end
        end
    end
    return text
end


local function split(text, separator)
    local list = {}
    for part in gmatch(text .. separator, "(.-)%" .. separator) do
        list[#list + 1] = part
    end
    return list
end


local function array_of(spec, value, source, style)
    local list = type(value) == "table" and value or split(value, SEPARATORS[style] or ",")
    local made = {}
    for i, item in ipairs(list) do
        made[i] = typed(spec, item, source.items)
    end
    return made
end


--- Fields of a form, each as its schema wants it.
function _M.typed_object(spec, fields, source)
    source = schema.resolve(spec, source) or {}
    local made = {}
    for name, value in pairs(fields or {}) do
        local property = schema.resolve(spec, (source.properties or {})[name]) or {}
        if property.type == "array" then
            made[name] = array_of(spec, value, property, "form")
        else
            made[name] = typed(spec, value, property)
        end
    end
    return made
end


-- Fields of an object in a query: `a[b]=c`, or each by its own name.
local function object_of(spec, parameter, source, query)
    local fields = {}
    for name in pairs(source.properties or {}) do
        local key = parameter.style == "deepObject" and parameter.name .. "[" .. name .. "]" or name
        fields[name] = query[key]
    end
    return next(fields) and _M.typed_object(spec, fields, source) or nil
end


local function cookie(headers, name)
    local text = headers.cookie
    text = type(text) == "table" and text[1] or text or ""
    for key, value in gmatch(text, "([^=%s;]+)=([^;]*)") do
        if key == name then
            return value
        end
    end
end


local function header(headers, name)
    name = lower(name)
    for key, value in pairs(headers) do
        if lower(key) == name then
            return value
        end
    end
end


local function raw_value(spec, parameter, source, request, path_values)
    local place, name = parameter["in"], parameter.name
    if place == "path" then
        return path_values[name]
    elseif place == "header" then
        return header(request.headers or {}, name)
    elseif place == "cookie" then
        return cookie(request.headers or {}, name)
    elseif source.type == "object" then
        return object_of(spec, parameter, source, request.query or {})
    end
    return (request.query or {})[name]
end


--- What is wrong with one parameter.
-- @treturn string|nil
function _M.check(spec, parameter, request, path_values)
    local source = schema.resolve(spec, parameter.schema) or {}
    local value = raw_value(spec, parameter, source, request, path_values)
    if value == nil then
        return parameter.required and "required but not provided" or nil
    end
    local style = parameter.style or (parameter["in"] == "query" and "form" or "simple")
    if source.type == "array" then
        value = array_of(spec, value, source, style)
    elseif source.type ~= "object" then
        if type(value) == "table" then
            value = value[1]
        end
        value = typed(spec, value == true and "" or value, source)
    elseif type(value) == "string" then
        return nil
    end
    if parameter.allowEmptyValue and value == "" then
        return nil
    end
    local ok, err = schema.check(spec, parameter.schema or {}, value, "request")
    if not ok then
        return err
    end
end


return _M
