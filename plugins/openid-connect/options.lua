--- A conf of openid-connect as resty.openidc and resty.session read it.
-- @module apisix.plugins.openid-connect.options
local core = require("apisix.core")

local clone = core.table.clone
local has_suffix = core.string.has_suffix
local gsub = string.gsub
local setmetatable = setmetatable

local SUFFIX = "/.apisix/redirect"
local SECOND_MS = 1000

local _M = {}


--- Takes `par` and `dpop` apart into the names of resty.openidc, in place.
function _M.flatten(conf)
    local par, dpop = conf.par, conf.dpop
    conf.par, conf.dpop = nil, nil
    if par then
        conf.use_par = par.enabled
        conf.pushed_authorization_request_endpoint = par.endpoint
        conf.pushed_authorization_request_endpoint_auth_method = par.endpoint_auth_method
    end
    if dpop then
        conf.use_dpop = dpop.enabled
        conf.dpop_signing_alg = dpop.signing_alg
        conf.dpop_private_key = dpop.private_key
        conf.dpop_public_jwk = dpop.public_jwk
    end
end


--- Settings of a session. The older `cookie.lifetime` stands in for `absolute_timeout`.
function _M.session(conf)
    local lifetime = conf and conf.cookie and conf.cookie.lifetime
    if not lifetime or conf.absolute_timeout then
        return conf
    end
    core.log.warn("session.cookie.lifetime is deprecated; use session.absolute_timeout instead")
    local settings = clone(conf)
    settings.absolute_timeout = lifetime
    return settings
end


-- Where the provider sends clients back to: below the path that was asked for, so that the same
-- route gets it, and not that path itself.
local function redirect_uri(uri)
    if has_suffix(uri, SUFFIX) then
        return uri
    end
    return gsub(uri, "/$", "") .. SUFFIX
end


-- What of the user a session must hold, whatever the conf leaves out.
local function session_contents(conf)
    local contents = conf.session_contents
    if not contents then
        return nil
    end
    contents = clone(contents)
    contents.enc_id_token = contents.enc_id_token or conf.set_raw_id_token_header or nil
    contents.access_token = contents.access_token or conf.required_scopes ~= nil or nil
    return contents
end


-- conf -> what all its requests have in common
local prepared = setmetatable({}, { __mode = "k" })


local function prepare(conf)
    local opts = clone(conf)
    _M.flatten(opts)
    -- Seconds; in confs that an old version stored, milliseconds.
    if opts.timeout < SECOND_MS or opts.timeout % SECOND_MS ~= 0 then
        opts.timeout = opts.timeout * SECOND_MS
    end
    if not opts.ssl_verify then
        opts.ssl_verify = "no"
    end
    opts.session = _M.session(conf.session)
    opts.session_contents = session_contents(conf)
    prepared[conf] = opts
    return opts
end


--- Options for one request: resty.openidc writes into them.
function _M.of(conf, ctx)
    local opts = clone(prepared[conf] or prepare(conf))
    opts.redirect_uri = opts.redirect_uri or redirect_uri(ctx.var.uri)
    return opts
end


return _M
