--- Clients of openid-connect that log in: a session, or the way to one.
-- @module apisix.plugins.openid-connect.login
local core = require("apisix.core")
local headers = require("apisix.plugins.openid-connect.headers")
local jwt = require("resty.jwt")
local openidc = require("resty.openidc")

local concat = table.concat
local has_prefix = core.string.has_prefix
local type = type

local FORBIDDEN = 403
local FOUND = 302
local INTERNAL = 500
local UNAUTHORIZED = 401

-- What resty.openidc says of a return that belongs to no way that was begun, and of one that
-- brings no code.
local STRANGE_STATE = "state from argument does not match state restored from session"
local NO_CODE = "unhandled request to the redirect_uri"

local RESTARTS_MAX = 3
local RESTARTS = "auth_flow_restarts"

local _M = {}


-- Where the client wanted to go when it was sent off with this state.
local function origin_of(session, state)
    local states = session:get("authorization_states")
    local known = type(states) == "table" and states[state]
    if known then
        return known.original_url
    elseif state == session:get("state") then
        return session:get("original_url")
    end
end


-- A return that failed by chance may begin again: why, and where. What the user or the provider
-- has decided stays decided.
local function reason_to_restart(err, target, session)
    if err == STRANGE_STATE then
        return "state mismatch (replayed or pruned callback)", target
    elseif not session or not has_prefix(err, NO_CODE) then
        return nil
    end
    local args = core.request.get_uri_args()
    if args.error ~= "temporarily_unavailable" or type(args.state) ~= "string" then
        return nil
    end
    local origin = origin_of(session, args.state)
    local told = args.error_description
    return origin and "authorization callback reported a temporarily unavailable identity provider"
           .. (type(told) == "string" and " (" .. told .. ")" or ""), origin
end


-- What fails again and again must not go round for ever: the session counts.
local function restart(session, reason, place, err)
    local count = session:get(RESTARTS) or 0
    if count >= RESTARTS_MAX then
        session:close()
        core.log.error("OIDC authentication failed: ", err, " (giving up after ", count,
                       " restarts of the authentication flow)")
        return INTERNAL
    end
    session:set(RESTARTS, count + 1)
    local ok, problem = session:save()
    session:close()
    if not ok then
        core.log.error("OIDC authentication failed: ", err,
                       " (could not persist the restart counter: ", problem, ")")
        return INTERNAL
    end
    core.log.warn("OIDC ", reason, ", restarting the authentication flow: ", err)
    core.response.set_header("Location", place)
    return FOUND
end


local function failed(conf, err, target, session)
    if err == "unauthorized request" then
        if session then
            session:close()
        end
        return conf.unauth_action ~= "pass" and UNAUTHORIZED or nil
    end
    local reason, place = reason_to_restart(err, target, session)
    if reason and place and session and core.request.get_method() == "GET" then
        return restart(session, reason, place, err)
    end
    if session then
        session:close()
    end
    core.log.error("OIDC authentication failed: ", err)
    return INTERNAL
end


-- The scopes that a user has granted, as far as the tokens say: nil if they do not.
local function granted_scopes(user)
    local scope
    if type(user.access_token) == "string" then
        local token = jwt:load_jwt(user.access_token)
        scope = token.valid and type(token.payload) == "table" and token.payload.scope
    end
    if not scope and type(user.id_token) == "table" then
        scope = user.id_token.scope
    end
    return type(scope) == "string" and headers.scopes_of(scope) or nil
end


local function check_scopes(required, user)
    local granted, wanted = granted_scopes(user), concat(required, ", ")
    if not granted then
        core.log.error("OIDC authentication failed: the scopes granted to the session are ",
                       "unknown, so required scopes ", wanted, " cannot be checked")
        return FORBIDDEN, core.json.encode({ error = "required scopes not present" })
    elseif not headers.has_scopes(required, granted) then
        core.log.error("OIDC authentication failed: required scopes not present")
        return FORBIDDEN,
               core.json.encode({ error = "required scopes " .. wanted .. " not present" })
    end
end


-- The status and body of a refusal of somebody who is logged in, or nothing.
local function check_user(opts, user)
    if opts.claim_schema then
        local ok, err = core.schema.check(opts.claim_schema, {
            user = user.user, access_token = user.access_token, id_token = user.id_token,
        })
        if not ok then
            core.log.error("OIDC claim validation failed: ", err)
            return headers.challenge(opts, err)
        end
    end
    if opts.required_scopes then
        return check_scopes(opts.required_scopes, user)
    end
end


local function tell_upstream(opts, ctx, user, session)
    headers.set_access_token(ctx, opts, user.access_token)
    if user.id_token and opts.set_id_token_header then
        headers.set_table(ctx, "X-ID-Token", user.id_token)
    end
    if user.user and opts.set_userinfo_header then
        headers.set_table(ctx, "X-Userinfo", user.user)
    end
    if opts.set_refresh_token_header then
        core.request.set_header(ctx, "X-Refresh-Token", session:get("refresh_token"))
    end
    if opts.set_raw_id_token_header then
        core.request.set_header(ctx, "X-Raw-ID-Token", session:get("enc_id_token"))
    end
end


-- Who is in may begin again as often as anybody.
local function forget_restarts(session)
    if session:get(RESTARTS) then
        session:set(RESTARTS, nil)
        local ok, err = session:save()
        if not ok then
            core.log.error("failed to save session: ", err)
        end
    end
end


--- Lets a request with a session pass, and sends a client without one where it gets it.
-- @treturn number|nil status of an answer
-- @treturn string|nil its body
function _M.check(opts, ctx)
    local action = opts.unauth_action == "auth" and "auth" or "deny"
    local user, err, target, session = openidc.authenticate(opts, nil, action, opts.session)
    if err or not user then
        return failed(opts, err or "no user", target, session)
    end
    local code, body = check_user(opts, user)
    if not code then
        tell_upstream(opts, ctx, user, session)
        forget_restarts(session)
    end
    session:close()
    return code, body
end


return _M
