--- `resty.websocket.protocol`: frames of RFC 6455.
-- @module resty.websocket.protocol
local bit = require("bit")
local host = require("moongate.host")

local band = bit.band
local bor = bit.bor
local bxor = bit.bxor
local byte = string.byte
local char = string.char
local concat = table.concat
local ffi = require("ffi")
local floor = math.floor
local random_bytes = host.crypto.random_bytes
local sub = string.sub

local KINDS = { [0] = "continuation", [1] = "text", [2] = "binary", [8] = "close", [9] = "ping",
                [10] = "pong" }

-- The longest payload that a frame may announce.
local SIZE_MAX = 0x7fffffff

local _M = { _VERSION = "0.10" }


-- Lays a mask over a text; the same takes it off.
local function masked(text, mask)
    local size = #text
    local bytes = ffi.new("uint8_t[?]", size + 1)
    ffi.copy(bytes, text, size)
    local keys = { byte(mask, 1, 4) }
    for i = 0, size - 1 do
        bytes[i] = bxor(bytes[i], keys[i % 4 + 1])
    end
    return ffi.string(bytes, size)
end


local function big_endian(value, count)
    local parts = {}
    for i = count, 1, -1 do
        parts[i] = char(value % 256)
        value = floor(value / 256)
    end
    return concat(parts)
end


--- The bytes of a frame.
-- @tparam boolean fin
-- @tparam number opcode
-- @tparam number size of the payload
-- @tparam string payload
-- @tparam boolean masking as clients do
-- @treturn string|nil
-- @treturn nil|string error
function _M.build_frame(fin, opcode, size, payload, masking)
    if size > SIZE_MAX then
        return nil, "payload too big"
    end
    local flag = masking and 0x80 or 0
    local head
    if size <= 125 then
        head = char(bor(fin and 0x80 or 0, opcode), size + flag)
    elseif size <= 65535 then
        head = char(bor(fin and 0x80 or 0, opcode), 126 + flag) .. big_endian(size, 2)
    else
        head = char(bor(fin and 0x80 or 0, opcode), 127 + flag) .. big_endian(size, 8)
    end
    if not masking then
        return head .. payload
    end
    local mask = random_bytes(4)
    return head .. mask .. masked(payload, mask)
end


--- Sends a frame.
-- @treturn number|nil
-- @treturn nil|string error
function _M.send_frame(sock, fin, opcode, payload, max_size, masking)
    payload = payload or ""
    if type(payload) ~= "string" then
        payload = tostring(payload)
    end
    if max_size and #payload > max_size then
        return nil, "payload too big"
    elseif band(opcode, 8) ~= 0 and #payload > 125 then
        return nil, "too much payload for control frame"
    elseif band(opcode, 8) ~= 0 and not fin then
        return nil, "fragmented control frame"
    end
    local frame, err = _M.build_frame(fin, opcode, #payload, payload, masking)
    if not frame then
        return nil, "failed to build frame: " .. err
    end
    local bytes
    bytes, err = sock:send(frame)
    if not bytes then
        return nil, "failed to send frame: " .. err
    end
    return bytes
end


local function read_size(sock, size)
    local count = size == 126 and 2 or size == 127 and 8 or 0
    if count == 0 then
        return size
    end
    local digits, err = sock:receive(count)
    if not digits then
        return nil, "failed to receive the " .. count .. " byte payload length: "
                    .. (err or "unknown")
    end
    size = 0
    for i = 1, count do
        size = size * 256 + byte(digits, i)
    end
    if size > SIZE_MAX then
        return nil, "payload len too large"
    end
    return size
end


local function close_frame(payload)
    if #payload == 0 then
        return "", "close", nil
    elseif #payload < 2 then
        return nil, nil, "close frame with a body must carry a 2-byte status code"
    end
    return sub(payload, 3), "close", byte(payload, 1) * 256 + byte(payload, 2)
end


--- Receives a frame.
-- @treturn string|nil payload
-- @treturn string|nil its kind
-- @treturn string|number|nil the error, "again" for a frame that goes on, or a close code
function _M.recv_frame(sock, max_size, force_masking)
    local head, err = sock:receive(2)
    if not head then
        return nil, nil, "failed to receive the first 2 bytes: " .. (err or "unknown")
    end
    local first, second = byte(head, 1, 2)
    local fin, opcode = band(first, 0x80) ~= 0, band(first, 15)
    if band(first, 0x70) ~= 0 then
        return nil, nil, "bad RSV1, RSV2, or RSV3 bits"
    elseif not KINDS[opcode] then
        return nil, nil, opcode < 8 and "reserved non-control frames" or "reserved control frames"
    end
    local has_mask = band(second, 0x80) ~= 0
    if force_masking and not has_mask then
        return nil, nil, "frame unmasked"
    end
    local size
    size, err = read_size(sock, band(second, 0x7f))
    if not size then
        return nil, nil, err
    elseif opcode >= 8 and size > 125 then
        return nil, nil, "too long payload for control frame"
    elseif opcode >= 8 and not fin then
        return nil, nil, "fragmented control frame"
    elseif size > max_size then
        return nil, nil, "exceeding max payload len"
    end
    local mask, payload = nil, ""
    if has_mask then
        mask, err = sock:receive(4)
        if not mask then
            return nil, nil, "failed to read masking-len and payload: " .. (err or "unknown")
        end
    end
    if size > 0 then
        payload, err = sock:receive(size)
        if not payload then
            return nil, nil, "failed to read masking-len and payload: " .. (err or "unknown")
        end
        payload = mask and masked(payload, mask) or payload
    end
    if opcode == 8 then
        return close_frame(payload)
    end
    return payload, KINDS[opcode], not fin and "again" or nil
end


return _M
