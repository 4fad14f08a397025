--- ASN.1 in DER: reads it into tables and writes it, as far as keys and certificates need.
--
-- A node is `{ tag = number, bytes = string }`, with its children as list if it is constructed.
-- Lengths are checked against what is there; nesting is bounded.
-- @module moongate.asn1
local bit = require("bit")
local host = require("moongate.host")

local band = bit.band
local base64_decode = host.crypto.base64_decode
local base64_encode = host.crypto.base64_encode
local byte = string.byte
local char = string.char
local concat = table.concat
local floor = math.floor
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local sub = string.sub
local tonumber = tonumber

local DEPTH_MAX = 32
local BLOCK = "%-%-%-%-%-BEGIN ([%u%d ]+)%-%-%-%-%-%s*(.-)%-%-%-%-%-END %1%-%-"

local _M = {
    BOOLEAN = 0x01, INTEGER = 0x02, BIT_STRING = 0x03, OCTET_STRING = 0x04, NULL = 0x05,
    OID = 0x06, UTF8 = 0x0c, SEQUENCE = 0x30, SET = 0x31, PRINTABLE = 0x13, UTC_TIME = 0x17,
    TIME = 0x18,
}


local read_list


-- The node at `at`, and the position after it.
local function read(text, at, depth)
    local tag, length = byte(text, at, at + 1)
    if not length or depth > DEPTH_MAX or band(tag, 0x1f) == 0x1f then
        return nil
    end
    local start = at + 2
    if length >= 0x80 then
        local count = length - 0x80
        if count == 0 or count > 4 then
            return nil
        end
        length = 0
        for i = 0, count - 1 do
            local part = byte(text, start + i)
            if not part then
                return nil
            end
            length = length * 256 + part
        end
        start = start + count
    end
    if start + length - 1 > #text then
        return nil
    end
    local node = { tag = tag, bytes = sub(text, start, start + length - 1) }
    node.all = sub(text, at, start + length - 1)
    if band(tag, 0x20) ~= 0 then
        local children = read_list(node.bytes, depth + 1)
        if not children then
            return nil
        end
        for i, child in ipairs(children) do
            node[i] = child
        end
    end
    return node, start + length
end


function read_list(text, depth)
    local list, at = {}, 1
    while at <= #text do
        local node
        node, at = read(text, at, depth)
        if not node then
            return nil
        end
        list[#list + 1] = node
    end
    return list
end


--- Reads the value at `at`; returns it and where the next begins, or nil if there is none.
function _M.read_at(text, at)
    return read(text, at, 1)
end


--- Reads one value; nothing may follow it.
-- @treturn table|nil nil if it is no DER
function _M.read(text)
    local node, after = read(text, 1, 1)
    if node and after == #text + 1 then
        return node
    end
end


--- A value: its tag, and its bytes or its children, already written.
function _M.write(tag, ...)
    local bytes = concat({ ... })
    local length = #bytes
    if length < 0x80 then
        return char(tag, length) .. bytes
    end
    local digits = ""
    while length > 0 do
        digits = char(length % 256) .. digits
        length = floor(length / 256)
    end
    return char(tag, 0x80 + #digits) .. digits .. bytes
end


function _M.sequence(...)
    return _M.write(_M.SEQUENCE, ...)
end


--- A number that is not negative, from its bytes.
function _M.integer(bytes)
    bytes = gsub(bytes, "^%z+", "")
    if bytes == "" or byte(bytes) >= 0x80 then
        bytes = "\0" .. bytes
    end
    return _M.write(_M.INTEGER, bytes)
end


function _M.bits(bytes)
    return _M.write(_M.BIT_STRING, "\0", bytes)
end


function _M.octets(bytes)
    return _M.write(_M.OCTET_STRING, bytes)
end


--- An object identifier, from "1.2.840".
function _M.oid(text)
    local numbers = {}
    for number in gmatch(text, "%d+") do
        numbers[#numbers + 1] = tonumber(number)
    end
    local parts = { char(numbers[1] * 40 + numbers[2]) }
    for i = 3, #numbers do
        local number = numbers[i]
        local digits = char(number % 128)
        number = floor(number / 128)
        while number > 0 do
            digits = char(number % 128 + 128) .. digits
            number = floor(number / 128)
        end
        parts[#parts + 1] = digits
    end
    return _M.write(_M.OID, concat(parts))
end


--- "1.2.840" of the bytes of an object identifier.
function _M.oid_text(bytes)
    local first = byte(bytes)
    if not first then
        return ""
    end
    local numbers, number = { floor(first / 40), first % 40 }, 0
    for i = 2, #bytes do
        local part = byte(bytes, i)
        number = number * 128 + part % 128
        if part < 128 then
            numbers[#numbers + 1] = number
            number = 0
        end
    end
    return concat(numbers, ".")
end


--- The bytes of a number without the zero that keeps it positive.
function _M.unsigned(node)
    return (gsub(node.bytes, "^%z+", ""))
end


--- The kind and the DER inside of the first PEM block of a text.
-- @treturn string|nil for instance "PUBLIC KEY"
-- @treturn nil|string DER
-- @treturn nil|string headers of the block
function _M.pem(text)
    local kind, body = match(text, BLOCK)
    if not kind then
        return nil
    end
    local headers = match(body, "^(.-%a+: .-\r?\n\r?\n)")
    if headers then
        body = sub(body, #headers + 1)
    end
    local der = base64_decode((gsub(body, "%s", "")))
    if not der then
        return nil
    end
    return kind, der, headers
end


--- A PEM text.
function _M.to_pem(kind, der)
    local lines = { "-----BEGIN " .. kind .. "-----" }
    local text = base64_encode(der)
    for at = 1, #text, 64 do
        lines[#lines + 1] = sub(text, at, at + 63)
    end
    lines[#lines + 1] = "-----END " .. kind .. "-----\n"
    return concat(lines, "\n")
end


return _M
