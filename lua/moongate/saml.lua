--- Messages of SAML 2.0 on their way: written, signed and taken from requests.
--
-- The HTTP-Redirect binding signs the text of the query, as it was sent; the HTTP-POST binding
-- has an XML signature in the message (`host.saml`). What `read` gives is signed either way.
-- @module moongate.saml
local host = require("moongate.host")
local keys = require("moongate.keys")

local concat = table.concat
local deflate = host.deflate.deflate
local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local inflate = host.deflate.inflate_deflate
local ipairs = ipairs
local match = string.match
local own_address = require("moongate.forwarded").own_address
local saml = host.saml
local sign = host.pkey.sign
local sub = string.sub
local type = type
local unescape_uri = ngx.unescape_uri
local verify = host.pkey.verify

local SIGNATURE_METHOD = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local SIGNED_ARGS = { SAMLRequest = true, SAMLResponse = true, RelayState = true, SigAlg = true,
                      Signature = true }
-- What kind of message may stand in which argument.
local ROOTS = {
    SAMLRequest = { LogoutRequest = true },
    SAMLResponse = { Response = true, LogoutResponse = true },
}

local _M = { SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success",
             REQUESTER = "urn:oasis:names:tc:SAML:2.0:status:Requester" }


--- The private key of a PEM text, for `redirect`.
-- @treturn table|nil
-- @treturn nil|string error
function _M.private_key(pem)
    local key, err = keys.from_pem(pem)
    if key and (key.kind ~= "rsa" or not key.pkcs8) then
        key, err = nil, "it must be a private key of RSA"
    end
    return key, err
end


--- The public key of a certificate in PEM, in DER.
-- @treturn string|nil
-- @treturn nil|string error
function _M.public_key(pem)
    if not find(pem, "-----BEGIN CERTIFICATE-----", 1, true) then
        return nil, "no certificate in the PEM text"
    end
    local key, err = keys.from_pem(pem)
    return key and key.spki, err
end


--- An element as text. Attributes and values are escaped here.
-- @tparam string name with its prefix
-- @tparam {{string,string},...} attributes
-- @tparam[opt] string inside already written
local function element(name, attributes, inside)
    local text = { "<", name }
    for _, pair in ipairs(attributes) do
        text[#text + 1] = " " .. pair[1] .. '="' .. gsub(pair[2], '[&<>"]', ESCAPES) .. '"'
    end
    text[#text + 1] = inside and ">" .. inside .. "</" .. name .. ">" or "/>"
    return concat(text)
end


_M.element = element


--- Text inside of an element.
function _M.escape(text)
    return (gsub(text, "[&<>]", ESCAPES))
end


--- A message.
-- @tparam string name of its root, without prefix
-- @tparam {{string,string},...} attributes beside the usual ones
-- @tparam string id
-- @tparam string inside already written
function _M.message(name, id, attributes, inside)
    local all = {
        { "xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol" },
        { "xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion" },
        { "ID", id }, { "Version", "2.0" },
        { "IssueInstant", os.date("!%Y-%m-%dT%H:%M:%SZ") },
    }
    for _, pair in ipairs(attributes) do
        all[#all + 1] = pair
    end
    return element("samlp:" .. name, all, inside)
end


-- Everything but unreserved letters.
local function escape_arg(text)
    return (gsub(text, "[^%w%-%._~]", function(letter)
        return ("%%%02X"):format(letter:byte())
    end))
end


--- The URI that carries a message to `target`, signed.
-- @tparam table key of `private_key`
-- @tparam string target
-- @tparam string kind SAMLRequest or SAMLResponse
-- @tparam string xml
-- @tparam string state
-- @treturn string|nil
-- @treturn nil|string error
function _M.redirect(key, target, kind, xml, state)
    -- A zlib stream without its head and its sum.
    local squeezed = sub(deflate(xml), 3, -5)
    local query = kind .. "=" .. escape_arg(ngx.encode_base64(squeezed))
        .. "&RelayState=" .. escape_arg(state) .. "&SigAlg=" .. escape_arg(SIGNATURE_METHOD)
    local signature, err = sign("rsa-pkcs1-sha512", key.pkcs8, query)
    if not signature then
        return nil, err
    end
    query = query .. "&Signature=" .. escape_arg(ngx.encode_base64(signature))
    return target .. (find(target, "?", 1, true) and "&" or "?") .. query
end


-- The arguments that count, still escaped.
local function raw_args(query)
    local args = {}
    for name, value in gmatch(query or "", "([^&=]+)=([^&]*)") do
        if SIGNED_ARGS[name] then
            if args[name] then
                return nil, "two arguments " .. name
            end
            args[name] = value
        end
    end
    return args
end


-- The kind of the message among arguments.
local function kind_of(args, kinds)
    local found
    for _, kind in ipairs(kinds) do
        if args[kind] then
            if found then
                return nil, "both " .. found .. " and " .. kind
            end
            found = kind
        end
    end
    return found, not found and "no " .. concat(kinds, " or ") or nil
end


local function decoded(text)
    return ngx.decode_base64((gsub(text, "%s+", "")))
end


local function from_query(public, kinds)
    local args, err = raw_args(ngx.var.args)
    if not args then
        return nil, err
    end
    local kind
    kind, err = kind_of(args, kinds)
    if not kind then
        return nil, err
    elseif not args.SigAlg then
        return nil, "no SigAlg"
    elseif not args.Signature then
        return nil, "no Signature"
    end
    local signed = kind .. "=" .. args[kind]
    if args.RelayState then
        signed = signed .. "&RelayState=" .. args.RelayState
    end
    signed = signed .. "&SigAlg=" .. args.SigAlg
    local scheme = saml.scheme(unescape_uri(args.SigAlg))
    if not scheme then
        return nil, "invalid signature algorithm"
    end
    local signature = decoded(unescape_uri(args.Signature))
    local squeezed = decoded(unescape_uri(args[kind]))
    if not signature or not squeezed then
        return nil, "invalid base64 content"
    elseif not verify(scheme, public, signed, signature) then
        return nil, "signature does not match"
    end
    local xml
    xml, err = inflate(squeezed, saml.BYTES_MAX)
    if not xml then
        return nil, "data not in zlib format: " .. err
    end
    local message
    message, err = saml.read(xml)
    return message, err, kind, args.RelayState and unescape_uri(args.RelayState)
end


local function from_form(public, kinds)
    ngx.req.read_body()
    local args, err = ngx.req.get_post_args()
    if not args then
        return nil, err
    end
    local kind
    kind, err = kind_of(args, kinds)
    if not kind then
        return nil, err
    end
    local state = args.RelayState
    if type(args[kind]) ~= "string" or type(state or "") ~= "string" then
        return nil, "two arguments " .. kind .. " or RelayState"
    end
    local xml = decoded(args[kind])
    if not xml then
        return nil, "invalid base64 content"
    end
    local message
    message, err = saml.verify(xml, public)
    return message, err, kind, state
end


--- A path of ours as the browser sees it.
-- @treturn string|nil nil if nobody says our name
function _M.absolute(path)
    if sub(path, 1, 1) ~= "/" then
        return path
    end
    local scheme, name = own_address()
    return name and scheme .. "://" .. name .. path
end


--- The message of a request, by GET or POST, of which everything that is read was signed.
-- @tparam string public key of the other side, in DER
-- @tparam {string,...} kinds SAMLRequest, SAMLResponse
-- @treturn table|nil as `host.saml` gives it
-- @treturn string|nil error
-- @treturn nil|string its `RelayState`
function _M.read(public, kinds)
    local take = ngx.req.get_method() == "POST" and from_form or from_query
    local message, err, kind, state = take(public, kinds)
    if message and not ROOTS[kind][message.name] then
        message, err = nil, "a " .. message.name .. " is no " .. kind
    end
    return message, err, state
end


--- The first child of an element by its name, in the namespace `space` ("saml" or "samlp").
function _M.child(node, space, name)
    for _, child in ipairs(node or {}) do
        if child.name == name and child.space == space then
            return child
        end
    end
end


--- All children of that name.
function _M.children(node, space, name)
    local found = {}
    for _, child in ipairs(node or {}) do
        if child.name == name and child.space == space then
            found[#found + 1] = child
        end
    end
    return found
end


--- The text of the first child of that name in the namespace of assertions; nil if it is empty.
function _M.text(node, name)
    local child = _M.child(node, "saml", name)
    return child and child.text ~= "" and child.text or nil
end


--- The status of a response.
function _M.status(message)
    local code = _M.child(_M.child(message, "samlp", "Status"), "samlp", "StatusCode")
    return code and code.attributes.Value
end


--- Any text on one line, for the log.
function _M.loggable(text)
    return (gsub(tostring(text), "%c", function(letter)
        return ("\\x%02X"):format(letter:byte())
    end))
end


--- Text without the blanks around it.
function _M.trim(text)
    return match(text, "^%s*(.-)%s*$")
end


return _M
