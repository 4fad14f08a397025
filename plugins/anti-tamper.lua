--- Lets a request through only as it was signed: method, host, path, query, fields and body.
--
-- Runs in `rewrite`, before `anti-replay`. A request that is not signed, or not by a known key,
-- too old, or changed on its way gets 401 and
-- `{"message":"client request can't be validated"}`; the log tells why. A body above
-- `max_body_size` gets 413. With `body: stream` the upstream gets the body while it is checked
-- and must act on complete bodies only; see README.md. `sign_response` signs answers in
-- `header_filter`.
local core = require("apisix.core")
local keys = require("apisix.plugins.signed.keys")
local request = require("apisix.plugins.signed.request")

local ipairs = ipairs
local setmetatable = setmetatable

local NAME = "anti-tamper"

local schema = request.schema({
    required_components = {
        type = "array",
        items = { type = "string", minLength = 1 },
        default = { "@method", "@authority", "@path", "@query" },
    },
    body = { type = "string", enum = { "buffer", "stream" }, default = "buffer" },
    body_digest = {
        type = "string",
        enum = { "required", "if_present", "off" },
        default = "required",
    },
    allow_unsigned_payload = { type = "boolean", default = false },
    rejected_code = { type = "integer", enum = { 400, 401 }, default = 401 },
    sign_response = {
        type = "object",
        properties = {
            key_id = { type = "string", minLength = 1, maxLength = 256 },
            algorithm = { type = "string", enum = keys.algorithms, default = "hmac-sha256" },
            key = { type = "string", minLength = 1, maxLength = 8192 },
            tag = { type = "string", minLength = 1 },
            components = {
                type = "array",
                minItems = 1,
                items = { type = "string", minLength = 1 },
                default = { "@status", "content-type", "content-digest" },
            },
        },
        required = { "key_id", "key" },
    },
})
schema.encrypt_fields = { "sign_response.key" }

local _M = {
    version = 0.1,
    priority = 2535,
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
    if conf.body == "stream" and (conf.body_digest ~= "required" or conf.allow_unsigned_payload)
    then
        return false, "body: stream needs body_digest: required and no allow_unsigned_payload"
    end
    local answer = conf.sign_response
    if answer and not core.string.has_prefix(answer.key, "$") then
        local key
        key, err = core.signature.signer(answer.algorithm, answer.key)
        if not key then
            return false, "sign_response: " .. err
        end
    end
    return true
end


-- Conf -> how its bodies are checked.
local body_checks = setmetatable({}, { __mode = "k" })


local function body_check_of(conf)
    local check = body_checks[conf]
    if not check then
        check = {
            max_size = conf.max_body_size,
            stream = conf.body == "stream",
            status = conf.rejected_code,
        }
        body_checks[conf] = check
    end
    return check
end


-- The body must be the one that was signed; nil, the kind of reason and why if it is not.
local function check_body(conf, claim)
    local mode = conf.body_digest
    if claim.body == "waived" then
        if conf.allow_unsigned_payload then
            return true
        end
        return nil, "uncovered", "UNSIGNED-PAYLOAD is not allowed"
    end
    if mode == "off" or claim.body == "within" then
        return true
    end
    if claim.body == "none" then
        if mode == "required" and core.signature.has_body() then
            return nil, "uncovered", "no digest of the body is signed"
        end
        return true
    end
    return core.signature.check_body(claim, body_check_of(conf))
end


local function refuse(conf, ctx, reason, why)
    local code, body = request.refuse(NAME, conf, ctx, reason, why)
    return code == 401 and conf.rejected_code or code, body
end


function _M.rewrite(conf, ctx)
    -- Later phases get the consumer's conf of this plugin, which is its key.
    ctx.anti_tamper_conf = conf
    local claim, reason, why = request.verify(conf, ctx)
    if not claim then
        return refuse(conf, ctx, reason, why)
    end
    local ok
    ok, why = request.covers(claim, conf.required_components)
    if not ok then
        return refuse(conf, ctx, "uncovered", why)
    end
    ok, reason, why = check_body(conf, claim)
    if not ok then
        return refuse(conf, ctx, reason, why)
    end
    request.count(NAME, "accepted")
    request.accept(conf, ctx, claim)
end


-- Conf -> key.
local signers = setmetatable({}, { __mode = "k" })


local function signer_of(answer)
    local signer = signers[answer]
    if signer == nil then
        local err
        signer, err = core.signature.signer(answer.algorithm, answer.key)
        if not signer then
            core.log.error("sign_response: ", err)
        end
        signers[answer] = signer or false
    end
    return signer
end


function _M.header_filter(_, ctx)
    local conf = ctx.anti_tamper_conf
    local answer = conf and conf.sign_response
    local signer = answer and signer_of(answer)
    if not signer then
        return
    end
    local components = {}
    for _, name in ipairs(answer.components) do
        -- What the answer does not have cannot be signed.
        local is_derived = core.string.has_prefix(name, "@") or name:find(";", 1, true)
        if is_derived or ngx.header[name] then
            components[#components + 1] = name
        end
    end
    local fields, err = core.signature.sign_response(signer, {
        key_id = answer.key_id,
        now = ngx.time(),
        tag = answer.tag,
        components = components,
    })
    if not fields then
        core.log.error("the response cannot be signed: ", err)
        return
    end
    for i = 1, #fields, 2 do
        core.response.set_header(fields[i], fields[i + 1])
    end
end


-- A body that was checked on its way is known to be wrong when the answer is made already.
function _M.log(_, ctx)
    local conf = ctx.anti_tamper_conf
    if conf and conf.body == "stream" and core.signature.body_was_tampered() then
        request.count(NAME, "digest")
    end
end


return _M
