--- `resty.saml`: a service provider of SAML 2.0, which lets an identity provider tell who asks.
--
--     local saml = require("resty.saml").new(opts)
--     local who, err = saml:authenticate()
--
-- Who has a session passes, as `who`; any other request is sent to `idp_uri` with a signed
-- AuthnRequest. The three paths of `opts` that belong to the library are answered here: the answer
-- to a login comes to `login_callback_uri` by HTTP-Redirect or HTTP-POST, `logout_uri` begins a
-- logout, and `logout_callback_uri` takes the end of ours or the beginning of the provider's.
-- Requests go out by HTTP-Redirect, also when answers are wanted by HTTP-POST, as the original
-- sends them. `sp_cert` is not used: no message of ours carries it.
--
-- What is refused and the original takes: a message of which a part that is read is not signed,
-- also beside parts that are; assertions that are not bound to our request (see
-- `moongate.saml_assertion`); a logout that is for another session or another address, or the end
-- of one that nobody began. Signatures in a query are checked over the text that was sent. Values
-- are escaped in the messages we write. Schemas are not validated; what is read is.
-- @module resty.saml
local assertions = require("moongate.saml_assertion")
local messages = require("moongate.saml")
local random_bytes = require("moongate.host").crypto.random_bytes
local session = require("resty.session")
local to_hex = require("resty.string").to_hex

local element = messages.element
local error = error
local escape = messages.escape
local ipairs = ipairs
local log = ngx.log
local loggable = messages.loggable
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local DEFAULT_CLOCK_SKEW = 60
local ENTITY = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
local PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
local NEEDED = { "sp_issuer", "idp_uri", "idp_cert", "login_callback_uri", "sp_private_key" }

local _M = {}
local Saml = {}
local mt = { __index = Saml }


local function new_id()
    return "ID_" .. to_hex(random_bytes(20))
end


-- A path of ours as the browser sees it.
local function absolute(path)
    return messages.absolute(path) or ngx.exit(ngx.HTTP_BAD_REQUEST)
end


local function acs_url(opts)
    return opts.sp_acs_url or absolute(opts.login_callback_uri)
end


local function issuer_of(opts)
    return element("saml:Issuer", { { "Format", ENTITY } }, escape(opts.sp_issuer))
end


-- Sends the browser to the provider with a message.
local function send(self, kind, xml, state)
    local target, err = messages.redirect(self.sign_key, self.opts.idp_uri, kind, xml, state)
    if not target then
        log(ngx.ERR, "saml: the message cannot be signed: ", err)
        return ngx.exit(ngx.HTTP_INTERNAL_SERVER_ERROR)
    end
    return ngx.redirect(target)
end


local function save(sess)
    local ok, err = sess:save()
    if not ok then
        log(ngx.ERR, "saml: the session cannot be saved: ", err)
        return ngx.exit(ngx.HTTP_INTERNAL_SERVER_ERROR)
    end
end


local function login(self)
    local opts = self.opts
    local sess = session.start(self.session_config)
    local expires = sess:get("expires")
    local expired = type(expires) == "number" and expires < ngx.time()
    if sess:get("authenticated") and not expired then
        return {
            authenticated = sess:get("authenticated"), name_id = sess:get("name_id"),
            session_index = sess:get("session_index"), attrs = sess:get("attrs"),
            issuer = sess:get("issuer"),
        }
    end
    local state, id = to_hex(random_bytes(20)), new_id()
    sess:set("saml_state", state)
    sess:set("saml_request_id", id)
    sess:set("request_uri", ngx.var.request_uri)
    save(sess)
    log(ngx.INFO, "login start, request_uri=", ngx.var.request_uri)
    return send(self, "SAMLRequest", messages.message("AuthnRequest", id, {
        { "Destination", opts.idp_uri },
        { "ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:"
                             .. (opts.auth_protocol_binding_method or "HTTP-Redirect") },
        { "AssertionConsumerServiceURL", acs_url(opts) },
    }, issuer_of(opts)), state)
end


-- Ends the request with a line in the log.
local function refuse(status, ...)
    log(ngx.ERR, ...)
    return ngx.exit(status)
end


-- The message of a request; what cannot be believed is answered here.
local function received(self, kinds)
    local method = ngx.req.get_method()
    if method ~= "POST" and method ~= "GET" then
        return ngx.exit(405)
    end
    local message, err, state = messages.read(self.idp_key, kinds)
    if not message then
        return refuse(ngx.HTTP_BAD_REQUEST, "message from IdP: ", loggable(err))
    end
    return message, state
end


local function failed(status)
    return refuse(ngx.HTTP_INTERNAL_SERVER_ERROR, "IdP returned non-success status: ",
                  loggable(status))
end


-- What of a message itself, if it is there, must be ours.
local function misdirected(message, url, request_id)
    local destination, answers = message.attributes.Destination, message.attributes.InResponseTo
    if destination and destination ~= url then
        return "message from IdP is addressed to " .. loggable(destination)
    elseif answers and answers ~= request_id then
        return "message from IdP answers request " .. loggable(answers)
    end
end


local function login_callback(self)
    local opts = self.opts
    local sess = session.start(self.session_config)
    local expected_state, request_id = sess:get("saml_state"), sess:get("saml_request_id")
    if not expected_state or not request_id then
        return refuse(503, "no session found or saml_state missing")
    end
    local message, state = received(self, { "SAMLResponse" })
    if message.name ~= "Response" then
        return refuse(ngx.HTTP_BAD_REQUEST, "message from IdP: a ", message.name,
                      " is no answer to a login")
    end
    local status = messages.status(message)
    if status ~= messages.SUCCESS then
        return failed(status)
    elseif state ~= expected_state then
        return refuse(ngx.HTTP_UNAUTHORIZED, "state different: args.state=", loggable(state),
                      ", state=", expected_state)
    end
    local url = acs_url(opts)
    local wrong = misdirected(message, url, request_id)
    if wrong then
        return refuse(ngx.HTTP_UNAUTHORIZED, wrong)
    end
    local found, why = assertions.read(message, {
        acs_url = url, request_id = request_id, issuers = self.idp_issuers, now = ngx.time(),
        audiences = opts.sp_audiences or { opts.sp_issuer },
        skew = opts.clock_skew or DEFAULT_CLOCK_SKEW,
    })
    if not found then
        return refuse(ngx.HTTP_UNAUTHORIZED, "response from IdP rejected: ", loggable(why))
    end
    local expires
    if found.session_expires then
        expires, why = assertions.time(found.session_expires)
        if not expires then
            return refuse(500, "SessionNotOnOrAfter ", loggable(found.session_expires), ": ", why)
        end
    end
    local target = sess:get("request_uri")
    for _, key in ipairs({ "name_id", "session_index", "attrs", "issuer" }) do
        sess:set(key, found[key])
    end
    sess:set("authenticated", true)
    sess:set("expires", expires)
    for _, key in ipairs({ "saml_state", "saml_request_id", "request_uri" }) do
        sess:set(key, nil)
    end
    save(sess)
    log(ngx.INFO, "login finish: name_id=", loggable(found.name_id))
    return ngx.redirect(target)
end


local function logout(self)
    local opts = self.opts
    local sess = session.start(self.session_config)
    if not sess:get("authenticated") then
        return ngx.exit(ngx.HTTP_UNAUTHORIZED)
    end
    local id, index = new_id(), sess:get("session_index")
    local inside = issuer_of(opts)
        .. element("saml:NameID", { { "Format", PERSISTENT } }, escape(sess:get("name_id")))
    if index then
        inside = inside .. element("samlp:SessionIndex", {}, escape(index))
    end
    sess:set("saml_logout_id", id)
    save(sess)
    return send(self, "SAMLRequest", messages.message("LogoutRequest", id, {
        { "Destination", opts.idp_uri },
    }, inside), "")
end


-- Why a LogoutRequest is not for this session; nil if it is.
local function not_for(sess, message, skew)
    for name, own in pairs({ Issuer = sess:get("issuer"), NameID = sess:get("name_id") }) do
        local given = messages.text(message, name)
        if given ~= own then
            return name .. " different: " .. loggable(given) .. ", of the session: " .. own
        end
    end
    local ends = message.attributes.NotOnOrAfter
    if ends and (assertions.time(ends) or 0) + skew <= ngx.time() then
        return "NotOnOrAfter is over or no time: " .. loggable(ends)
    end
    local own = sess:get("session_index")
    local listed = messages.children(message, "samlp", "SessionIndex")
    for _, index in ipairs(listed) do
        if messages.trim(index.text) == own then
            return nil
        end
    end
    return listed[1] and own and "SessionIndex different" or nil
end


-- The provider ends the session: it is told whether we did.
local function logout_request(self, sess, message, state)
    local opts = self.opts
    local why = not_for(sess, message, opts.clock_skew or DEFAULT_CLOCK_SKEW)
    if why then
        log(ngx.WARN, "logout refused: ", why)
    else
        sess:destroy()
        log(ngx.INFO, "logout finish")
    end
    local code = { { "Value", why and messages.REQUESTER or messages.SUCCESS } }
    local status = element("samlp:Status", {}, element("samlp:StatusCode", code))
    return send(self, "SAMLResponse", messages.message("LogoutResponse", new_id(), {
        { "Destination", opts.idp_uri }, { "InResponseTo", message.attributes.ID },
    }, issuer_of(opts) .. status), state or "")
end


local function logout_callback(self)
    local sess = session.start(self.session_config)
    if not sess:get("authenticated") then
        return refuse(ngx.HTTP_UNAUTHORIZED, "no active session for logout")
    end
    local message, state = received(self, { "SAMLResponse", "SAMLRequest" })
    local pending = sess:get("saml_logout_id")
    local is_request = message.name == "LogoutRequest"
    local wrong = misdirected(message, absolute(self.opts.logout_callback_uri), pending)
    if wrong then
        return refuse(ngx.HTTP_UNAUTHORIZED, wrong)
    elseif is_request then
        return logout_request(self, sess, message, state)
    elseif message.name ~= "LogoutResponse" or not pending then
        return refuse(ngx.HTTP_BAD_REQUEST, "a ", message.name, " that answers no logout")
    end
    local status = messages.status(message)
    if status ~= messages.SUCCESS then
        return failed(status)
    end
    sess:destroy()
    log(ngx.INFO, "logout finish")
    return ngx.redirect(self.opts.logout_redirect_uri or "/")
end


--- Lets a request pass whose session says who asks; answers any other.
-- @treturn table|nil `name_id`, `attrs`, `issuer`, `session_index`, `authenticated`
-- @treturn nil|string error
function Saml:authenticate()
    local uri, opts = ngx.var.uri, self.opts
    if uri == opts.login_callback_uri then
        return login_callback(self)
    elseif uri == opts.logout_uri then
        return logout(self)
    elseif uri == opts.logout_callback_uri then
        return logout_callback(self)
    end
    return login(self)
end


-- The set of a list of issuers.
local function issuer_set(issuers)
    local set = {}
    for key, issuer in pairs(issuers) do
        if type(key) ~= "number" or type(issuer) ~= "string" then
            error("resty.saml: idp_issuers must be a list of strings", 3)
        end
        set[messages.trim(issuer)] = true
    end
    return set
end


--- A service provider.
-- @tparam table opts as the original reads them: `sp_issuer`, `idp_uri`, `idp_cert`,
--   `login_callback_uri`, `logout_uri`, `logout_callback_uri`, `logout_redirect_uri`,
--   `sp_private_key`, `auth_protocol_binding_method`, `secret`, `secret_fallbacks`, and
--   `idp_issuers`, `sp_acs_url`, `sp_audiences`, `clock_skew`
-- @treturn table
-- @raise what is wrong with `opts`, by name
function _M.new(opts)
    for _, name in ipairs(NEEDED) do
        if type(opts[name]) ~= "string" then
            error("resty.saml: " .. name .. " must be a string, not " .. type(opts[name]), 2)
        end
    end
    local key, err = messages.private_key(opts.sp_private_key)
    if not key then
        error("resty.saml: sp_private_key: " .. tostring(err), 2)
    end
    local public
    public, err = messages.public_key(opts.idp_cert)
    if not public then
        error("resty.saml: idp_cert: " .. tostring(err), 2)
    end
    local by_post = opts.auth_protocol_binding_method == "HTTP-POST"
    return setmetatable({
        opts = opts, sign_key = key, idp_key = public,
        idp_issuers = opts.idp_issuers and issuer_set(opts.idp_issuers),
        session_config = {
            cookie_name = "saml_session", secret = opts.secret,
            secret_fallbacks = opts.secret_fallbacks,
            -- A form that another site posts brings only such cookies.
            cookie_secure = by_post or nil, cookie_same_site = by_post and "None" or nil,
        },
    }, mt)
end


--- Nothing needs to be made ready.
-- @treturn nil
function _M.init()
end


return _M
