--- `resty.openapi_validator`: whether a request is one that an OpenAPI 3 description allows.
--
-- Path, query, header and cookie parameters, and bodies in JSON and forms, by the schemas of the
-- description; `$ref` within the description is followed.
-- @module resty.openapi_validator
local cjson = require("cjson.safe")
local params = require("resty.openapi_validator.params")
local schema = require("resty.openapi_validator.schema")

local concat = table.concat
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tostring = tostring
local type = type

local METHODS = { "get", "put", "post", "delete", "options", "head", "patch", "trace" }

local _M = {}
local Validator = {}
local mt = { __index = Validator }


-- "/users/{id}" as segments, with names where they vary.
local function segments_of(path)
    local list = {}
    for segment in path:gmatch("[^/]+") do
        list[#list + 1] = { text = segment, name = match(segment, "^{(.-)}$") }
    end
    return list
end


local function base_paths(spec)
    local bases = {}
    for _, server in ipairs(type(spec.servers) == "table" and spec.servers or {}) do
        local path = tostring(server.url or ""):gsub("^%a+://[^/]*", ""):gsub("/+$", "")
        bases[#bases + 1] = path
    end
    return #bases > 0 and bases or { "" }
end


local function merged_parameters(spec, item, operation)
    local found, list = {}, {}
    for _, source in ipairs({ item.parameters or {}, operation.parameters or {} }) do
        for _, parameter in ipairs(source) do
            parameter = schema.resolve(spec, parameter)
            local key = tostring(parameter["in"]) .. ":" .. tostring(parameter.name)
            if not found[key] then
                list[#list + 1] = key
            end
            found[key] = parameter
        end
    end
    local merged = {}
    for i, key in ipairs(list) do
        merged[i] = found[key]
    end
    return merged
end


--- Reads a description.
-- @tparam string text JSON
-- @treturn table|nil
-- @treturn nil|string error
function _M.compile(text)
    local spec, err = cjson.decode(text)
    if type(spec) ~= "table" then
        return nil, "failed to decode openapi spec: " .. tostring(err)
    end
    if type(spec.openapi) ~= "string" or sub(spec.openapi, 1, 2) ~= "3." then
        return nil, "unsupported openapi version: " .. tostring(spec.openapi)
    elseif type(spec.paths) ~= "table" then
        return nil, "the openapi spec has no paths"
    end
    local routes = {}
    for path, item in pairs(spec.paths) do
        item = schema.resolve(spec, item)
        for _, method in ipairs(METHODS) do
            local operation = item[method]
            if operation then
                local literal = 0
                local segments = segments_of(path)
                for _, segment in ipairs(segments) do
                    literal = literal + (segment.name and 0 or 1)
                end
                routes[#routes + 1] = {
                    path = path, method = method, operation = operation, segments = segments,
                    literal = literal, parameters = merged_parameters(spec, item, operation),
                }
            end
        end
    end
    -- What names more of the path by its letters comes first.
    sort(routes, function(a, b)
        return a.literal > b.literal or (a.literal == b.literal and a.path < b.path)
    end)
    return setmetatable({ spec = spec, routes = routes, bases = base_paths(spec) }, mt)
end


local function match_route(route, parts)
    if #parts ~= #route.segments then
        return nil
    end
    local values = {}
    for i, segment in ipairs(route.segments) do
        if segment.name then
            values[segment.name] = ngx.unescape_uri(parts[i])
        elseif segment.text ~= parts[i] then
            return nil
        end
    end
    return values
end


local function find_route(self, method, path)
    for _, base in ipairs(self.bases) do
        if sub(path, 1, #base) == base then
            local parts = {}
            for part in sub(path, #base + 1):gmatch("[^/]+") do
                parts[#parts + 1] = part
            end
            for _, route in ipairs(self.routes) do
                local values = route.method == method and match_route(route, parts)
                if values then
                    return route, values
                end
            end
        end
    end
end


local function check_body(self, route, request, errors)
    local declared = schema.resolve(self.spec, route.operation.requestBody)
    if not declared then
        return
    end
    local body = request.body
    if body == nil or body == "" then
        if declared.required then
            errors[#errors + 1] = "body: request body is required"
        end
        return
    end
    local kind = lower(match(request.content_type or "application/json", "^%s*([^;%s]*)"))
    local media = declared.content and (declared.content[kind]
                  or declared.content[match(kind, "^[^/]*") .. "/*"] or declared.content["*/*"])
    if not media then
        errors[#errors + 1] = "body: content type '" .. kind .. "' is not declared in the spec"
        return
    elseif type(media.schema) ~= "table" then
        return
    end
    local value
    if kind:find("json", 1, true) then
        local err
        value, err = cjson.decode(body)
        if value == nil then
            errors[#errors + 1] = "body: invalid JSON: " .. tostring(err)
            return
        end
    elseif kind == "application/x-www-form-urlencoded" then
        value = params.typed_object(self.spec, ngx.decode_args(body), media.schema)
    else
        return
    end
    local ok, err = schema.check(self.spec, media.schema, value, "request")
    if not ok then
        errors[#errors + 1] = "body: " .. tostring(err)
    end
end


--- Checks a request.
-- @tparam table request `method`, `path`, `query`, `headers`, `body`, `content_type`
-- @tparam[opt] table skip true for `path`, `query`, `header`, `body`
-- @treturn boolean
-- @treturn nil|string what is wrong, a line each
function Validator:validate_request(request, skip)
    skip = skip or {}
    local route, values = find_route(self, lower(request.method or "get"), request.path or "/")
    if not route then
        return false, "no matching operation found for " .. tostring(request.method) .. " "
                      .. tostring(request.path)
    end
    local errors = {}
    for _, parameter in ipairs(route.parameters) do
        local place = parameter["in"]
        if not skip[place] and not (place == "cookie" and skip.header) then
            local err = params.check(self.spec, parameter, request, values)
            if err then
                errors[#errors + 1] = place .. " parameter '" .. tostring(parameter.name) .. "': "
                                      .. err
            end
        end
    end
    if not skip.body then
        check_body(self, route, request, errors)
    end
    if #errors > 0 then
        return false, concat(errors, "\n")
    end
    return true
end


return _M
