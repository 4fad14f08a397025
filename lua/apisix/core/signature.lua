--- `core.signature`: who signed a request, when, and with which body.
--
--     local claim, reason, why = core.signature.claim(ctx, { scheme = "rfc9421" })
--     local key, err = core.signature.key("hmac-sha256", secret)
--     local ok = core.signature.verify(claim, { key })
--     ok, reason, why = core.signature.check_body(claim, { max_size = 1024 * 1024 })
--
-- Schemes: `rfc9421`, `sigv4`, `tc3`, `hmac-auth`. A claim is a table with `scheme`, `key_id`,
-- `algorithm` (if the message names one), `timestamp` and `expires` (seconds since 1970, if
-- there are any), `nonce` (where the scheme has one), `label`, `tag`, `signature` and
-- `fingerprint` (bytes; the latter names the signed text), `covered` (names as keys: `@method`,
-- `@path`, `@query`, `@authority`, fields in lower case; other claims have the same table) and
-- `body`: "digest" (the signature covers a digest of it), "within" (the signature is over the
-- body itself), "waived" (the client says that it is not signed) or "none". None of it is true
-- before `verify` said so. A claim ends with its request.
-- moongate's own; APISIX has no such module.
-- @module apisix.core.signature
local host = require("moongate.host")

local body_expect = host.body_expect
local body_hash = host.body_hash
local body_holds = host.body_holds
local body_matches = host.body_matches
local body_sums = host.body_sums
local gsub = string.gsub
local ipairs = ipairs
local next = next
local pairs = pairs
local rawset = rawset
local setmetatable = setmetatable
local sig_bytes = host.sig_bytes
local sig_claim = host.sig_claim
local sig_covered = host.sig_covered
local sig_fingerprint = host.sig_fingerprint
local sig_key = host.sig_key
local sig_verify = host.sig_verify
local tonumber = tonumber

local DEFAULT_MAX_SIZE = 64 * 1024 * 1024

-- Metatables that are kept. Clients choose what they cover, most of them the same.
local METAS_MAX = 100

local _M = {}

-- What claims have in common is in their metatable: scheme -> how the body is tied -> host's text
-- of the covered names -> metatable.
local metas, metas_count = {}, 0

-- Stands for the key that nobody has, so that an unknown key id takes as long as a known one.
local nobody


local function new_meta(object, scheme, body)
    local common = { scheme = scheme, body = body, covered = sig_covered(object) }

    local function index(claim, field)
        local value = common[field]
        if value ~= nil then
            return value
        end
        -- What few ask for is made when it is asked for.
        if field == "fingerprint" then
            local fingerprint = sig_fingerprint(claim.object)
            claim.fingerprint = fingerprint
            return fingerprint
        elseif field == "signature" then
            return sig_bytes(claim.object)
        end
    end

    -- Who writes a claim to a log sees these as well.
    local function all(claim)
        for field, value in pairs(common) do
            rawset(claim, field, value)
        end
        return next, claim, nil
    end

    return { __index = index, __pairs = all }
end


local function meta_of(object, scheme, body, text)
    local by_body = metas[scheme]
    local by_text = by_body and by_body[body]
    local meta = by_text and by_text[text]
    if meta then
        return meta
    end

    if metas_count >= METAS_MAX then
        metas, metas_count = {}, 0
    end
    metas[scheme] = metas[scheme] or {}
    metas[scheme][body] = metas[scheme][body] or {}
    meta = new_meta(object, scheme, body)
    metas[scheme][body][text] = meta
    metas_count = metas_count + 1
    return meta
end


--- Reads what the request claims about itself. Fields count as they are now, method, path and
-- query as the client sent them.
-- @tparam table ctx
-- @tparam table opts `scheme`; with `rfc9421` also `tag`, `label`, and `uri_scheme` for what
--   the client calls the scheme if a proxy in front of the gateway ends TLS
-- @treturn table|nil claim
-- @treturn nil|string the kind of reason: missing, malformed, ambiguous, unsupported
-- @treturn nil|string why, for the log
function _M.claim(_, opts)
    local object, body, key_id, algorithm, nonce, label, tag, timestamp, expires, covered =
        sig_claim(opts.scheme, opts.tag, opts.label, opts.uri_scheme)
    if not object then
        return nil, body, key_id
    end
    -- Eight fields with those that `accept` is called with: a larger table is a dearer one.
    local claim = setmetatable({
        object = object,
        key_id = key_id,
        nonce = nonce,
        label = label,
        timestamp = timestamp,
    }, meta_of(object, opts.scheme, body, covered))
    if algorithm then
        claim.algorithm = algorithm
    end
    if tag then
        claim.tag = tag
    end
    if expires then
        claim.expires = expires
    end
    return claim
end


--- A key to verify with; making one is dear, so keep it.
-- @tparam string algorithm `hmac-sha256`, `hmac-sha1`, `hmac-sha512`, `ed25519`,
--   `ecdsa-p256-sha256`, `rsa-pss-sha512`, `rsa-v1_5-sha256`
-- @tparam string text the secret; or a public key in PEM, or in base64
-- @treturn userdata|nil
-- @treturn nil|string error
function _M.key(algorithm, text)
    return sig_key(algorithm, text)
end


local function too_large(length, max_size)
    return nil, "too_large", "request size " .. (length and length .. " " or "")
                             .. "is greater than the maximum size " .. max_size .. " allowed"
end


-- Refuses by the announced length, so that nothing too long is read at all.
local function check_length(max_size)
    local length = tonumber((host.req_header("content-length")))
    if length and length > max_size then
        return too_large(length, max_size)
    end
    return true
end


-- The SHA-256 of the body: nil, the kind of reason and why if there is none.
local function read_body(claim, max_size)
    local whole, length = body_hash(claim.object, max_size)
    if not whole then
        return too_large(length, max_size)
    end
    local sha256, sha512, err = body_sums(claim.object)
    if err then
        return nil, "body", err
    end
    return sha256 or "", sha512
end


--- The SHA-256 of the request body, read now if it was not yet.
-- @tparam table claim one whose body is not "digest"
-- @tparam[opt] number max_size bytes
-- @treturn string|nil 32 bytes
-- @treturn nil|string the kind of reason: too_large, body
-- @treturn nil|string why
function _M.body_sha256(claim, max_size)
    max_size = max_size or DEFAULT_MAX_SIZE
    local ok, reason, why = check_length(max_size)
    if not ok then
        return nil, reason, why
    end
    local sha256
    sha256, reason, why = read_body(claim, max_size)
    if not sha256 then
        return nil, reason, why
    end
    return sha256
end


--- Whether one of `keys` made the signature. Reads the body if it is "within" the signature.
-- @tparam table claim
-- @tparam table keys from `key`; none at all takes as long as one
-- @tparam[opt] table opts `max_size` of the body in bytes
-- @treturn boolean|nil
-- @treturn nil|string the kind of reason: bad_signature, too_large
-- @treturn nil|string why, for the log
function _M.verify(claim, keys, opts)
    local sha256
    if claim.body == "within" and keys[1] then
        local sum, reason, why = read_body(claim, opts and opts.max_size or DEFAULT_MAX_SIZE)
        if not sum then
            return nil, reason, why
        end
        sha256 = sum
    end
    local found = false
    for _, key in ipairs(keys) do
        found = sig_verify(claim.object, key, sha256) or found
    end
    if found then
        return true
    end
    if not keys[1] then
        nobody = nobody or sig_key("hmac-sha256", "the secret of nobody, 32 bytes..")
        sig_verify(claim.object, nobody, nil)
    end
    return nil, "bad_signature", "the signature is not right"
end


--- Whether the body is the one that was signed.
--
-- With `stream` it flows to the upstream while it is checked: its last byte, the end of its
-- framing and an early answer are held back, and a wrong body gets `status` and a closed
-- connection to the upstream. A body that was read before is checked at once.
-- @tparam table claim
-- @tparam[opt] table opts `max_size` in bytes, `stream`, `status` (401)
-- @treturn boolean|nil true also for a body that is checked on its way
-- @treturn nil|string the kind of reason: digest, too_large, uncovered
-- @treturn nil|string why, for the log
function _M.check_body(claim, opts)
    opts = opts or {}
    if claim.body == "within" then
        return true
    elseif claim.body ~= "digest" then
        return nil, "uncovered", "no digest of the body is signed"
    end
    local max_size = opts.max_size or DEFAULT_MAX_SIZE
    if opts.stream then
        local ok, reason, why = check_length(max_size)
        if not ok then
            return nil, reason, why
        end
        if body_expect(claim.object, opts.status or 401, max_size) then
            return true
        end
    end
    local whole, length = body_hash(claim.object, max_size)
    if not whole then
        return too_large(length, max_size)
    end
    local holds = body_holds(claim.object)
    if holds == nil then
        local sha256, sha512, err = body_sums(claim.object)
        if err then
            return nil, "body", err
        end
        holds = body_matches(claim.object, sha256, sha512)
    end
    if not holds then
        return nil, "digest", "the body is not the one that was signed"
    end
    return true
end


--- Whether the request has a body.
_M.has_body = host.body_present


--- Whether a body that was checked on its way was not the signed one; for `log`.
_M.body_was_tampered = host.body_tampered


--- Keeps a verified claim for the plugins that come later.
-- @tparam table ctx
-- @tparam table claim
function _M.accept(ctx, claim)
    ctx.signature_claim = claim
end


--- The verified claim of this request, or nil.
function _M.accepted(ctx)
    return ctx.signature_claim
end


--- A key to sign responses with.
-- @tparam string algorithm see `key`
-- @tparam string text the secret, or the private key in PEM
-- @treturn userdata|nil
-- @treturn nil|string error
_M.signer = host.sig_signer


--- Signs the response by RFC 9421; in `header_filter`.
-- @tparam userdata signer from `signer`
-- @tparam table opts `key_id`, `now` (seconds since 1970), `tag`, and `components`: those of
--   the response, or of its request with `;req`
-- @treturn table|nil names and values of the fields to set, one after the other
-- @treturn nil|string error
function _M.sign_response(signer, opts)
    local components = {}
    for i, name in ipairs(opts.components) do
        -- Signature-Input has the name in quotes and its parameters behind them.
        components[i] = gsub(name, '^([^";]+)', '"%1"')
    end
    return host.sig_response(signer, opts.key_id, opts.now, opts.tag, components)
end


return _M
