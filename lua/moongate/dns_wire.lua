--- Messages of DNS (RFC 1035, 3596, 2782): questions written, answers read. No I/O.
--
-- What a server sends is not trusted: every place is checked against the text's end, and a name
-- may follow only so many pointers.
-- @module moongate.dns_wire
local bit = require("bit")

local band = bit.band
local byte = string.byte
local char = string.char
local concat = table.concat
local find = string.find
local floor = math.floor
local format = string.format
local gmatch = string.gmatch
local ipairs = ipairs
local sub = string.sub

local POINTERS_MAX = 128
local LABEL_BYTES_MAX = 63

local ERRORS = { "format error", "server failure", "name error", "not implemented", "refused" }

local SECTIONS = { answer = 1, authority = 2, additional = 3 }

local _M = { SECTIONS = SECTIONS }


local function two_bytes(number)
    return char(floor(number / 256) % 256, number % 256)
end


-- A number of `size` bytes, nil where the text ends before.
local function number_at(text, at, size)
    local value = 0
    for i = at, at + size - 1 do
        local digit = byte(text, i)
        if not digit then
            return nil
        end
        value = value * 256 + digit
    end
    return value
end


--- The bytes of a question.
-- @tparam string name
-- @tparam number id
-- @tparam number kind the type of records that are asked for
-- @tparam boolean recurse whether the server is to ask others
-- @treturn string|nil
-- @treturn nil|string error
function _M.question(name, id, kind, recurse)
    if byte(name, 1) == 46 or find(name, "..", 1, true) then
        return nil, "bad name"
    end
    local labels = {}
    for label in gmatch(name, "[^.]+") do
        if #label > LABEL_BYTES_MAX then
            return nil, "bad name"
        end
        labels[#labels + 1] = char(#label) .. label
    end
    return two_bytes(id) .. (recurse and "\1\0" or "\0\0") .. "\0\1\0\0\0\0\0\0"
           .. concat(labels) .. "\0" .. two_bytes(kind) .. "\0\1"
end


-- The name at a place, and the place behind it.
local function name_at(text, at)
    local labels, jumps, after = {}, 0, nil
    while jumps < POINTERS_MAX do
        local size = byte(text, at)
        if not size then
            return nil, "truncated"
        elseif size >= 0xc0 then
            local low = byte(text, at + 1)
            if not low then
                return nil, "truncated"
            end
            after = after or at + 2
            jumps = jumps + 1
            at = band(size, 0x3f) * 256 + low + 1
        elseif size == 0 then
            break
        elseif at + size > #text then
            return nil, "truncated"
        else
            labels[#labels + 1] = sub(text, at + 1, at + size)
            at = at + size + 1
        end
    end
    return concat(labels, "."), after or at + 1
end


-- A name that must end where its record does, into a field of the answer.
local function name_record(field, before, what)
    return function(answer, text, at, size)
        local name, after = name_at(text, at + before)
        if not name then
            return nil, after
        elseif after - at ~= size then
            return nil, format("bad %s record length: %d ~= %d", what, after - at, size)
        end
        answer[field] = name
        return true
    end
end


local function ipv4(answer, text, at, size)
    if size ~= 4 then
        return nil, "bad A record value length: " .. size
    end
    answer.address = concat({ byte(text, at, at + 3) }, ".")
    return true
end


local function ipv6(answer, text, at, size)
    if size ~= 16 then
        return nil, "bad AAAA record value length: " .. size
    end
    local groups = {}
    for i = 1, 8 do
        groups[i] = format("%x", number_at(text, at + 2 * i - 2, 2))
    end
    answer.address = concat(groups, ":")
    return true
end


local exchange = name_record("exchange", 2, "cname")
local target = name_record("target", 6, "srv")


local function mx(answer, text, at, size)
    if size < 3 then
        return nil, "bad MX record value length: " .. size
    end
    answer.preference = number_at(text, at, 2)
    return exchange(answer, text, at, size)
end


local function srv(answer, text, at, size)
    if size < 7 then
        return nil, "bad SRV record value length: " .. size
    end
    answer.priority = number_at(text, at, 2)
    answer.weight = number_at(text, at + 2, 2)
    answer.port = number_at(text, at + 4, 2)
    return target(answer, text, at, size)
end


-- One string as it is, several as a list; one that is longer than its record is cut.
local function strings(field)
    return function(answer, text, at, size)
        local list, last = {}, at + size - 1
        while at <= last do
            local length = byte(text, at)
            local stop = at + length > last and last or at + length
            list[#list + 1] = sub(text, at + 1, stop)
            at = stop + 1
        end
        answer[field] = #list > 1 and list or list[1] or ""
        return true
    end
end


local function soa(answer, text, at)
    local after
    answer.mname, after = name_at(text, at)
    if not answer.mname then
        return nil, after
    end
    answer.rname, after = name_at(text, after)
    if not answer.rname then
        return nil, after
    end
    for i, field in ipairs({ "serial", "refresh", "retry", "expire", "mininum" }) do
        answer[field] = number_at(text, after + 4 * i - 4, 4)
        if not answer[field] then
            return nil, "truncated"
        end
    end
    return true
end


local READERS = {
    [1] = ipv4, [28] = ipv6, [15] = mx, [33] = srv, [6] = soa,
    [2] = name_record("nsdname", 0, "cname"), [5] = name_record("cname", 0, "cname"),
    [12] = name_record("ptrdname", 0, "cname"), [16] = strings("txt"), [99] = strings("spf"),
}


-- The record at a place, and the place behind it.
local function record_at(text, at, section)
    local name, after = name_at(text, at)
    if not name then
        return nil, after
    end
    local size = number_at(text, after + 8, 2)
    if not size or after + 9 + size > #text then
        return nil, "truncated"
    end
    local answer = { section = section, name = name, type = number_at(text, after, 2),
                     class = number_at(text, after + 2, 2), ttl = number_at(text, after + 4, 4) }
    at = after + 10
    local read = READERS[answer.type]
    if not read then
        answer.rdata = sub(text, at, at + size - 1)
        return answer, at + size
    end
    local ok, err = read(answer, text, at, size)
    if not ok then
        return nil, err
    end
    return answer, at + size
end


-- What the head of an answer says is wrong with it.
local function head_error(text, id)
    if #text < 12 then
        return "truncated"
    elseif number_at(text, 1, 2) ~= id then
        return "id mismatch"
    end
    local flags = number_at(text, 3, 2)
    if band(flags, 0x8000) == 0 then
        return "bad QR flag in the DNS response"
    elseif band(flags, 0x200) ~= 0 then
        return "truncated"
    end
    local questions = number_at(text, 5, 2)
    if questions ~= 1 then
        return "bad number of questions in DNS response: " .. questions
    end
end


--- The records of an answer.
-- @tparam string text
-- @tparam number id of the question
-- @tparam table wanted sections beside the answers: `authority`, `additional`
-- @treturn table|nil list of records; `errcode` and `errstr` if the server says no
-- @treturn nil|string error, "truncated" if there is more than came
function _M.answers(text, id, wanted)
    local err = head_error(text, id)
    if err then
        return nil, err
    end
    local name, at = name_at(text, 13)
    if not name then
        return nil, at
    end
    local class = number_at(text, at + 2, 2)
    if class ~= 1 then
        return nil, class and format("unknown query class %d in DNS response", class) or "truncated"
    end
    at = at + 4

    local answers, code = {}, band(byte(text, 4), 15)
    if code ~= 0 then
        answers.errcode, answers.errstr = code, ERRORS[code] or "unknown"
    end
    for i, section in ipairs({ "answer", "authority", "additional" }) do
        if section ~= "answer" and not wanted.authority and not wanted.additional then
            break
        end
        for _ = 1, number_at(text, 5 + 2 * i, 2) do
            local record
            record, at = record_at(text, at, SECTIONS[section])
            if not record then
                return nil, at
            end
            if section ~= "authority" or wanted.authority then
                answers[#answers + 1] = record
            end
        end
        if section == "authority" and not wanted.additional then
            break
        end
    end
    return answers
end


return _M
