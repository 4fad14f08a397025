--- Keys of the plugins that check signatures: from consumers, credentials and metadata.
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local decode_base64 = ngx.decode_base64
local ipairs = ipairs
local setmetatable = setmetatable

local HMAC = "hmac-sha256"

local _M = {
    algorithms = { HMAC, "ed25519", "ecdsa-p256-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256" },
}

local key_fields = {
    algorithm = { type = "string", enum = _M.algorithms, default = HMAC },
    secret_key = { type = "string", minLength = 1, maxLength = 4096 },
    secret_base64 = { type = "boolean", default = false },
    public_key = { type = "string", minLength = 1, maxLength = 8192 },
    not_before = { type = "integer", minimum = 0 },
    not_after = { type = "integer", minimum = 0 },
}


local function copy_with(more)
    local fields = core.table.deepcopy(key_fields)
    for name, schema in pairs(more) do
        fields[name] = schema
    end
    return fields
end


local entry_fields = copy_with({
    key_id = { type = "string", minLength = 1, maxLength = 256 },
    keys = {
        type = "array",
        minItems = 1,
        maxItems = 8,
        items = { type = "object", properties = key_fields },
    },
})

_M.consumer_schema = {
    type = "object",
    properties = entry_fields,
    encrypt_fields = { "secret_key", "keys.secret_key" },
    required = { "key_id" },
}

_M.metadata_schema = {
    type = "object",
    properties = {
        keys = {
            type = "array",
            items = { type = "object", properties = entry_fields, required = { "key_id" } },
        },
    },
    encrypt_fields = { "keys.secret_key", "keys.keys.secret_key" },
}


-- The keys of one entry: its own, and those in `keys`.
local function parts_of(entry)
    local parts = {}
    if entry.secret_key or entry.public_key then
        parts[1] = entry
    end
    for _, part in ipairs(entry.keys or {}) do
        parts[#parts + 1] = part
    end
    return parts
end


-- A key for `part`; with `algorithm` for a scheme that names its HMAC in the message.
local function make(part, algorithm)
    local own = part.algorithm or HMAC
    if own ~= HMAC then
        if algorithm and algorithm ~= own then
            return nil, "the key is one for " .. own
        end
        if not part.public_key then
            return nil, "public_key is missing for " .. own
        end
        return core.signature.key(own, part.public_key)
    end
    local secret = part.secret_key
    if not secret then
        return nil, "secret_key is missing for " .. own
    end
    if part.secret_base64 then
        secret = decode_base64(secret)
        if not secret then
            return nil, "secret_key is no base64"
        end
    end
    return core.signature.key(algorithm or own, secret)
end


--- Whether all keys of an entry can be used.
function _M.check(entry)
    local parts = parts_of(entry)
    if not parts[1] then
        return nil, "one of secret_key, public_key and keys is required"
    end
    for _, part in ipairs(parts) do
        -- What a reference will bring is not known yet.
        local text = part.secret_key or part.public_key
        if not (text and core.string.has_prefix(text, "$")) then
            local key, err = make(part)
            if not key then
                return nil, err
            end
        end
    end
    return true
end


-- Part -> algorithm -> key. A conf table has one content for its whole life.
local made = setmetatable({}, { __mode = "k" })


local function key_of(part, algorithm)
    local by_algorithm = made[part]
    if not by_algorithm then
        by_algorithm = {}
        made[part] = by_algorithm
    end
    local name = algorithm or part.algorithm or HMAC
    local key = by_algorithm[name]
    if key == nil then
        local err
        key, err = make(part, algorithm)
        if not key then
            core.log.error("a key cannot be used: ", err)
        end
        by_algorithm[name] = key or false
    end
    return key or nil
end


-- Entry whose keys hold at any time -> algorithm, or false for their own -> these keys.
local lasting = setmetatable({}, { __mode = "k" })


local function is_lasting(entry)
    for _, part in ipairs(parts_of(entry)) do
        if part.not_before or part.not_after then
            return false
        end
    end
    return true
end


--- The keys of an entry that hold at the time `now`. Not to be changed.
function _M.active(entry, algorithm, now)
    local known = lasting[entry]
    if known and known[algorithm or false] then
        return known[algorithm or false]
    end

    local keys = {}
    for _, part in ipairs(parts_of(entry)) do
        if now >= (part.not_before or 0) and now <= (part.not_after or now) then
            keys[#keys + 1] = key_of(part, algorithm)
        end
    end
    if known == nil then
        known = is_lasting(entry) and {}
        lasting[entry] = known
    end
    if known then
        known[algorithm or false] = keys
    end
    return keys
end


-- Value of the metadata -> key id -> entry.
local indexes = setmetatable({}, { __mode = "k" })


local function in_metadata(name, key_id)
    local metadata = plugin.plugin_metadata(name)
    local value = metadata and metadata.value
    if not value or not value.keys then
        return nil
    end
    local index = indexes[value]
    if not index then
        index = {}
        for _, entry in ipairs(value.keys) do
            index[entry.key_id] = entry
        end
        indexes[value] = index
    end
    return index[key_id]
end


--- Whose key `key_id` is, as the plugins `names` know it.
-- @treturn table|nil entry
-- @treturn table|nil consumer
-- @treturn table|nil what `attach_consumer` wants
function _M.find(names, key_id)
    for _, name in ipairs(names) do
        local consumer, conf = consumer_mod.find_consumer(name, "key_id", key_id)
        if consumer then
            return consumer.auth_conf, consumer, conf
        end
    end
    for _, name in ipairs(names) do
        local entry = in_metadata(name, key_id)
        if entry then
            return entry
        end
    end
    return nil
end


--- Checks what a plugin of this family stores elsewhere than in a route: a consumer's conf, or
-- metadata.
-- @treturn boolean|nil nil if `schema_type` is neither, else whether `conf` is right
-- @treturn string why not
function _M.check_stored(conf, schema_type)
    if schema_type == core.schema.TYPE_CONSUMER then
        local ok, err = core.schema.check(_M.consumer_schema, conf)
        if ok then
            ok, err = _M.check(conf)
        end
        return ok or false, err
    end
    if schema_type ~= core.schema.TYPE_METADATA then
        return nil
    end
    local ok, err = core.schema.check(_M.metadata_schema, conf)
    if not ok then
        return false, err
    end
    for _, entry in ipairs(conf.keys or {}) do
        ok, err = _M.check(entry)
        if not ok then
            return false, "key " .. entry.key_id .. ": " .. err
        end
    end
    return true
end


return _M
