--- Lets a signed request through once.
--
-- Runs in `rewrite`, behind the plugins that authenticate. If `anti-tamper` or `hmac-auth` has
-- verified the request's signature, its claim is used; alone this plugin verifies it itself. A
-- repeat, a request outside of the window and one that is not signed get 401 and
-- `{"message":"client request can't be validated"}`; the log tells why. While the store is gone
-- `on_error` decides: 503 with `Retry-After`, or the request passes.
local core = require("apisix.core")
local keys = require("apisix.plugins.signed.keys")
local request = require("apisix.plugins.signed.request")
local store = require("apisix.plugins.anti-replay.store")

local find = string.find
local floor = math.floor
local lower = string.lower

local NAME = "anti-replay"
local NONCE = "^[%w_%-=.+/~:]+$"

local more = {
    require_nonce = { type = "boolean", default = true },
    nonce_header = { type = "string", minLength = 1, maxLength = 64 },
    min_nonce_length = { type = "integer", minimum = 1, maximum = 128, default = 16 },
    max_nonce_length = { type = "integer", minimum = 16, maximum = 512, default = 128 },
    policy = {
        type = "string",
        enum = { "local", "redis", "redis-cluster", "redis-sentinel" },
        default = "local",
    },
    key_prefix = { type = "string", maxLength = 64, default = "replay" },
    on_error = { type = "string", enum = { "reject", "allow" }, default = "reject" },
    rejected_code = { type = "integer", enum = { 400, 401, 403, 409 }, default = 401 },
    rejected_msg = { type = "string", minLength = 1 },
}

local schema = request.schema(more)
store.extend(schema)

local _M = {
    version = 0.1,
    priority = 2409,
    type = "auth",
    name = NAME,
    schema = schema,
    consumer_schema = keys.consumer_schema,
    metadata_schema = keys.metadata_schema,
}


function _M.check_schema(conf, schema_type)
    local ok, err = keys.check_stored(conf, schema_type)
    if ok ~= nil then
        return ok, err
    end
    ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    return store.check(conf)
end


-- What makes the request the only one of its kind: nil, the kind of reason and why if nothing.
local function nonce_of(conf, ctx, claim)
    local nonce = claim.nonce
    local header = conf.nonce_header
    if not nonce and header then
        if not claim.covered[lower(header)] then
            return nil, "uncovered", "the field " .. header .. " is not signed"
        end
        nonce = core.request.header(ctx, header)
    end
    if not nonce then
        if conf.require_nonce and claim.scheme == "rfc9421" then
            return nil, "missing", "no nonce"
        end
        return claim.fingerprint
    end
    if #nonce < conf.min_nonce_length or #nonce > conf.max_nonce_length
       or not find(nonce, NONCE) then
        return nil, "malformed", "the nonce is too short, too long, or has odd characters"
    end
    return nonce
end


local function refuse(conf, ctx, reason, why)
    local code, body = request.refuse(NAME, conf, ctx, reason, why)
    if code ~= 401 then
        return code, body
    end
    if conf.rejected_msg then
        body = { message = conf.rejected_msg }
    end
    return conf.rejected_code, body
end


-- The claim, with the last second in which it holds for this plugin.
local function claim_of(conf, ctx, now)
    local claim = core.signature.accepted(ctx)
    if not claim then
        return request.verify(conf, ctx)
    end
    local last, reason, why = request.last_second(conf, claim, floor(now))
    if not last then
        return nil, reason, why
    end
    claim.last = last
    return claim
end


function _M.rewrite(conf, ctx)
    local now = ngx.now()
    local claim, reason, why = claim_of(conf, ctx, now)
    if not claim then
        return refuse(conf, ctx, reason, why)
    end
    local nonce
    nonce, reason, why = nonce_of(conf, ctx, claim)
    if not nonce then
        return refuse(conf, ctx, reason, why)
    end

    -- The second after the last one begins it is refused for its age.
    local ttl = claim.last + 1 - now + request.margin
    local scope = conf.key_prefix .. ":" .. claim.scheme .. ":" .. claim.key_id
    local seen, err = store.insert(conf, scope, nonce, ttl)
    if seen == "seen" then
        return refuse(conf, ctx, "replay", "key " .. claim.key_id .. " sent it before")
    end
    if seen ~= "first" then
        request.count(NAME, "store_error")
        if conf.on_error ~= "allow" then
            core.log.error("anti-replay refused the request: store: ", err)
            core.response.set_header("Retry-After", "1")
            return 503, { message = "try again later" }
        end
        core.log.error("anti-replay cannot tell whether the request is a repeat: ", err)
    end
    request.count(NAME, "accepted")
    request.accept(conf, ctx, claim)
end


return _M
