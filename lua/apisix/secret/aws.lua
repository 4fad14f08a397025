--- `apisix.secret.aws`: values of AWS Secrets Manager.
--
-- Names of secrets may have slashes, so what stands before and behind the name of a JSON field
-- cannot be told apart: the longest name is asked for first, then shorter ones, as long as AWS
-- says that there is no such secret.
-- @module apisix.secret.aws
local aws = require("resty.aws")
local call = require("moongate.secret_call")
local log = require("apisix.core.log")
local schema_def = require("apisix.schema_def")
local uris = require("resty.http.uri")

local byte = string.byte
local find = string.find
local match = string.match
local sub = string.sub
local type = type

local SLASH = byte("/")
-- Each segment of a key may cost a call.
local SEGMENTS_MAX = 16

local _M = {
    schema = {
        type = "object",
        properties = {
            access_key_id = { type = "string" },
            secret_access_key = { type = "string" },
            session_token = { type = "string" },
            region = { type = "string", default = "us-east-1" },
            endpoint_url = schema_def.uri_def,
        },
        required = { "access_key_id", "secret_access_key" },
    },
}

local instance


local function service_of(conf, keys)
    instance = instance or aws()
    local region = conf.region or "us-east-1"
    local url = conf.endpoint_url or "https://secretsmanager." .. region .. ".amazonaws.com"
    local parts = uris.parse(url, false)
    if not parts then
        return nil, "endpoint_url is no address"
    end
    return instance:SecretsManager({
        credentials = instance:Credentials({
            accessKeyId = keys.id, secretAccessKey = keys.secret, sessionToken = keys.token,
        }),
        endpoint = parts[1] .. "://" .. parts[2],
        port = parts[3],
        region = region,
        ssl_verify = conf.ssl_verify,
    })
end


-- The text of one secret; or nil, an error, and whether there is no such secret.
local function value_of(service, name, keys)
    local answer, err = service:getSecretValue({ SecretId = name, VersionStage = "AWSCURRENT" })
    if not answer then
        return nil, call.redacted(err, keys.secret, keys.token)
    end
    local body = type(answer.body) == "table" and answer.body or {}
    if answer.status ~= 200 then
        local told = call.told(body, { "__type", "Message", "message" })
        err = "invalid status code " .. answer.status
        if told then
            err = err .. ", " .. call.redacted(told, keys.secret, keys.token, keys.id)
        end
        local kind = call.field(body, "__type")
        return nil, err, type(kind) == "string"
                         and find(kind, "ResourceNotFoundException", 1, true) ~= nil
    end
    local text = call.field(body, "SecretString")
    if type(text) ~= "string" then
        return nil, "no SecretString in the answer"
    end
    return text
end


local function field_of(text, name)
    local object, err = call.object(text)
    if not object then
        return nil, "failed to decode result, the secret is " .. err
    end
    return call.field(object, name)
end


--- Reads a secret, or one field of a secret that is a JSON object.
-- @tparam table conf as the schema has it
-- @tparam string key name of the secret, maybe with a slash and the name of a field
-- @return value, or nil where the object has no such field
-- @treturn nil|string error
function _M.get(conf, key)
    log.info("fetching data from aws for key: ", key)
    if key == "" or byte(key) == SLASH then
        return nil, "can't find main key, key: " .. key
    end

    local keys = { id = call.own_field(conf.access_key_id),
                   secret = call.own_field(conf.secret_access_key),
                   token = call.own_field(conf.session_token) }
    local service, err = service_of(conf, keys)
    local name, field = key, nil
    for _ = 1, service and SEGMENTS_MAX or 0 do
        local text, missing
        text, err, missing = value_of(service, name, keys)
        if text then
            if field then
                return field_of(text, field)
            end
            return text
        end
        name = missing and match(name, "^(.*)/[^/]*$")
        if not name then
            break
        end
        field = sub(key, #name + 2)
    end
    return nil, "failed to retrieve data from aws secret manager: " .. err
end


return _M
