--- `resty.openidc`: OpenID Connect for the one that relies on a provider, and OAuth 2.0 for
-- the one that guards a resource.
-- @module resty.openidc
local authorize = require("resty.openidc.authorize")
local bearer = require("resty.openidc.bearer")
local provider = require("resty.openidc.provider")
local session_module = require("resty.session")
local tokens = require("resty.openidc.tokens")
local unsupported = require("moongate.unsupported")

local gsub = string.gsub
local hook = authorize.hook
local match = string.match
local next = next
local pairs = pairs
local time = ngx.time
local tonumber = tonumber
local tostring = tostring
local type = type

local SCOPE = authorize.SCOPE
local STATE_MISMATCH = "state from argument does not match state restored from session"

local _M = {
    _VERSION = "1.9.0",
    introspect = bearer.introspect,
    jwt_verify = bearer.jwt_verify,
    bearer_jwt_verify = bearer.bearer_jwt_verify,
}


--- The provider's description.
-- @treturn table|nil
-- @treturn nil|string error
_M.get_discovery_doc = provider.discover


function _M.set_logging()
end


--- Forgets what is cached of all providers.
function _M.invalidate_caches()
    for _, name in pairs({ "discovery", "jwks", "introspection", "jwt_verification" }) do
        local dict = ngx.shared[name]
        if dict then
            dict:flush_all()
        end
    end
end


local function contents(opts, name)
    return opts.session_contents == nil or opts.session_contents[name] == true
end


local function session_of(session)
    if type(session) == "table" and type(session.get_data) == "function" then
        return session
    end
    return (session_module.start(session))
end


local function store_tokens(opts, session, answer)
    if not contents(opts, "access_token") then
        return
    end
    local seconds = tonumber(answer.expires_in) or opts.access_token_expires_in or 3600
    session:set("access_token", answer.access_token)
    session:set("access_token_expiration",
                time() + seconds - (opts.access_token_expires_leeway or 0))
    if answer.refresh_token then
        session:set("refresh_token", answer.refresh_token)
    end
end


-- Tokens, of which a provider that is not well might say anything.
local function ask_for_tokens(opts, discovery, fields)
    local answer, err = provider.ask(opts, discovery.token_endpoint, fields,
                                     provider.auth_method(opts, discovery), "token")
    if not answer then
        return nil, err
    elseif type(answer.access_token) ~= "string" then
        return nil, "token endpoint returned no access_token"
    elseif fields.code and type(answer.id_token) ~= "string" then
        return nil, "token endpoint returned no id_token"
    elseif opts.use_dpop and tostring(answer.token_type):lower() ~= "dpop" then
        return nil, "token endpoint returned a token that is not bound to the DPoP key"
    end
    return answer
end


local function arguments()
    if ngx.req.get_method() == "POST" then
        ngx.req.read_body()
        return ngx.req.get_post_args()
    end
    return ngx.req.get_uri_args()
end


-- What the client came back with becomes a session.
local function come_back(opts, session, discovery)
    local args, flows = arguments(), session:get("authorization_states") or {}
    if not args.code or not args.state then
        return nil, "unhandled request to the redirect_uri: " .. ngx.var.request_uri,
               session:get("original_url")
    elseif next(flows) == nil and not session:get("original_url") then
        return nil, "request to the redirect_uri path but there's no session state found"
    end
    local flow = flows[args.state]
    if not flow then
        return nil, STATE_MISMATCH, session:get("original_url")
    end
    local target = flow.original_url
    local answer, err = ask_for_tokens(opts, discovery, {
        grant_type = "authorization_code", code = args.code,
        redirect_uri = provider.redirect_uri(opts),
        code_verifier = flow.code_verifier,
    })
    if not answer then
        return nil, err, target
    end
    local claims
    claims, err = tokens.identity(opts, discovery, answer.id_token, flow.nonce)
    if not claims then
        return nil, err, target
    end

    flows[args.state] = nil
    session:set("authorization_states", flows)
    session:set("state", nil)
    session:set("authenticated", true)
    session:set("last_authenticated", time())
    if contents(opts, "id_token") then
        session:set("id_token", claims)
    end
    if contents(opts, "enc_id_token") then
        session:set("enc_id_token", answer.id_token)
    end
    store_tokens(opts, session, answer)
    if contents(opts, "user") then
        local user, problem = provider.userinfo(opts, discovery, answer.access_token)
        if user and user.sub == claims.sub then
            session:set("user", user)
        elseif problem then
            ngx.log(ngx.WARN, "error calling userinfo endpoint: ", problem)
        end
    end
    err = hook(opts, "on_authenticated", session, claims, answer)
    if err then
        return nil, err, target
    end
    local ok
    ok, err = session:save()
    if not ok then
        return nil, "unable to save session: " .. tostring(err), target
    end
    return ngx.redirect(target or "/")
end


local function refresh_token(opts, session, discovery)
    local answer, err = ask_for_tokens(opts, discovery, {
        grant_type = "refresh_token", refresh_token = session:get("refresh_token"),
        scope = opts.scope or SCOPE,
    })
    if not answer then
        return nil, err
    end
    if answer.id_token then
        local claims
        claims, err = tokens.identity(opts, discovery, answer.id_token)
        if not claims then
            return nil, err
        end
        if contents(opts, "id_token") then
            session:set("id_token", claims)
        end
        if contents(opts, "enc_id_token") then
            session:set("enc_id_token", answer.id_token)
        end
    end
    store_tokens(opts, session, answer)
    err = hook(opts, "on_regenerated", session)
    if err then
        return nil, err
    end
    return session:save()
end


-- An access token that is over is renewed if it can be. Only then the provider is needed.
local function is_alive(opts, session)
    local over = session:get("access_token_expiration")
    if not over or over > time() or opts.renew_access_token_on_expiry == false then
        return true
    end
    if not session:get("refresh_token") then
        return true
    end
    local discovery, err = provider.discover(opts)
    local ok = discovery ~= nil
    if discovery then
        ok, err = refresh_token(opts, session, discovery)
    end
    if not ok then
        ngx.log(ngx.WARN, "lost access token: ", tostring(err))
    end
    return ok
end


--- Tells the provider that a token is not needed any more.
function _M.revoke_token(opts, hint, token)
    local discovery, err = provider.discover(opts)
    if not discovery or not discovery.revocation_endpoint then
        return false, err or "no revocation endpoint supplied"
    end
    local ok
    ok, err = provider.ask(opts, discovery.revocation_endpoint,
                           { token = token, token_type_hint = hint },
                           provider.auth_method(opts, discovery), "revocation")
    return ok ~= nil, err
end


--- Revokes the tokens of a session.
function _M.revoke_tokens(opts, session)
    local good = true
    for _, name in pairs({ "refresh_token", "access_token" }) do
        local token = session:get(name)
        if token then
            good = _M.revoke_token(opts, name, token) and good
        end
    end
    return good
end


local function logout(opts, session, discovery)
    local id_token = session:get("enc_id_token")
    if opts.revoke_tokens_on_logout then
        _M.revoke_tokens(opts, session)
    end
    local err = hook(opts, "on_logout", session)
    if err then
        return nil, err
    end
    if session.state == "open" then
        session:destroy()
    end
    local args = {}
    if opts.redirect_after_logout_uri then
        local uri = opts.redirect_after_logout_uri
        if opts.redirect_after_logout_with_id_token_hint ~= false and id_token then
            args.id_token_hint = id_token
        end
        args.post_logout_redirect_uri = opts.post_logout_redirect_uri
        return ngx.redirect(next(args) and provider.with_args(uri, args) or uri)
    elseif discovery.end_session_endpoint or discovery.ping_end_session_endpoint then
        args.id_token_hint = id_token
        args.post_logout_redirect_uri = opts.post_logout_redirect_uri
        return ngx.redirect(provider.with_args(discovery.end_session_endpoint
                                               or discovery.ping_end_session_endpoint, args))
    end
    ngx.header["Content-Type"] = "text/html"
    ngx.say("<html><body>Logged Out</body></html>")
    return ngx.exit(ngx.OK)
end


local function result_of(session)
    return { id_token = session:get("id_token"), access_token = session:get("access_token"),
             user = session:get("user") }
end


--- Lets a request pass only with a session; the client is sent to the provider for one.
-- @tparam table opts
-- @tparam[opt] string target where the client wanted to go
-- @tparam[opt] string|function unauth_action "pass", "deny", or what is called without a session
-- @tparam[opt] table session of `resty.session`, or its settings
-- @treturn table|nil `id_token`, `access_token`, `user`
-- @treturn nil|string error
-- @treturn string target
-- @treturn table session
function _M.authenticate(opts, target, unauth_action, session)
    session = session_of(session)
    -- To a browser, two slashes begin another host.
    target = target or gsub(ngx.var.request_uri, "^[/\\]+", "/")
    local path = match(target, "^[^?]*")
    local step = path == provider.path_of(provider.redirect_uri(opts)) and come_back
                 or path == (opts.logout_path or "/logout") and logout
    local silent
    if not step then
        local interval = opts.refresh_session_interval
        local authenticated = session:get("authenticated") and not opts.force_reauthorize
        silent = authenticated and interval
                 and (session:get("last_authenticated") or 0) + interval < time()
        if authenticated and not silent and is_alive(opts, session) then
            return result_of(session), nil, target, session
        elseif unauth_action == "pass" or unauth_action == "deny" then
            return nil, "unauthorized request", target, session
        elseif type(unauth_action) == "function" then
            unauth_action(session)
        end
    end

    local discovery, err = provider.discover(opts)
    if not discovery then
        return nil, err, target, session
    elseif step then
        local result, problem, back = step(opts, session, discovery)
        return result, problem, back or target, session
    end
    local result, problem = authorize.go(opts, session, discovery, target, silent and "none")
    return result, problem, target, session
end


--- What the provider says of the user behind an access token.
function _M.call_userinfo_endpoint(opts, access_token)
    local discovery, err = provider.discover(opts)
    if not discovery then
        return nil, err
    end
    return provider.userinfo(opts, discovery, access_token)
end


--- The access token of the session, renewed if it is over.
function _M.access_token(opts, session)
    session = session_of(session)
    local token = session:get("access_token")
    local discovery, err = provider.discover(opts)
    if not token or not discovery then
        return nil, err, session
    end
    is_alive(opts, session)
    return session:get("access_token"), nil, session
end


return unsupported.absent(_M, "resty.openidc.", { "get_token_auth_method", "openidc_dpop_proof" },
    "what it is part of is done inside authenticate")
