-- resty.saml: the original is in C over xmlsec, so there is none beside it. Its way through a login
-- is in t/official, its signatures are in src/codec/saml/tests; here is what it makes of them.
-- alone: yes
local function expect(name, func)
    case(name, function()
        func()
        return "as expected"
    end)
end
local assertions = require("moongate.saml_assertion")
local messages = require("moongate.saml")
local saml = require("resty.saml")
local BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
local NOW = 1790000000 -- 2026-09-21T14:13:20Z


-- An element as it is read.
local function node(name, attributes, ...)
    local made = { name = name, space = "saml", attributes = attributes or {}, text = "" }
    for _, child in ipairs({ ... }) do
        if type(child) == "string" then
            made.text = made.text .. child
        else
            made[#made + 1] = child
        end
    end
    return made
end


local function confirmation(changes, method)
    local attributes = { Recipient = "https://sp/acs", InResponseTo = "ID_1",
                         NotOnOrAfter = "2026-09-21T14:20:00Z" }
    for name, value in pairs(changes or {}) do
        attributes[name] = value or nil
    end
    return node("SubjectConfirmation", { Method = method or BEARER },
                node("SubjectConfirmationData", attributes))
end


local function assertion(parts)
    parts = parts or {}
    local subject = node("Subject", {}, node("NameID", {}, parts.name or "ann"),
                         unpack(parts.confirmations or { confirmation() }))
    return node("Assertion", { ID = "_a" }, node("Issuer", {}, parts.issuer or "idp"), subject,
                parts.conditions or node("Conditions"), unpack(parts.more or {}))
end


local function read(...)
    return assertions.read(node("Response", {}, ...), {
        acs_url = "https://sp/acs", request_id = "ID_1", audiences = { "sp" }, now = NOW, skew = 60,
        issuers = { idp = true },
    })
end


local function refused(why, ...)
    local found, err = read(...)
    assert(not found and err:find(why, 1, true), tostring(err))
end


expect("saml options", function()
    local pkey = require("resty.openssl.pkey")
    local key = pkey.new({ type = "RSA", bits = 2048 })
    local private = key:to_PEM("private")
    assert(saml.init({ debug = false, data_dir = "anything" }) == nil)
    local good = { sp_issuer = "sp", idp_uri = "https://idp", login_callback_uri = "/acs",
                   sp_private_key = private, idp_cert = key:to_PEM("public") }
    local function wrong(name, value, text)
        local opts = setmetatable({ [name] = value }, { __index = good })
        local ok, err = pcall(saml.new, opts)
        assert(not ok and err:find("resty.saml: " .. text, 1, true), err)
    end
    wrong("sp_issuer", 1, "sp_issuer must be a string, not number")
    wrong("sp_private_key", "x", "sp_private_key: no key in the PEM text")
    wrong("sp_private_key", good.idp_cert, "sp_private_key: it must be a private key of RSA")
    wrong("sp_private_key", pkey.new({ type = "EC", curve = "prime256v1" }):to_PEM("private"),
          "sp_private_key: it must be a private key of RSA")
    wrong("idp_cert", good.idp_cert, "idp_cert: no certificate in the PEM text")
    wrong("idp_cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "idp_cert: ")
    -- What counts in a certificate is its key: the fields around it may be nothing.
    local asn1 = require("moongate.asn1")
    local _, spki = asn1.pem(good.idp_cert)
    local der = asn1.sequence(asn1.sequence(asn1.integer("1"), spki), asn1.sequence(), asn1.bits(""))
    good.idp_cert = asn1.to_pem("CERTIFICATE", der)
    wrong("idp_issuers", { 1 }, "idp_issuers must be a list of strings")
    wrong("idp_issuers", { a = "b" }, "idp_issuers must be a list of strings")
    assert(type(saml.new(good).authenticate) == "function")
end)
expect("saml times", function()
    for text, seconds in pairs({
        ["1970-01-01T00:00:00Z"] = 0, ["1970-12-31T23:59:59.999Z"] = 31535999,
        ["2000-02-29T12:00:00Z"] = 951825600, ["2026-09-21T14:13:20Z"] = NOW,
        ["2100-03-01T00:00:00Z"] = 4107542400, ["9999-12-31T23:59:59Z"] = 253402300799,
    }) do
        assert(assertions.time(text) == seconds, text .. " " .. tostring(assertions.time(text)))
    end
    for _, text in ipairs({
        "", "2026-09-21", "2026-09-21T14:13:20", "2026-09-21T14:13:20+00:00", "2026-09-21T14:13:20.Z",
        "-9999-09-21T14:13:20Z", "12026-09-21T14:13:20Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-04-00T00:00:00Z",
        "2026-04-01T24:00:00Z", "2026-04-01T00:60:00Z", "2026-04-01T00:00:60Z", "1969-12-31T23:59:59Z",
        "2026-09-21T14:13:20." .. ("1"):rep(40) .. "Z", " 2026-09-21T14:13:20Z",
    }) do
        assert(assertions.time(text) == nil, text)
    end
end)
expect("saml what an assertion says", function()
    local function value(...)
        local values = {}
        for i, text in ipairs({ ... }) do
            values[i] = node("AttributeValue", {}, text)
        end
        return values
    end
    local found = assert(read(assertion({ more = {
        node("AuthnStatement", { SessionIndex = "s", SessionNotOnOrAfter = "2026-09-21T15:00:00Z" }),
        node("AttributeStatement", {},
             node("Attribute", { Name = "one" }, unpack(value("1"))),
             node("Attribute", { Name = "two" }, unpack(value("1", "2"))),
             node("Attribute", { Name = "none" }), node("Attribute", { Name = "empty" },
                                                        unpack(value(""))),
             node("Attribute", {}, unpack(value("nameless")))),
    } })))
    assert(found.name_id == "ann" and found.issuer == "idp" and found.session_index == "s")
    assert(found.session_expires == "2026-09-21T15:00:00Z" and found.attrs.one == "1")
    assert(table.concat(found.attrs.two, ",") == "1,2")
    assert(found.attrs.none == nil and found.attrs.empty == nil)
    assert(read(assertion(), assertion()))
    refused("different subjects", assertion(), assertion({ name = "bob" }))
    refused("no name id")
    refused("no name id", assertion({ name = "" }))
    refused("another issuer: other", assertion({ issuer = "other" }))
    assert(read(assertion({ issuer = "\n idp " })))
    local foreign = assertion()
    foreign.space = "samlp"
    refused("no name id", foreign)
end)
expect("saml confirmations", function()
    refused("there is none", assertion({ confirmations = {} }))
    for changes, why in pairs({
        [{ Recipient = "https://other/acs" }] = "its Recipient is https://other/acs",
        [{ Recipient = false }] = "its Recipient is missing",
        [{ InResponseTo = "ID_2" }] = "its InResponseTo is ID_2",
        [{ InResponseTo = false }] = "its InResponseTo is missing",
        [{ NotOnOrAfter = false }] = "its NotOnOrAfter is missing",
        [{ NotOnOrAfter = "2026-09-21T14:12:20Z" }] = "not valid on or after",
        [{ NotOnOrAfter = "soon" }] = "NotOnOrAfter soon cannot be read",
        [{ NotBefore = "2026-09-21T14:14:21Z" }] = "not valid before",
        [{ NotBefore = "2026-09-21T14:13:30Z", NotOnOrAfter = "2026-09-21T14:13:25Z" }] =
            "NotBefore is after NotOnOrAfter",
    }) do
        refused(why, assertion({ confirmations = { confirmation(changes) } }))
        -- One that holds is enough.
        assert(read(assertion({ confirmations = { confirmation(changes), confirmation() } })))
        -- But each assertion needs its own.
        refused(why, assertion(), assertion({ confirmations = { confirmation(changes) } }))
    end
    refused("its method is not bearer", assertion({ confirmations = {
        confirmation(nil, "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key") } }))
    refused("Recipient is missing", assertion({ confirmations = {
        node("SubjectConfirmation", { Method = BEARER }) } }))
    -- The clocks of two machines differ.
    assert(read(assertion({ confirmations = { confirmation({
        NotOnOrAfter = "2026-09-21T14:12:21Z", NotBefore = "2026-09-21T14:12:20Z" }) } })))
end)
expect("saml conditions", function()
    local function only(...)
        local audiences = {}
        for i, name in ipairs({ ... }) do
            audiences[i] = node("Audience", {}, name)
        end
        return node("AudienceRestriction", {}, unpack(audiences))
    end
    local function under(...)
        return assertion({ conditions = node("Conditions", ...) })
    end
    assert(read(under({}, only("other", " sp\n"), only("sp"), node("ProxyRestriction"))))
    refused("another audience", under({}, only("other")))
    refused("another audience", under({}, only()))
    refused("another audience", under({}, only("sp"), only("other")))
    refused("cannot be kept: OneTimeUse", under({}, node("OneTimeUse")))
    local other = only("sp")
    other.space = nil
    refused("cannot be kept: AudienceRestriction", under({}, other))
    refused("not valid on or after", under({ NotOnOrAfter = "2026-09-21T14:12:20Z" }))
    refused("not valid before", under({ NotBefore = "2026-09-21T14:14:21Z" }))
    refused("NotBefore x cannot be read", under({ NotBefore = "x" }))
    refused("more than once", assertion({ more = { node("Conditions") } }))
end)
expect("saml messages", function()
    local xml = messages.message("LogoutRequest", "ID_<1>", { { "Destination", 'a"&b' } },
                                 messages.element("saml:NameID", {}, messages.escape("<ann>")))
    local host = require("moongate.host")
    local found = assert(host.saml.read(xml))
    assert(found.name == "LogoutRequest" and found.space == "samlp")
    assert(found.attributes.ID == "ID_<1>" and found.attributes.Destination == 'a"&b')
    assert(messages.text(found, "NameID") == "<ann>" and found.attributes.Version == "2.0")
    assert(messages.text(found, "Issuer") == nil and messages.status(found) == nil)
    local key = require("resty.openssl.pkey").new({ type = "RSA", bits = 2048 })
    local private = assert(messages.private_key(key:to_PEM("private")))
    for target, start in pairs({ ["https://idp"] = "https://idp?", ["https://idp?a=b"] = "https://idp?a=b&" }) do
        local uri = assert(messages.redirect(private, target, "SAMLRequest", xml, "a b"))
        local signed, signature = uri:match("^" .. start:gsub("[?]", "%%?") .. "(.*)&Signature=(.*)$")
        assert(signed:find("^SAMLRequest=[%w%%]+&RelayState=a%%20b&SigAlg=http%%3A"), signed)
        signature = ngx.decode_base64(ngx.unescape_uri(signature))
        assert(key:verify(signature, signed, "sha512"), "signed over the text of the query")
        local squeezed = ngx.decode_base64(ngx.unescape_uri(signed:match("SAMLRequest=([^&]+)")))
        assert(host.deflate.inflate_deflate(squeezed) == xml)
    end
    local message, err = host.saml.verify(xml, key:tostring("public", "DER"))
    assert(message == nil and err == "signature does not cover the message", err)
    message, err = host.saml.read("<!DOCTYPE a><a/>")
    assert(message == nil and err == "document carries a document type declaration", err)
    assert(messages.loggable("a\nb\0") == "a\\x0Ab\\x00" and messages.loggable(nil) == "nil")
end)
