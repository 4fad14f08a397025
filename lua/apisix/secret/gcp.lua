--- `apisix.secret.gcp`: values of Google Cloud Secret Manager, by a service account.
-- @module apisix.secret.gcp
local call = require("moongate.secret_call")
local google_oauth = require("apisix.utils.google-cloud-oauth")
local io = require("apisix.core.io")
local log = require("apisix.core.log")
local schema = require("apisix.core.schema")

local decode_base64 = ngx.decode_base64
local escape_uri = ngx.escape_uri
local match = string.match
local setmetatable = setmetatable
local type = type

local TOKEN_URI = "https://oauth2.googleapis.com/token"
local ENTRIES_URI = "https://secretmanager.googleapis.com/v1"
local SCOPE = "https://www.googleapis.com/auth/cloud-platform"

local _M = {
    schema = {
        type = "object",
        properties = {
            auth_config = {
                type = "object",
                properties = {
                    client_email = { type = "string" },
                    private_key = { type = "string" },
                    project_id = { type = "string" },
                    token_uri = { type = "string", default = TOKEN_URI },
                    scope = { type = "array", items = { type = "string" }, default = { SCOPE } },
                    entries_uri = { type = "string", default = ENTRIES_URI },
                },
                required = { "client_email", "private_key", "project_id" },
            },
            ssl_verify = { type = "boolean", default = true },
            auth_file = { type = "string" },
        },
        oneOf = {
            { required = { "auth_config" } },
            { required = { "auth_file" } },
        },
    },
}

-- conf -> the account's content and what holds its access token: a conf that was changed is
-- another table, and a file is compared each time.
local accounts = setmetatable({}, { __mode = "k" })


local function read_file(path)
    local text, err = io.get_file(path)
    if not text then
        return nil, "failed to read configuration, file: " .. path .. ", err: " .. err
    end
    local config
    config, err = call.object(text)
    if not config then
        return nil, "config parse failure, file: " .. path .. ", err: " .. err
    end
    local ok
    ok, err = schema.check(_M.schema, { auth_config = {
        client_email = config.client_email, private_key = config.private_key,
        project_id = config.project_id,
    } })
    if not ok then
        return nil, "config parse failure, file: " .. path .. ", err: " .. err
    end
    return config, nil, text
end


local function account_of(conf)
    local known = accounts[conf]
    local config, text = conf.auth_config, nil
    if not config then
        local err
        config, err, text = read_file(conf.auth_file)
        if not config then
            return nil, err
        end
    end
    if not known or known.text ~= text then
        known = { text = text, oauth = google_oauth.new(config, conf.ssl_verify) }
        accounts[conf] = known
    end
    return known.oauth
end


-- What Google says of a refusal: an object with code, message and status.
local function refusal(answer, token)
    local object = call.object(answer.body)
    local err = object and call.field(object, "error")
    local told = call.told(err, { "status", "message" }) or call.told(object, { "error" })
    return "status code " .. answer.status
           .. (told and ", " .. call.redacted(told, token) or "")
end


local function value_of(oauth, name)
    local token = oauth:generate_access_token()
    if not token then
        return nil, "failed to get google oauth token"
    end
    local uri = (oauth.entries_uri or ENTRIES_URI) .. "/projects/" .. escape_uri(oauth.project_id)
                .. "/secrets/" .. escape_uri(name) .. "/versions/latest:access"
    local answer, err = call.ask(uri, {
        method = "GET",
        ssl_verify = oauth.ssl_verify,
        headers = {
            ["Content-Type"] = "application/json",
            Authorization = (oauth.access_token_type or "Bearer") .. " " .. token,
        },
    })
    if not answer then
        return nil, call.redacted(err, token)
    elseif answer.status ~= 200 then
        return nil, refusal(answer, token)
    end

    local object
    object, err = call.object(answer.body)
    if not object then
        return nil, "failed to parse response data, " .. err
    end
    local payload = call.field(object, "payload")
    local data = type(payload) == "table" and call.field(payload, "data")
    local text = type(data) == "string" and decode_base64(data)
    if not text then
        return nil, "invalid payload"
    end
    return text
end


--- Reads a secret, or one field of a secret that is a JSON object.
-- @tparam table conf as the schema has it
-- @tparam string key name of the secret, maybe with a slash and the name of a field
-- @return value, or nil where the object has no such field
-- @treturn nil|string error
function _M.get(conf, key)
    log.info("fetching data from gcp for key: ", key)
    local name, field = match(key, "^([^/]*)/(.*)$")
    name = name or key
    if name == "" then
        return nil, "can't find main key, key: " .. key
    end

    local oauth, err = account_of(conf)
    local text
    if oauth then
        text, err = value_of(oauth, name)
    end
    if not text then
        return nil, "failed to retrtive data from gcp secret manager: " .. err
    elseif not field then
        return text
    end
    local object
    object, err = call.object(text)
    if not object then
        return nil, "failed to decode result, err: the secret is " .. err
    end
    return call.field(object, field)
end


return _M
