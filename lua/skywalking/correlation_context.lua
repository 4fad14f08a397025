--- `skywalking.correlation_context`: few and short texts that travel with a trace, in the header
-- `sw8-correlation` as `base64(key):base64(value)`, separated by commas.
-- @module skywalking.correlation_context
local util = require("skywalking.util")

local concat = table.concat
local decode_base64 = util.decode_base64
local encode_base64 = util.encode_base64
local ipairs = ipairs
local pairs = pairs
local sort = table.sort
local split = util.split

-- SkyWalking's own limits.
local ELEMENTS_MAX = 3
local VALUE_BYTES_MAX = 128

local _M = {}


function _M.new()
    return {}
end


--- Reads a header. One with too many elements counts for nothing, and so does an element that
-- is none.
-- @tparam[opt] string value
-- @treturn table texts by their keys
function _M.fromSW8Value(value)
    local context = _M.new()
    if not value or value == "" then
        return context
    end

    local elements = split(value, ",")
    if #elements > ELEMENTS_MAX then
        return context
    end
    for _, element in ipairs(elements) do
        local pair = split(element, ":")
        local key = #pair == 2 and decode_base64(pair[1])
        if key then
            context[key] = decode_base64(pair[2])
        end
    end
    return context
end


--- Writes the header.
function _M.serialize(context)
    local elements = {}
    for key, value in pairs(context) do
        elements[#elements + 1] = encode_base64(key) .. ":" .. encode_base64(value)
    end
    -- Two requests with the same texts get the same header.
    sort(elements)
    return concat(elements, ",")
end


local function count_of(context)
    local count = 0
    for _ in pairs(context) do
        count = count + 1
    end
    return count
end


--- Adds, changes or (without a value) removes a text. Too long ones are left out, and so are new
-- ones when there are enough.
function _M.put(context, key, value)
    if not key then
        return
    elseif not value or #value == 0 then
        context[key] = nil
    elseif #value <= VALUE_BYTES_MAX
           and (context[key] or count_of(context) < ELEMENTS_MAX) then
        context[key] = value
    end
end


return _M
