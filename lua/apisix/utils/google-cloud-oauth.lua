--- `apisix.utils.google-cloud-oauth`: access tokens of Google Cloud for a service account.
-- @module apisix.utils.google-cloud-oauth
local core = require("apisix.core")
local jwt = require("resty.jwt")
local secret_call = require("moongate.secret_call")

local concat = table.concat
local encode_args = ngx.encode_args
local pcall = pcall
local setmetatable = setmetatable
local time = ngx.time
local tonumber = tonumber
local type = type

local TOKEN_URI = "https://oauth2.googleapis.com/token"
local AUTH_URI = "https://accounts.google.com/o/oauth2/auth"
local SCOPE = "https://www.googleapis.com/auth/cloud-platform"
local GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

-- A token is asked for anew this long before it ends.
local EARLY_SECONDS = 60
local ASSERTION_SECONDS = 3600

local _M = {}
local mt = { __index = _M }


--- The service account of a configuration.
-- @tparam table config `client_email`, `private_key`, `project_id`, `token_uri`, `scope`, …
-- @tparam boolean ssl_verify
function _M.new(config, ssl_verify)
    local scope = config.scope or SCOPE
    if type(scope) == "table" then
        scope = concat(scope, " ")
    end
    return setmetatable({
        client_email = config.client_email,
        private_key = config.private_key,
        project_id = config.project_id,
        token_uri = config.token_uri or TOKEN_URI,
        auth_uri = config.auth_uri or AUTH_URI,
        entries_uri = config.entries_uri,
        access_token_expire_time = 0,
        ssl_verify = ssl_verify,
        scope = scope,
    }, mt)
end


--- The signed statement that a token is asked for with.
function _M:generate_jwt_token()
    local now = time()
    return jwt:sign(self.private_key, {
        header = { alg = "RS256", typ = "JWT" },
        payload = core.json.encode({ iss = self.client_email, aud = self.token_uri,
                                     scope = self.scope, iat = now,
                                     exp = now + ASSERTION_SECONDS }),
    })
end


--- Asks for a token; what fails is logged, without what was sent.
function _M:refresh_access_token()
    -- What is raised of a key that is none may quote it.
    local signed, assertion = pcall(self.generate_jwt_token, self)
    if not signed then
        core.log.error("failed to sign a google oauth assertion: the private key is unusable")
        return
    end
    local res, err = secret_call.ask(self.token_uri, {
        ssl_verify = self.ssl_verify,
        method = "POST",
        body = encode_args({ grant_type = GRANT, assertion = assertion }),
        headers = { ["Content-Type"] = "application/x-www-form-urlencoded" },
    })
    if not res then
        core.log.error("failed to refresh google oauth access token, ", err)
        return
    elseif res.status ~= 200 then
        core.log.error("failed to refresh google oauth access token: ",
                       secret_call.redacted(res.body, assertion))
        return
    end
    local answer
    answer, err = secret_call.object(res.body)
    if not answer or type(answer.access_token) ~= "string" then
        core.log.error("failed to parse google oauth response data: ", err or "no access_token")
        return
    end
    local ttl = tonumber(answer.expires_in) or 0
    self.access_token = answer.access_token
    self.access_token_type = secret_call.field(answer, "token_type")
    self.access_token_ttl = ttl
    self.access_token_expire_time = time() + ttl
end


--- A token that is good for a while yet.
-- @treturn string|nil
function _M:generate_access_token()
    if not self.access_token or time() > self.access_token_expire_time - EARLY_SECONDS then
        self:refresh_access_token()
    end
    return self.access_token
end


return _M
