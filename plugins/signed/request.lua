--- What anti-tamper and anti-replay have in common: whose signature it is, and whether it holds.
local auth = require("apisix.utils.auth")
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local keys = require("apisix.plugins.signed.keys")
local schema_def = require("apisix.schema_def")

local ipairs = ipairs
local min = math.min
local pairs = pairs

local MESSAGE = "client request can't be validated"
-- Longer than any clock skew: kept where a signature is forgotten later than it is refused.
local MARGIN = 5

-- Who may know a key.
local OWNERS = {
    ["rfc9421"] = { "anti-tamper", "anti-replay" },
    ["sigv4"] = { "anti-tamper", "anti-replay" },
    ["tc3"] = { "anti-tamper", "anti-replay" },
    ["hmac-auth"] = { "anti-tamper", "anti-replay", "hmac-auth" },
}

local NO_KEYS = {}

-- Where a signature stands, if not in Authorization.
local CREDENTIALS = { ["rfc9421"] = { "Signature", "Signature-Input" } }

-- What stands for more than itself.
local PARTS = {
    ["@target-uri"] = { "@authority", "@path", "@query" },
    ["@request-target"] = { "@path", "@query" },
    ["host"] = { "@authority" },
}

local _M = {
    message = MESSAGE,
    margin = MARGIN,
    properties = {
        scheme = {
            type = "string",
            enum = { "rfc9421", "sigv4", "tc3", "hmac-auth" },
            default = "rfc9421",
        },
        algorithms = {
            type = "array",
            minItems = 1,
            items = {
                type = "string",
                enum = {
                    "hmac-sha1", "hmac-sha256", "hmac-sha512", "ed25519", "ecdsa-p256-sha256",
                    "rsa-pss-sha512", "rsa-v1_5-sha256",
                },
            },
        },
        tag = { type = "string", minLength = 1 },
        label = { type = "string", minLength = 1 },
        uri_scheme = { type = "string", enum = { "http", "https" } },
        window = { type = "integer", minimum = 1, maximum = 86400, default = 300 },
        future_skew = { type = "integer", minimum = 0, maximum = 3600, default = 60 },
        max_body_size = { type = "integer", minimum = 1, default = 67108864 },
        realm = schema_def.get_realm_schema("signature"),
        hide_credentials = { type = "boolean", default = false },
    },
}


--- The properties above and `more`.
function _M.schema(more)
    local properties = core.table.deepcopy(_M.properties)
    for name, schema in pairs(more) do
        properties[name] = schema
    end
    return { type = "object", properties = properties }
end


local counter

-- Plugin -> outcome -> where both are counted; there are few outcomes.
local series_of = {}


local function count(plugin_name, outcome)
    local by_outcome = series_of[plugin_name]
    if not by_outcome then
        by_outcome = {}
        series_of[plugin_name] = by_outcome
    end
    local series = by_outcome[outcome]
    if not series then
        counter = counter or core.metrics.counter("signed_requests_total",
            "Requests that a plugin checked the signature of, by outcome",
            { "plugin", "outcome" })
        series = core.metrics.series(counter, { plugin_name, outcome })
        by_outcome[outcome] = series
    end
    series:add(1)
end


_M.count = count


--- Says no: to the operator why, to the client as little as possible.
function _M.refuse(plugin_name, conf, ctx, reason, why)
    count(plugin_name, reason)
    local text = plugin_name .. " refused the request: " .. reason .. ": " .. (why or reason)
    if auth.is_running_under_multi_auth(ctx) then
        return 401, text
    end
    core.log.warn(text)
    if reason == "too_large" then
        return 413, { message = why }
    end
    core.response.set_header("WWW-Authenticate", 'Signature realm="' .. conf.realm .. '"')
    return 401, { message = MESSAGE }
end


local function is_allowed(conf, algorithm)
    local allowed = conf.algorithms
    if not allowed then
        return algorithm ~= "hmac-sha1"
    end
    for _, name in ipairs(allowed) do
        if name == algorithm then
            return true
        end
    end
    return false
end


--- The last second in which the claim is accepted; nil, the reason and why if `now` is none.
function _M.last_second(conf, claim, now)
    local stamp = claim.timestamp
    if not stamp then
        return nil, "missing", "no time at which the message was signed"
    end
    if claim.scheme == "hmac-auth" and not claim.covered["date"] then
        return nil, "uncovered", "the time at which the message was signed is not signed"
    end
    if stamp > now + conf.future_skew then
        return nil, "skew", "signed " .. stamp - now .. " s in the future"
    end
    local last = stamp + conf.window
    if claim.expires then
        last = min(last, claim.expires)
    end
    if now > last then
        return nil, "skew", "expired " .. now - last .. " s ago"
    end
    return last
end


--- Whether all of `required` is covered; nil and what is not.
function _M.covers(claim, required)
    for _, name in ipairs(required) do
        if not claim.covered[name] then
            for _, part in ipairs(PARTS[name] or { name }) do
                if not claim.covered[part] then
                    return nil, part .. " is not signed"
                end
            end
        end
    end
    return true
end


--- Reads and verifies the signature; the window must hold first, the body is not looked at
-- unless the signature is over it.
-- @treturn table|nil claim, with `last` (second), `consumer` and `consumer_conf`
-- @treturn nil|string the kind of reason
-- @treturn nil|string why
function _M.verify(conf, ctx)
    local claim, reason, why = core.signature.claim(ctx, conf)
    if not claim then
        return nil, reason, why
    end
    local now = ngx.time()
    local last
    last, reason, why = _M.last_second(conf, claim, now)
    if not last then
        return nil, reason, why
    end

    local entry, consumer, consumer_conf = keys.find(OWNERS[conf.scheme], claim.key_id)
    local named = conf.scheme == "hmac-auth" and claim.algorithm or nil
    local active = entry and keys.active(entry, named, now) or NO_KEYS
    -- The bound is for a body that is a part of what is signed.
    local bound = claim.body == "within" and { max_size = conf.max_body_size } or nil
    local ok
    ok, reason, why = core.signature.verify(claim, active, bound)
    if not entry then
        return nil, "unknown_key", "nobody has the key " .. claim.key_id
    end
    if not ok then
        return nil, reason, why
    end
    local algorithm = claim.algorithm or entry.algorithm or "hmac-sha256"
    if not is_allowed(conf, algorithm) then
        return nil, "unsupported", "algorithm " .. algorithm .. " is not allowed"
    end
    claim.last = last
    claim.consumer = consumer
    claim.consumer_conf = consumer_conf
    return claim
end


--- The request goes on: with its consumer, if it has one, and for later plugins.
function _M.accept(conf, ctx, claim)
    core.signature.accept(ctx, claim)
    if claim.consumer and not ctx.consumer then
        consumer_mod.attach_consumer(ctx, claim.consumer, claim.consumer_conf)
    end
    if conf.hide_credentials then
        for _, name in ipairs(CREDENTIALS[claim.scheme] or { "Authorization" }) do
            core.request.set_header(ctx, name, nil)
        end
    end
end


return _M
