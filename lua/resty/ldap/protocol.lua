--- `resty.ldap.protocol`: messages of LDAP v3, as far as bind and search need them.
-- @module resty.ldap.protocol
local asn1 = require("moongate.asn1")
local bit = require("bit")
local filter_module = require("resty.ldap.filter")

local band = bit.band
local byte = string.byte
local char = string.char
local floor = math.floor
local ipairs = ipairs
local sequence = asn1.sequence
local type = type
local write = asn1.write

local ID_MAX = 0x7fffffff
local ENUMERATED = 0x0a
local APPLICATION = 0x60

local _M = {
    ERROR_MSG = {
        [1] = "Initialization of LDAP library failed", [4] = "Size limit exceeded",
        [13] = "Confidentiality required", [32] = "No such object", [34] = "Invalid DN",
        [49] = "The supplied credential is invalid",
    },
    APP_NO = {
        BindRequest = 0, BindResponse = 1, UnbindRequest = 2, SearchRequest = 3,
        SearchResultEntry = 4, SearchResultDone = 5, ModifyResponse = 7,
        SearchResultReference = 19, ExtendedRequest = 23, ExtendedResponse = 24,
    },
    SEARCH_SCOPE_BASE_OBJECT = 0, SEARCH_SCOPE_SINGLE_LEVEL = 1, SEARCH_SCOPE_WHOLE_SUBTREE = 2,
    SEARCH_DEREF_ALIASES_NEVER = 0, SEARCH_DEREF_ALIASES_IN_SEARCHING = 1,
    SEARCH_DEREF_ALIASES_FINDING_BASE_OBJ = 2, SEARCH_DEREF_ALIASES_ALWAYS = 3,
}

local last_id = 0


local function number(tag, value)
    local bytes = ""
    repeat
        bytes = char(value % 256) .. bytes
        value = floor(value / 256)
    until value == 0
    if byte(bytes) >= 0x80 then
        bytes = "\0" .. bytes
    end
    return write(tag, bytes)
end


local function message(tag, ...)
    last_id = last_id % ID_MAX + 1
    return sequence(number(asn1.INTEGER, last_id), write(APPLICATION + tag, ...))
end


function _M.start_tls_request()
    return message(_M.APP_NO.ExtendedRequest, write(0x80, "1.3.6.1.4.1.1466.20037"))
end


--- Logs in with a name and a password; both empty for nobody.
function _M.simple_bind_request(dn, password)
    return message(_M.APP_NO.BindRequest, number(asn1.INTEGER, 3), asn1.octets(dn or ""),
                   write(0x80, password or ""))
end


local ITEM_TAGS = { equal = 0xa3, greater = 0xa5, less = 0xa6, approx = 0xa8 }


-- A filter that `resty.ldap.filter` read.
local function filter_bytes(node)
    if node.op_type == "not" then
        return write(0xa2, filter_bytes(node.items[1]))
    elseif node.op_type then
        local parts = {}
        for i, item in ipairs(node.items) do
            parts[i] = filter_bytes(item)
        end
        return write(node.op_type == "and" and 0xa0 or 0xa1, unpack(parts))
    elseif node.item_type == "present" then
        return write(0x87, node.attribute_description)
    elseif node.item_type == "substring" then
        local parts = {}
        for i, part in ipairs(node.attribute_value) do
            local tag = i == 1 and 0x80 or i == #node.attribute_value and 0x82 or 0x81
            if part ~= "" then
                parts[#parts + 1] = write(tag, part)
            end
        end
        return write(0xa4, asn1.octets(node.attribute_description), sequence(unpack(parts)))
    end
    return write(ITEM_TAGS[node.filter_type], asn1.octets(node.attribute_description),
                 asn1.octets(node.attribute_value))
end


--- Asks for entries.
-- @tparam string|table filter its text, or what `resty.ldap.filter.compile` made of it
-- @treturn string|nil
-- @treturn nil|string error
function _M.search_request(base, scope, deref, size_limit, time_limit, types_only, filter, names)
    if type(filter) == "string" then
        local compiled, err = filter_module.compile(filter)
        if not compiled then
            return nil, err
        end
        filter = compiled
    end
    local attributes = {}
    for i, name in ipairs(names) do
        attributes[i] = asn1.octets(name)
    end
    return message(_M.APP_NO.SearchRequest, asn1.octets(base), number(ENUMERATED, scope),
                   number(ENUMERATED, deref), number(asn1.INTEGER, size_limit),
                   number(asn1.INTEGER, time_limit),
                   write(asn1.BOOLEAN, types_only and "\255" or "\0"), filter_bytes(filter),
                   sequence(unpack(attributes)))
end


local function to_number(node)
    local value = 0
    for i = 1, #node.bytes do
        value = value * 256 + byte(node.bytes, i)
    end
    return value
end


local function read_entry(op)
    local entry = { entry_dn = op[1] and op[1].bytes, attributes = {} }
    for _, attribute in ipairs(op[2] or {}) do
        local values = {}
        for i, value in ipairs(attribute[2] or {}) do
            values[i] = value.bytes
        end
        if attribute[1] then
            entry.attributes[attribute[1].bytes] = values
        end
    end
    return entry
end


--- Reads a message.
-- @treturn table|nil `protocol_op` and what belongs to it
-- @treturn nil|string error
function _M.decode_message(bytes)
    local node = asn1.read(bytes)
    local op = node and node[2]
    if not op or band(op.tag, 0xc0) ~= 0x40 then
        return nil, "no message of LDAP"
    end
    local found = { message_id = to_number(node[1]), protocol_op = op.tag % 32 }
    if found.protocol_op == _M.APP_NO.SearchResultEntry then
        found.entry = read_entry(op)
    elseif found.protocol_op ~= _M.APP_NO.SearchResultReference then
        if not op[3] then
            return nil, "the result is cut short"
        end
        found.result_code = to_number(op[1])
        found.matched_dn, found.diagnostic_msg = op[2].bytes, op[3].bytes
    end
    return found
end


return _M
