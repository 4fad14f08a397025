--- Schemas of OpenAPI 3 as JSON schemas, and values checked by them.
-- @module resty.openapi_validator.schema
local jsonschema = require("jsonschema")

local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local tostring = tostring
local type = type

-- References may lead in a circle; a schema is unfolded this deep.
local DEPTH_MAX = 24

local _M = {}

-- Schema table -> compiled, by direction; the description lives as long as its schemas.
local compiled = setmetatable({}, { __mode = "k" })


--- What a `$ref` within the description leads to.
function _M.resolve(spec, value, depth)
    if type(value) ~= "table" then
        return nil
    end
    local reference = value["$ref"]
    if type(reference) ~= "string" or (depth or 0) > DEPTH_MAX then
        return value
    end
    local found = spec
    for part in reference:gsub("^#/?", ""):gmatch("[^/]+") do
        part = ngx.unescape_uri(part):gsub("~1", "/"):gsub("~0", "~")
        found = type(found) == "table" and found[part] or nil
    end
    return _M.resolve(spec, found or {}, (depth or 0) + 1)
end


local LISTS = { allOf = true, anyOf = true, oneOf = true }
local SINGLE = { ["not"] = true, items = true, additionalProperties = true }
local SKIPPED = { nullable = true, example = true, examples = true, discriminator = true,
                  xml = true, externalDocs = true, deprecated = true, readOnly = true,
                  writeOnly = true, ["$ref"] = true }


local convert


local function convert_properties(spec, source, made, direction, depth)
    made.properties = {}
    local hidden = {}
    for name, property in pairs(source.properties) do
        local target = _M.resolve(spec, property) or {}
        if direction == "request" and target.readOnly then
            hidden[name] = true
        end
        made.properties[name] = convert(spec, property, direction, depth + 1)
    end
    if type(source.required) == "table" then
        made.required = {}
        for _, name in ipairs(source.required) do
            if not hidden[name] then
                made.required[#made.required + 1] = name
            end
        end
        if #made.required == 0 then
            made.required = nil
        end
    end
end


-- A schema of OpenAPI as one of JSON Schema: references unfolded, `nullable` written out.
function convert(spec, source, direction, depth)
    source = _M.resolve(spec, source)
    if type(source) ~= "table" or depth > DEPTH_MAX then
        return {}
    end
    local made = {}
    for name, value in pairs(source) do
        if LISTS[name] and type(value) == "table" then
            made[name] = {}
            for i, item in ipairs(value) do
                made[name][i] = convert(spec, item, direction, depth + 1)
            end
        elseif SINGLE[name] and type(value) == "table" then
            made[name] = convert(spec, value, direction, depth + 1)
        elseif name ~= "properties" and not SKIPPED[name] then
            made[name] = value
        end
    end
    if type(source.properties) == "table" then
        convert_properties(spec, source, made, direction, depth)
    end
    for limit, exclusive in pairs({ minimum = "exclusiveMinimum", maximum = "exclusiveMaximum" }) do
        if made[exclusive] == true then
            made[exclusive], made[limit] = made[limit], nil
        elseif made[exclusive] == false then
            made[exclusive] = nil
        end
    end
    if source.nullable == true and type(made.type) == "string" then
        made.type = { made.type, "null" }
        if made.enum then
            made.enum = { ngx.null, unpack(made.enum) }
        end
    end
    return made
end


--- Checks a value.
-- @tparam string direction "request" leaves out what only answers have
-- @treturn boolean
-- @treturn nil|string error
function _M.check(spec, source, value, direction)
    local known = compiled[source]
    if not known then
        local ok, validate = pcall(jsonschema.generate_validator,
                                   convert(spec, source, direction, 1))
        if not ok then
            return false, "the schema cannot be used: " .. tostring(validate)
        end
        known = { validate = validate }
        compiled[source] = known
    end
    return known.validate(value)
end


return _M
