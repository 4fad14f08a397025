--- `resty.aws`: credentials, and the calls of AWS that official plugins make.
--
-- The original builds its services from Amazon's own descriptions; here are those by hand that
-- plugins and `apisix.secret.aws` call: `Comprehend`, `SecretsManager`. Any other service raises
-- when it is asked for.
-- @module resty.aws
local cjson = require("cjson.safe")
local secret_call = require("moongate.secret_call")
local sign = require("resty.aws.request.sign")

local error = error
local setmetatable = setmetatable
local tostring = tostring
local type = type

-- Service -> the name it signs with, the prefix of its target header, its operations.
local SERVICES = {
    Comprehend = { name = "comprehend", target = "Comprehend_20171127",
                   operations = { detectToxicContent = "DetectToxicContent",
                                  detectSentiment = "DetectSentiment",
                                  detectPiiEntities = "DetectPiiEntities" } },
    SecretsManager = { name = "secretsmanager", target = "secretsmanager",
                       operations = { getSecretValue = "GetSecretValue" } },
}

local Credentials = {}
local credentials_mt = { __index = Credentials }


--- @treturn boolean whether there are any
-- @treturn string key, or the error
function Credentials:get()
    if not self.accessKeyId or not self.secretAccessKey then
        return nil, "no credentials"
    end
    return true, self.accessKeyId, self.secretAccessKey, self.sessionToken, self.expireTime
end


function Credentials:set(key, secret, token, expires)
    self.accessKeyId, self.secretAccessKey = key, secret
    self.sessionToken, self.expireTime = token, expires
    return true
end


-- What the original says of each step that can fail.
local FAILED = {
    connect = "failed to connect to '%s': %s",
    send = "failed sending request to '%s': %s",
    read = "failed reading response from '%s': %s",
}


local function call(service, config, operation, params)
    local body, err = cjson.encode(params or {})
    if not body then
        return nil, err
    end
    local scheme, name = (config.endpoint or ""):match("^(%a+)://([^/:]+)")
    name = name or service.name .. "." .. tostring(config.region) .. ".amazonaws.com"
    local request
    request, err = sign({ credentials = config.credentials, region = config.region,
                          signatureVersion = "v4", signingName = service.name }, {
        method = "POST", host = name, port = config.port, path = "/", body = body,
        tls = scheme ~= "http",
        headers = { ["Content-Type"] = "application/x-amz-json-1.1",
                    ["X-Amz-Target"] = service.target .. "." .. operation },
    })
    if not request then
        return nil, err
    end
    local response, step
    response, err, step = secret_call.ask(request.url, {
        method = "POST", headers = request.headers, body = body, timeout = config.timeout,
        ssl_verify = config.ssl_verify ~= false,
        keepalive_timeout = config.keepalive_idle_timeout,
    })
    if not response then
        local address = (scheme or "https") .. "://" .. name .. ":" .. request.port
        return nil, FAILED[step]:format(address, err)
    end
    local kind = response.headers["Content-Type"]
    if type(kind) == "string" and kind:find("json", 1, true) then
        response.body = cjson.decode(response.body) or response.body
    end
    return { status = response.status, reason = response.reason, headers = response.headers,
             body = response.body }
end


local function service_object(name, config)
    local service = SERVICES[name]
    local object = { config = config }
    for method, operation in pairs(service.operations) do
        object[method] = function(self, params)
            local answer, err = call(service, self.config, operation, params)
            if not answer then
                return nil, name .. ":" .. method .. "() " .. err
            end
            return answer
        end
    end
    return object
end


local Aws = {}
local aws_mt = {
    __index = function(self, name)
        if Aws[name] then
            return Aws[name]
        elseif SERVICES[name] then
            return function(own, config)
                local merged = {}
                for _, source in ipairs({ own.config, config or {} }) do
                    for key, value in pairs(source) do
                        merged[key] = value
                    end
                end
                return service_object(name, merged)
            end
        elseif type(name) == "string" and name:find("^%u") then
            error("resty.aws: service " .. name
                  .. " is not supported by moongate: no plugin asks for it", 2)
        end
    end,
}


--- Credentials of `accessKeyId`, `secretAccessKey` and maybe `sessionToken`.
function Aws:Credentials(opts)
    opts = opts or {}
    return setmetatable({ accessKeyId = opts.accessKeyId, secretAccessKey = opts.secretAccessKey,
                          sessionToken = opts.sessionToken, expireTime = opts.expireTime },
                        credentials_mt)
end


--- Makes an instance.
-- @tparam[opt] table config `region`, `credentials`
return setmetatable({ _VERSION = "2.0.2" }, {
    __call = function(_, config)
        local made = { config = {} }
        for name, value in pairs(config or {}) do
            made.config[name] = value
        end
        made.config.region = made.config.region or require("resty.aws.config").global.region
        return setmetatable(made, aws_mt)
    end,
})
