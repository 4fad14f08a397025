--- `core.json`.
-- @module apisix.core.json
local host = require("moongate.host")
local instance = require("moongate.cjson").instance()
local log = require("apisix.core.log")
local masked = require("moongate.masked")

local host_decode = instance.decode
local host_encode = instance.encode
local null = host.json.null
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local DELAYED_MAX = 16
local SORTED = { sort_keys = true }

local _M = {
    version = 0.1,
    array_mt = host.json.array_mt,
    empty_array_mt = host.json.empty_array_mt,
    null = null,
}


local function strip_nulls(t)
    for key, value in pairs(t) do
        if value == null then
            t[key] = nil
        elseif type(value) == "table" then
            strip_nulls(value)
        end
    end
    return t
end


--- Removes nulls in `t` and below, in place.
_M.strip_nulls = strip_nulls


--- Decodes JSON.
-- @tparam string text
-- @tparam[opt] table opts `null_as_nil`: drop nulls
-- @return value, or nil and an error
function _M.decode(text, opts)
    if type(text) ~= "string" then
        return nil, "bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")"
    end

    local value, err = host_decode(text)
    if value == nil or not (opts and opts.null_as_nil) then
        return value, err
    end
    if value == null then
        return nil
    end
    if type(value) == "table" then
        strip_nulls(value)
    end
    return value
end


local function plain(value)
    local kind = type(value)
    if value ~= null and (kind == "function" or kind == "userdata" or kind == "cdata"
                          or kind == "thread" or kind == "table") then
        return tostring(value)
    end
    return value
end


-- A copy that always encodes: what JSON does not know becomes its `tostring`, and a
-- table met for the second time too, which also ends cycles.
local function encodable(value, seen)
    if type(value) ~= "table" then
        return plain(value)
    end

    seen[value] = true
    local copy = {}
    for key, item in pairs(value) do
        if type(item) == "table" and not seen[item] then
            copy[plain(key)] = encodable(item, seen)
        else
            copy[plain(key)] = plain(item)
        end
    end
    return copy
end


--- Encodes as JSON.
-- @param value
-- @tparam[opt] boolean force turn what cannot be encoded into text
-- @return string, or nil and an error
local function encode(value, force)
    if force then
        value = encodable(value, {})
    end
    return host_encode(value)
end
_M.encode = encode


--- Same value, same text: keys are sorted. What JSON does not know becomes text.
function _M.stably_encode(value)
    return host_encode(value, SORTED) or host_encode(encodable(value, {}), SORTED)
end


--- Same as `stably_encode`.
_M.canonical_encode = _M.stably_encode


local delayed_mt = {
    __tostring = function(self)
        local text, err = encode(masked.view(self.data), self.force)
        if not text then
            log.warn("failed to encode: ", err, " force: ", self.force)
            return ""
        end
        return text
    end,
}

local delayed, delayed_index = {}, 0
for i = 1, DELAYED_MAX do
    delayed[i] = setmetatable({}, delayed_mt)
end


--- Encodes only if the log line is written, with masks for secrets.
-- The result comes from a ring of 16: use it in the same statement.
function _M.delay_encode(data, force)
    delayed_index = delayed_index % DELAYED_MAX + 1
    local slot = delayed[delayed_index]
    slot.data = data
    slot.force = force
    return slot
end


return _M
