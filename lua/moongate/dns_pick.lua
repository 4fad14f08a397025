--- Which of a name's records is taken, for `resty.dns.client`.
--
-- What was taken before is remembered beside each list of records, for as long as the list lives.
-- @module moongate.dns_pick
local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local random = math.random
local select = select
local setmetatable = setmetatable

local _M = {}

local last = setmetatable({}, { __mode = "k" })


--- The next record of a list.
function _M.in_turn(records)
    local turn = (last[records] or 0) % #records + 1
    last[records] = turn
    return records[turn]
end


--- One of the records with the lowest priority, by chance and weight. A weight of 0 counts as 1.
function _M.by_weight(records)
    local best, total = nil, 0
    for _, record in ipairs(records) do
        if not best or record.priority < best then
            best, total = record.priority, 0
        end
        if record.priority == best then
            total = total + (record.weight ~= 0 and record.weight or 1)
        end
    end
    local mark = random(1, total)
    for _, record in ipairs(records) do
        if record.priority == best then
            mark = mark - (record.weight ~= 0 and record.weight or 1)
            if mark <= 0 then
                return record
            end
        end
    end
end


--- Whether a text without brackets is an IPv6 address.
-- @treturn boolean
function _M.is_ipv6(text)
    if find(text, "[^%x:]") or find(text, ":::", 1, true)
       or select(2, gsub(text, "::", "")) > 1 then
        return false
    end
    local groups, shortened = 0, find(text, "::", 1, true)
    for group in gmatch(text, "[^:]+") do
        groups = groups + 1
        if #group > 4 then
            return false
        end
    end
    return shortened and groups < 8 or groups == 8 and not find(text, "^:") and not find(text, ":$")
end


return _M
