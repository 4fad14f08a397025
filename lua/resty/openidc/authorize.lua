--- The way of a client to its provider, for `resty.openidc`.
-- @module resty.openidc.authorize
local dpop = require("resty.openidc.dpop")
local host = require("moongate.host")
local provider = require("resty.openidc.provider")

local b64url = host.crypto.base64url_encode
local digest = host.crypto.digest
local pairs = pairs
local random_bytes = host.crypto.random_bytes
local time = ngx.time
local to_hex = require("resty.string").to_hex
local tostring = tostring

-- Each costs bytes of the cookie.
local FLOWS_MAX = 5

local _M = { SCOPE = "openid email profile" }


--- Calls what the caller wants to do at this moment.
-- @treturn nil|string error
function _M.hook(opts, name, ...)
    local func = opts.lifecycle and opts.lifecycle[name]
    local err = func and func(...)
    return err or nil
end


local hook = _M.hook


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


-- Leaves the parameters with the provider; the client carries what stands for them (RFC 9126).
local function push(opts, discovery, params)
    local endpoint = opts.pushed_authorization_request_endpoint
                     or discovery.pushed_authorization_request_endpoint
    local method = opts.pushed_authorization_request_endpoint_auth_method
                   or provider.auth_method(opts, discovery)
    local answer, err = provider.ask(opts, endpoint, params, method,
                                     "pushed authorization request")
    if not answer then
        return nil, err
    elseif type(answer.request_uri) ~= "string" then
        return nil, "pushed authorization request endpoint returned no request_uri"
    end
    return { client_id = opts.client_id, request_uri = answer.request_uri }
end


-- What the provider is to know; and what the session is to remember.
local function parameters(opts, target, prompt)
    local state, nonce = to_hex(random_bytes(16)), nil
    if opts.use_nonce ~= false then
        nonce = to_hex(random_bytes(16))
    end
    local verifier = opts.use_pkce and b64url(random_bytes(32)) or nil
    local params = {
        client_id = opts.client_id, response_type = "code", scope = opts.scope or _M.SCOPE,
        redirect_uri = provider.redirect_uri(opts), state = state, nonce = nonce,
        prompt = prompt or opts.prompt, display = opts.display, response_mode = opts.response_mode,
    }
    if verifier then
        params.code_challenge_method = "S256"
        params.code_challenge = b64url(digest("sha256", verifier))
    end
    for name, value in pairs(opts.authorization_params or {}) do
        params[name] = value
    end
    return params, { original_url = target, nonce = nonce, at = time(), code_verifier = verifier }
end


--- Sends the client to the provider, to come back with a code.
-- @treturn nil
-- @treturn string error
function _M.go(opts, session, discovery, target, prompt)
    local params, flow = parameters(opts, target, prompt)
    local err
    if opts.use_dpop then
        params.dpop_jkt, err = dpop.thumbprint(opts)
    end
    err = err or hook(opts, "on_created", session, params)
    if err then
        return nil, err
    elseif not discovery.authorization_endpoint then
        return nil, "no authorization endpoint supplied"
    end
    local state = params.state
    remember_flow(session, state, flow)
    session:set("original_url", target)
    session:set("state", state)
    session:set("last_authenticated", time())
    if opts.use_par then
        params, err = push(opts, discovery, params)
        if not params then
            return nil, err
        end
    end
    local ok
    ok, err = session:save()
    if not ok then
        -- Of several flows to long addresses there may be more than a cookie holds.
        session:set("authorization_states", { [state] = flow })
        ok, err = session:save()
    end
    if not ok then
        return nil, "unable to save session: " .. tostring(err)
    end
    ngx.header["Cache-Control"] = "no-cache, no-store, max-age=0"
    return ngx.redirect(provider.with_args(discovery.authorization_endpoint, params))
end


return _M
