--- `apisix.secret.vault`: values in the KV engine of HashiCorp Vault, by its HTTP API.
--
-- Version 1 of the engine keeps the fields of a secret in `data`; version 2, whose paths have
-- `/data` behind the name of the engine (`"prefix": "secret/data"`), in `data.data`.
-- @module apisix.secret.vault
local call = require("moongate.secret_call")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local schema_def = require("apisix.schema_def")

local byte = string.byte
local char = string.char
local find = string.find
local format = string.format
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local tonumber = tonumber
local type = type

local _M = {
    schema = {
        type = "object",
        properties = {
            uri = schema_def.uri_def,
            prefix = { type = "string" },
            token = { type = "string" },
            namespace = { type = "string" },
        },
        required = { "uri", "prefix", "token" },
    },
}


-- A path as it is sent: what is no letter of a path is escaped, an escape stays.
local function path_of(prefix, name)
    local path = gsub("/v1/" .. prefix .. "/" .. name, "/+", "/")
    path = gsub(path, "%%(%x?%x?)", function(digits)
        return #digits < 2 and "%25" .. digits or nil
    end)
    return (gsub(path, "[^%w%-%._~/%%:@!$&'()*+,;=]", function(letter)
        return format("%%%02X", byte(letter))
    end))
end


-- Nothing that a reference says leads out of the prefix.
local function leads_out(name)
    local plain = gsub(name, "%%(%x%x)", function(digits)
        return char(tonumber(digits, 16))
    end)
    return find("/" .. plain .. "/", "/%.%.?/") ~= nil
end


local function headers_of(conf, token)
    return { ["X-Vault-Token"] = token, ["X-Vault-Namespace"] = conf.namespace }
end


-- What Vault says of a refusal: an object with a list of sentences.
local function refusal(answer, object, token)
    local errors = object and call.field(object, "errors")
    local texts = setmetatable({}, json.array_mt)
    for _, text in ipairs(type(errors) == "table" and errors or {}) do
        if type(text) == "string" then
            texts[#texts + 1] = call.redacted(text, token)
        end
    end
    if type(errors) == "table" then
        return "failed to decode result, res: " .. json.encode({ errors = texts })
               .. (answer.status ~= 403 and ", status: " .. answer.status or "")
    end
    return "failed to decode result, status: " .. answer.status
           .. (object and ", no data in it" or ", res is not a JSON object")
end


--- Reads one field of a secret.
-- @tparam table conf `uri`, `prefix`, `token`, `namespace`
-- @tparam string key path below the prefix, with the field's name behind the last slash
-- @return value as JSON has it, or nil where there is no such field
-- @treturn nil|string error
function _M.get(conf, key)
    log.info("fetching data from vault for key: ", key)
    local main, field = match(key, "^(.*)/(.*)$")
    if not main then
        return nil, "error key format, key: " .. key
    elseif main == "" then
        return nil, "can't find main key, key: " .. key
    elseif field == "" then
        return nil, "can't find sub key, key: " .. key
    elseif leads_out(main) then
        return nil, "error key format, it leads out of the prefix, key: " .. key
    end

    local token = call.own_field(conf.token)
    local answer, err = call.ask(gsub(conf.uri, "/+$", "") .. path_of(conf.prefix, main), {
        method = "GET",
        headers = headers_of(conf, token),
        timeout = conf.timeout and conf.timeout * 1000,
    })
    if not answer then
        return nil, "failed to retrtive data from vault kv engine: " .. call.redacted(err, token)
    end

    local object = call.object(answer.body)
    local data = object and call.field(object, "data")
    if type(data) ~= "table" then
        return nil, refusal(answer, object, token)
    end
    local inner = call.field(data, "data")
    if type(inner) == "table" and type(call.field(data, "metadata")) == "table" then
        data = inner
    end
    return call.field(data, field)
end


return _M
