-- Requests checked by an OpenAPI description: whether they pass, not the words.
-- original: resty.openapi_validator
local ov = require("resty.openapi_validator")
local spec = [[{"openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "servers": [{"url": "/api/v3"}], "paths": {
 "/pet/{id}": {"get": {"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
   {"name": "full", "in": "query", "schema": {"type": "boolean"}}, {"name": "X-Key", "in": "header", "required": true, "schema": {"type": "string", "minLength": 3}}],
   "responses": {"200": {"description": "ok"}}}},
 "/pet": {"post": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}},
   "responses": {"200": {"description": "ok"}}}},
 "/find": {"get": {"parameters": [{"name": "tags", "in": "query", "required": true, "schema": {"type": "array", "items": {"type": "integer"}}}],
   "responses": {"200": {"description": "ok"}}}}},
 "components": {"schemas": {"Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0},
   "note": {"type": "string", "nullable": true}, "kind": {"type": "string", "enum": ["cat", "dog"]}}}}}}]]
local validator = ov.compile(spec)
local key = { ["x-key"] = "abcd" }
local requests = {
    { method = "GET", path = "/api/v3/pet/5", headers = key, query = {} },
    { method = "GET", path = "/api/v3/pet/x", headers = key, query = {} },
    { method = "GET", path = "/api/v3/pet/5", headers = {}, query = {} },
    { method = "GET", path = "/api/v3/pet/5", headers = { ["x-key"] = "a" }, query = {} },
    { method = "GET", path = "/api/v3/pet/5", headers = key, query = { full = "true" } },
    { method = "GET", path = "/api/v3/pet/5", headers = key, query = { full = "maybe" } },
    { method = "GET", path = "/api/v3/none", headers = key, query = {} },
    { method = "DELETE", path = "/api/v3/pet/5", headers = key, query = {} },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json", body = '{"name": "x"}' },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json", body = '{"age": 1}' },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json", body = '{"name": "x", "age": -1}' },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json", body = '{"name": "x", "note": null}' },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json", body = '{"name": "x", "kind": "cow"}' },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json", body = "{" },
    { method = "POST", path = "/api/v3/pet", headers = {}, query = {}, content_type = "application/json" },
    { method = "GET", path = "/api/v3/find", headers = {}, query = { tags = { "1", "2" } } },
    { method = "GET", path = "/api/v3/find", headers = {}, query = { tags = { "1", "x" } } },
    { method = "GET", path = "/api/v3/find", headers = {}, query = {} },
}
for i, request in ipairs(requests) do
    case("request " .. i, function() return (validator:validate_request(request)) end)
end
case("skipped", function()
    return (validator:validate_request({ method = "POST", path = "/api/v3/pet", body = "{", content_type = "application/json" }, { body = true }))
end)
case("no JSON", function() return (ov.compile("{")) end)
case("no version", function() return (ov.compile("{}")) end)
case("an old version", function() return (ov.compile('{"swagger": "2.0", "paths": {}}')) end)
