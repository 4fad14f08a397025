--- `resty.openidc`: OpenID Connect for the one that relies on a provider, and OAuth 2.0 for
-- the one that guards a resource.
-- @module resty.openidc
local bearer = require("resty.openidc.bearer")
local host = require("moongate.host")
local provider = require("resty.openidc.provider")
local session_module = require("resty.session")
local tokens = require("resty.openidc.tokens")
local unsupported = require("moongate.unsupported")

local b64url = host.crypto.base64url_encode
local digest = host.crypto.digest
local match = string.match
local next = next
local pairs = pairs
local random_bytes = host.crypto.random_bytes
local time = ngx.time
local tonumber = tonumber
local to_hex = require("resty.string").to_hex
local tostring = tostring
local type = type

local SCOPE = "openid email profile"
local STATE_MISMATCH = "state from argument does not match state restored from session"

-- Each costs bytes of the cookie.
local FLOWS_MAX = 5

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


local function hook(opts, name, ...)
    local func = opts.lifecycle and opts.lifecycle[name]
    local err = func and func(...)
    return err or nil
end


-- A client may be on its way to the provider several times at once; the oldest goes.
local function remember_flow(session, state, flow)
    local flows, kept, oldest = session:get("authorization_states") or {}, 0, nil
    for name, known in pairs(flows) do
        kept = kept + 1
        if not oldest or known.at < flows[oldest].at then
            oldest = name
        end
    end
    if kept >= FLOWS_MAX then
        flows[oldest] = nil
    end
    flows[state] = flow
    session:set("authorization_states", flows)
end


-- Sends the client to the provider, to come back with a code.
local function authorize(opts, session, discovery, target)
    local state, nonce = to_hex(random_bytes(16)), nil
    if opts.use_nonce ~= false then
        nonce = to_hex(random_bytes(16))
    end
    local verifier = opts.use_pkce and b64url(random_bytes(32)) or nil
    local params = {
        client_id = opts.client_id, response_type = "code", scope = opts.scope or SCOPE,
        redirect_uri = provider.redirect_uri(opts), state = state, nonce = nonce,
        prompt = opts.prompt, display = opts.display, response_mode = opts.response_mode,
    }
    if verifier then
        params.code_challenge_method = "S256"
        params.code_challenge = b64url(digest("sha256", verifier))
    end
    for name, value in pairs(opts.authorization_params or {}) do
        params[name] = value
    end
    remember_flow(session, state, { original_url = target, nonce = nonce, at = time(),
                                    code_verifier = verifier })
    session:set("original_url", target)
    session:set("state", state)
    session:set("last_authenticated", time())
    local err = hook(opts, "on_created", session, params)
    if err then
        return nil, err
    end
    local ok
    ok, err = session:save()
    if not ok then
        return nil, "unable to save session: " .. tostring(err)
    end
    ngx.header["Cache-Control"] = "no-cache, no-store, max-age=0"
    return ngx.redirect(provider.with_args(discovery.authorization_endpoint, params))
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


-- What the client came back with becomes a session.
local function come_back(opts, session, discovery, args)
    local flows = session:get("authorization_states") or {}
    if not args.code or not args.state then
        return nil, "unhandled request to the redirect_uri: " .. ngx.var.request_uri,
               session:get("original_url")
    elseif next(flows) == nil then
        return nil, "request to the redirect_uri path but there's no session state found"
    end
    local flow = flows[args.state]
    if not flow then
        return nil, STATE_MISMATCH, session:get("original_url")
    end
    local target = flow.original_url
    local answer, err = provider.ask(opts, discovery.token_endpoint, {
        grant_type = "authorization_code", code = args.code,
        redirect_uri = provider.redirect_uri(opts),
        code_verifier = flow.code_verifier,
    }, provider.auth_method(opts, discovery), "token")
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
    local answer, err = provider.ask(opts, discovery.token_endpoint, {
        grant_type = "refresh_token", refresh_token = session:get("refresh_token"),
        scope = opts.scope or SCOPE,
    }, provider.auth_method(opts, discovery), "token")
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


-- An access token that is over is renewed if it can be.
local function is_alive(opts, session, discovery)
    local over = session:get("access_token_expiration")
    if not over or over > time() or opts.renew_access_token_on_expiry == false then
        return true
    end
    if not session:get("refresh_token") then
        return true
    end
    local ok, err = refresh_token(opts, session, discovery)
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


local function arguments()
    if ngx.req.get_method() == "POST" then
        ngx.req.read_body()
        return ngx.req.get_post_args()
    end
    return ngx.req.get_uri_args()
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
    target = target or ngx.var.request_uri
    local path = match(target, "^[^?]*")
    local discovery, err = provider.discover(opts)
    if not discovery then
        return nil, err, target, session
    end
    if path == provider.path_of(provider.redirect_uri(opts)) then
        local result, problem, back = come_back(opts, session, discovery, arguments())
        return result, problem, back or target, session
    end
    if path == (opts.logout_path or "/logout") then
        local result, problem = logout(opts, session, discovery)
        return result, problem, target, session
    end

    local interval = opts.refresh_session_interval
    local stale = interval and (session:get("last_authenticated") or 0) + interval < time()
    if session:get("authenticated") and not opts.force_reauthorize and not stale
       and is_alive(opts, session, discovery) then
        return result_of(session), nil, target, session
    end
    if unauth_action == "pass" then
        return nil, "unauthorized request", target, session
    elseif unauth_action == "deny" then
        return nil, "unauthorized request", target, session
    elseif type(unauth_action) == "function" then
        unauth_action(session)
    end
    local result, problem = authorize(opts, session, discovery, target)
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
    is_alive(opts, session, discovery)
    return session:get("access_token"), nil, session
end


return unsupported.absent(_M, "resty.openidc.", { "get_token_auth_method", "openidc_dpop_proof" },
    "what it is part of is done inside authenticate")
