--- What the limit plugins count by: the object that holds the conf, the version of the
-- conf, and the value of its `key` for this request.
-- @module moongate.limit_key
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local resolve_var = core.utils.resolve_var
local setmetatable = setmetatable
local sha1_bin = ngx.sha1_bin
local tostring = tostring
local type = type

-- A value comes from the client. A long one is replaced by its digest, so that nobody
-- pushes the counters of others out of the dictionary with a few huge headers.
local VALUE_BYTES_MAX = 256

local prefixes = setmetatable({}, { __mode = "k" })

local _M = {}


--- The first part of every key of `conf`. It changes when the conf does, and only then:
-- an edit elsewhere in the object does not reset a counter.
-- @treturn string ends with ":"
function _M.prefix(conf, ctx)
    local prefix = prefixes[conf]
    if prefix then
        return prefix
    end

    local parent = conf._meta and conf._meta.parent
    local version = plugin.conf_version(conf)
    if parent and parent.resource_key then
        prefix = parent.resource_key .. ":" .. version .. ":"
        prefixes[conf] = prefix
        return prefix
    end
    return ctx.conf_type .. "#" .. ctx.conf_id .. ":" .. version .. ":"
end


--- The value that `key` has in this request; the client's address if it has none.
-- @tparam string key name of a variable, a text with variables, or a constant
-- @tparam string key_type "var", "var_combination" or "constant"
-- @tparam table vars `ctx.var`
-- @treturn string
function _M.value(key, key_type, vars)
    local value
    if key_type == "constant" then
        value = key
    elseif key_type == "var_combination" then
        local text, err, resolved = resolve_var(key, vars)
        if err then
            core.log.error("could not resolve vars in ", key, " error: ", err)
        elseif resolved > 0 then
            value = text
        end
    else
        value = vars[key]
    end

    if value == nil then
        core.log.info("The value of the configured key is empty, use client IP instead")
        value = vars.remote_addr
    end
    if type(value) ~= "string" then
        value = tostring(value)
    end
    if #value > VALUE_BYTES_MAX then
        value = sha1_bin(value)
    end
    return value
end


--- The whole key of a counter.
-- @tparam table conf with `_vid` if it is an action of the workflow plugin
-- @tparam table ctx
-- @tparam string value from `value`
-- @treturn string
function _M.full(conf, ctx, value)
    local full = _M.prefix(conf, ctx) .. value
    if conf._vid then
        return full .. ":" .. conf._vid
    end
    return full
end


return _M
