--- `core.config_util`.
-- @module apisix.core.config_util
local find = string.find
local match = string.match
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local MINUTE = 60
local HOUR = 60 * MINUTE
local DAY = 24 * HOUR
local UNITS = {
    y = 365 * DAY,
    M = 30 * DAY,
    w = 7 * DAY,
    d = DAY,
    h = HOUR,
    m = MINUTE,
    s = 1,
    ms = 0.001,
}

local _M = {}


local function next_table(values, index)
    while true do
        index = index + 1
        local value = values[index]
        if type(value) == "table" then
            return index, value
        end
        if value == nil then
            return nil
        end
    end
end


--- Iterates over a collection's values, skipping the place of a deleted object (`false`).
function _M.iterate_values(values)
    return next_table, values, 0
end


--- Seconds from a number or from text such as "1d12h" or "300ms"; a number at the end
-- without unit is seconds. Units must get smaller from left to right.
-- @treturn number|nil
-- @treturn nil|string error
function _M.parse_time_unit(value)
    if type(value) == "number" then
        return value
    end
    if type(value) ~= "string" or value == "" then
        return nil, "invalid data: " .. tostring(value)
    end

    local total, smallest, position = 0, nil, 1
    while true do
        position = find(value, "%S", position)
        if not position then
            return total
        end

        local digits, unit = match(value, "^([%d ]*)(%a*)", position)
        local scale = UNITS[unit]
        if unit == "" then
            local bad = match(value, "[^%d ]", position)
            if bad then
                return nil, "invalid data: " .. bad
            end
            if smallest == 1 then
                return nil, "specific unit conflicts with the default unit second"
            end
            scale = 1
        elseif not scale then
            return nil, "invalid data: " .. sub(unit, 1, 1)
        elseif smallest and scale > smallest then
            return nil, "unexpected unit: " .. sub(unit, 1, 1)
        end

        total = total + (tonumber((digits:gsub(" ", ""))) or 0) * scale
        smallest = scale
        position = position + #digits + #unit
    end
end


--- Splits "path#sub-path".
function _M.parse_path(full)
    local hash = find(full, "#", 1, true)
    if not hash then
        return full, ""
    end
    local rest = sub(full, hash + 1)
    return sub(full, 1, hash - 1), match(rest, "^[^#]*")
end


return _M
