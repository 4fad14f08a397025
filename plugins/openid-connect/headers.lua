--- What openid-connect tells the upstream, and how it refuses.
-- @module apisix.plugins.openid-connect.headers
local core = require("apisix.core")

local encode_base64 = ngx.encode_base64
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local set_header = core.request.set_header
local sub = string.sub
local type = type

local UNAUTHORIZED = 401
local DESCRIPTION_BYTES_MAX = 400

local _M = {}


--- Takes what only this plugin may say to the upstream out of the request.
-- @treturn string|nil the access token that the client has put there
function _M.strip(ctx)
    local token = core.request.header(ctx, "X-Access-Token")
    core.request.set_headers(ctx, "X-Access-Token", nil, "X-Userinfo", nil, "X-ID-Token", nil)
    core.request.set_headers(ctx, "X-Refresh-Token", nil, "X-Raw-ID-Token", nil)
    return token
end


function _M.set_access_token(ctx, opts, token)
    if not token or not opts.set_access_token_header then
        return
    end
    if opts.access_token_in_authorization_header then
        set_header(ctx, "Authorization", "Bearer " .. token)
    else
        set_header(ctx, "X-Access-Token", token)
    end
end


--- A table as base64 of its JSON.
function _M.set_table(ctx, name, value)
    set_header(ctx, name, encode_base64(core.json.encode(value)))
end


--- Refuses, with a challenge.
-- @tparam table opts
-- @tparam[opt] string reason what is wrong with the token; nothing if there is none
-- @treturn number status
function _M.challenge(opts, reason)
    local text = 'Bearer realm="' .. opts.realm .. '"'
    if reason then
        -- A provider, or a token, may have had its say in it (RFC 6750, section 3).
        reason = gsub(gsub(sub(reason, 1, DESCRIPTION_BYTES_MAX), '"', "'"), "[^\32-\126]", " ")
        text = text .. ', error="invalid_token", error_description="' .. gsub(reason, "\\", "/")
               .. '"'
    end
    core.response.set_header("WWW-Authenticate", text)
    return UNAUTHORIZED
end


--- Scope -> true, of text with spaces between them, or of a list.
function _M.scopes_of(scope)
    local found = {}
    if type(scope) == "string" then
        for name in gmatch(scope, "%S+") do
            found[name] = true
        end
    elseif type(scope) == "table" then
        for _, name in ipairs(scope) do
            found[name] = true
        end
    end
    return found
end


--- Whether all that the conf requires is there.
function _M.has_scopes(required, scopes)
    for _, name in ipairs(required) do
        if not scopes[name] then
            return false
        end
    end
    return true
end


return _M
