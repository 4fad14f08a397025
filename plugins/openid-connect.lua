--- openid-connect: lets users of an OpenID provider pass, by a login or by an access token.
--
-- Runs in `rewrite`. A request with a token in `Authorization` or `X-Access-Token` passes if the
-- provider, asked or by its keys, says that it is good; other clients are sent to the provider
-- (302) and come back to a session in a cookie, or in Redis with its number in a cookie. What
-- it knows then it tells the upstream in `X-Access-Token`, `X-ID-Token`, `X-Userinfo`,
-- `X-Refresh-Token` and `X-Raw-ID-Token`; what a client says there never gets through.
--
-- Refused are tokens that are not good (401 with `WWW-Authenticate: Bearer realm="..."`), a
-- header that is none (400), scopes and audiences that are missing (403 with
-- `{"error":"..."}`), and with `unauth_action` "deny" whoever has no session (401). A login that
-- fails is 500, a logout while the provider is away 503. The log has the reason.
local bearer = require("apisix.plugins.openid-connect.bearer")
local check = require("apisix.plugins.openid-connect.check").check
local core = require("apisix.core")
local headers = require("apisix.plugins.openid-connect.headers")
local login = require("apisix.plugins.openid-connect.login")
local openidc = require("resty.openidc")
local options = require("apisix.plugins.openid-connect.options")

local match = string.match

local NAME = "openid-connect"
local UNAVAILABLE = 503

-- What begins with "_" is named as APISIX's tests name it.
local _M = {
    version = 0.2,
    priority = 2599,
    name = NAME,
    schema = require("apisix.plugins.openid-connect.schema"),
    _build_session_opts = options.session,
    _flatten_openidc_options = options.flatten,
}


function _M.check_schema(conf)
    return check(conf, NAME)
end


-- A provider without an end of sessions leaves the client to us: it goes where the conf says.
local function prepare_logout(opts)
    local discovery, err = openidc.get_discovery_doc(opts)
    if not discovery then
        core.log.error("OIDC access discovery url failed : ", err)
        return UNAVAILABLE
    elseif opts.post_logout_redirect_uri and not discovery.end_session_endpoint then
        opts.redirect_after_logout_uri = opts.post_logout_redirect_uri
    end
end


function _M.rewrite(conf, ctx)
    local own = headers.strip(ctx)
    local opts = options.of(conf, ctx)
    if match(ctx.var.request_uri, "^[^?]*") == opts.logout_path then
        local code = prepare_logout(opts)
        if code then
            return code
        end
    end
    if bearer.is_wanted(opts) then
        local decided, code, body = bearer.check(opts, ctx, own)
        if decided then
            return code, body
        end
    end
    return login.check(opts, ctx)
end


return _M
