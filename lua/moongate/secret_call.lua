--- What clients of secret managers share: calls, and errors that tell no secret.
--
-- What goes into an error is picked from the answer by name, never the answer itself: that may be
-- the secret.
-- @module moongate.secret_call
local bounded_http = require("moongate.bounded_http")
local env = require("apisix.core.env")
local json = require("apisix.core.json")

local concat = table.concat
local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local null = json.null
local select = select
local sub = string.sub
local type = type

local TOLD_MAX = 300
local MASK = "***"

local _M = {
    --- Asks for a secret; as `moongate.bounded_http`'s.
    ask = bounded_http.ask,
}


--- A field of a manager's own conf, which may be a reference to the environment.
-- @tparam string|nil text
-- @treturn string|nil the variable's value, or the text itself where it is no such reference
function _M.own_field(text)
    if type(text) ~= "string" or not env.is_ref(text) then
        return text
    end
    local value = env.look_up(text)
    return type(value) == "string" and value or text
end


--- `text` without the given secrets, of a length that fits a line of a log.
-- @tparam string text
-- @param ... secrets, nil among them
function _M.redacted(text, ...)
    for at = 1, select("#", ...) do
        local secret = select(at, ...)
        if type(secret) == "string" and secret ~= "" then
            local from, to = find(text, secret, 1, true)
            while from do
                text = sub(text, 1, from - 1) .. MASK .. sub(text, to + 1)
                from, to = find(text, secret, from + #MASK, true)
            end
        end
    end
    if #text > TOLD_MAX then
        text = sub(text, 1, TOLD_MAX) .. "..."
    end
    return (gsub(text, "%c", " "))
end


--- The JSON object in a text.
-- @treturn table|nil
-- @treturn nil|string an error that does not quote the text
function _M.object(text)
    local value = json.decode(text)
    if type(value) ~= "table" then
        return nil, "not a JSON object"
    end
    return value
end


--- A field of a decoded object; JSON's null is nothing.
function _M.field(object, name)
    local value = object[name]
    if value == null then
        return nil
    end
    return value
end


--- The texts at some places of an answer that tell what went wrong, as one text.
-- @tparam table|nil object decoded answer
-- @tparam {string,...} names
function _M.told(object, names)
    local found = {}
    for _, name in ipairs(names) do
        local value = type(object) == "table" and object[name]
        if type(value) == "string" then
            found[#found + 1] = value
        end
    end
    return #found > 0 and concat(found, ": ") or nil
end


return _M
