--- Instances of the `cjson` module over the host's JSON.
--
-- APISIX switches on array metatables and switches off escaping of slashes for every
-- instance; a new one here begins like that.
-- @module moongate.cjson
local host = require("moongate.host")

local error = error
local ipairs = ipairs
local json = host.json
local pcall = pcall
local tostring = tostring
local type = type

local SETTINGS = {
    "decode_allow_comment", "decode_array_with_array_mt", "decode_invalid_numbers",
    "decode_max_depth", "encode_empty_table_as_object", "encode_escape_forward_slash",
    "encode_indent", "encode_invalid_numbers", "encode_keep_buffer", "encode_max_depth",
    "encode_number_precision", "encode_skip_unsupported_value_types", "encode_sort_keys",
    "encode_sparse_array",
}

-- More digits than that are not in a number.
local PRECISION_MAX = 16

local _M = {}


--- The host's functions with the settings that APISIX uses.
-- @treturn table `{ encode, decode, set }`
function _M.instance()
    return json.instance({
        decode_array_with_array_mt = true,
        encode_escape_forward_slash = false,
    })
end


local function checked(call)
    return function(value)
        local result, err = call(value)
        if result == nil then
            error(err, 2)
        end
        return result
    end
end


-- A value of the wrong type makes the host raise; `cjson.safe` returns that too.
local function safe_decode(decode)
    return function(text)
        if type(text) == "string" then
            return decode(text)
        end
        local ok, value, err = pcall(decode, text)
        if ok then
            return value, err
        end
        return nil, tostring(value)
    end
end


--- A new instance of the module.
-- @tparam boolean safe whether errors are returned instead of raised
function _M.new(safe)
    local own = _M.instance()
    local module = {
        null = json.null,
        array_mt = json.array_mt,
        empty_array_mt = json.empty_array_mt,
        empty_array = json.empty_array,
        encode = safe and own.encode or checked(own.encode),
        decode = safe and safe_decode(own.decode) or checked(own.decode),
        _NAME = "cjson",
        _VERSION = "2.1.0.14",
    }

    for _, name in ipairs(SETTINGS) do
        module[name] = function(...)
            return own.set(name, ...)
        end
    end

    local set_precision = module.encode_number_precision
    function module.encode_number_precision(digits)
        if type(digits) == "number" and digits > PRECISION_MAX then
            error("bad argument #1 to 'encode_number_precision' (expected integer between 1 and "
                  .. PRECISION_MAX .. ")", 2)
        end
        return set_precision(digits)
    end

    function module.new()
        return _M.new(safe)
    end

    return module
end


return _M
