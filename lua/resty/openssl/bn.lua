--- `resty.openssl.bn`: large numbers that are not negative: read, written and compared.
--
-- They are what keys are made of. Nothing is reckoned with them here.
-- @module resty.openssl.bn
local byte = string.byte
local char = string.char
local floor = math.floor
local format = string.format
local gsub = string.gsub
local rep = string.rep
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = {}


local function less(a, b)
    if #a.bytes ~= #b.bytes then
        return #a.bytes < #b.bytes
    end
    return a.bytes < b.bytes
end


local mt = {
    __index = _M,
    __eq = function(a, b) return a.bytes == b.bytes end,
    __lt = less,
    __le = function(a, b) return not less(b, a) end,
    __tostring = function(a) return a:to_dec() end,
}


local function make(bytes)
    return setmetatable({ bytes = (gsub(bytes, "^%z+", "")) }, mt)
end


-- Digits to some base as bytes.
local function from_digits(text, base)
    local number = {}
    for i = 1, #text do
        local carry = tonumber(text:sub(i, i), base)
        if not carry then
            return nil
        end
        for at = #number, 1, -1 do
            local value = number[at] * base + carry
            number[at] = value % 256
            carry = floor(value / 256)
        end
        while carry > 0 do
            table.insert(number, 1, carry % 256)
            carry = floor(carry / 256)
        end
    end
    local parts = {}
    for i, value in ipairs(number) do
        parts[i] = char(value)
    end
    return table.concat(parts)
end


--- A number, from a Lua number, digits or bytes.
-- @tparam number|string value
-- @tparam[opt] number base 10, 16, 2 for bytes
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(value, base)
    if type(value) == "number" then
        return make(from_digits(format("%.0f", value), 10) or "")
    elseif type(value) ~= "string" then
        return make("")
    elseif base == 10 or base == 16 then
        local bytes = from_digits(value, base)
        if not bytes then
            return nil, "bn.new: invalid digits"
        end
        return make(bytes)
    end
    return make(value)
end


function _M.istype(value)
    return type(value) == "table" and getmetatable(value) == mt
end


function _M.dup(value)
    return make(value.bytes)
end


function _M.from_binary(text)
    return make(text)
end


function _M.from_hex(text)
    return _M.new(text, 16)
end


function _M.from_dec(text)
    return _M.new(text, 10)
end


--- Its bytes, the highest first, with zeros up to `length`.
function _M:to_binary(length)
    if length and #self.bytes < length then
        return rep("\0", length - #self.bytes) .. self.bytes
    end
    return self.bytes
end


function _M:to_hex()
    if self.bytes == "" then
        return "0"
    end
    return (gsub(self.bytes, ".", function(one)
        return format("%02X", byte(one))
    end))
end


function _M:to_dec()
    local digits = { 0 }
    for i = 1, #self.bytes do
        local carry = byte(self.bytes, i)
        for at = #digits, 1, -1 do
            local value = digits[at] * 256 + carry
            digits[at] = value % 10
            carry = floor(value / 10)
        end
        while carry > 0 do
            table.insert(digits, 1, carry % 10)
            carry = floor(carry / 10)
        end
    end
    return table.concat(digits)
end


--- As a Lua number, exact up to 2^53.
function _M:to_number()
    local number = 0
    for i = 1, #self.bytes do
        number = number * 256 + byte(self.bytes, i)
    end
    return number
end


function _M:is_zero()
    return self.bytes == ""
end


function _M:is_one()
    return self.bytes == "\1"
end


function _M:is_odd()
    return self.bytes ~= "" and byte(self.bytes, -1) % 2 == 1
end


function _M:is_word(number)
    return self:to_dec() == tostring(number)
end


return require("moongate.unsupported").absent(_M, "resty.openssl.bn.", {
    "add", "sub", "mul", "div", "mod", "exp", "sqr", "gcd", "lshift", "rshift", "mod_add",
    "mod_sub", "mod_mul", "mod_exp", "mod_sqr", "generate_prime", "is_prime", "to_mpi", "set",
},
    "numbers are only converted; no bundled library computes with them")
