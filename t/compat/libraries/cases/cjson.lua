-- JSON of cjson, and its settings.
-- original: cjson.safe
-- differs: cjson: encode_sort_keys, the original that was at hand has no such setting
-- differs: cjson.safe: encode_sort_keys, as above
for _, name in ipairs({ "cjson", "cjson.safe" }) do
    local json = require(name).new()
    json.encode_escape_forward_slash(true)
    json.decode_array_with_array_mt(false)
    local function both(what, func) case(name .. ": " .. what, func) end
    for i, value in ipairs({ 1, 1.5, -0.1, 1e100, 1e15, 123456789012345, 0.1 + 0.2, 1 / 3, "a/b", 'q"\\\b\f\n\r\t\1\127', "ä€", "\255", true, false, {}, { 1, 2 }, { 1, nil, 3 }, { a = 1 }, { { {} } }, json.null, { json.null }, json.empty_array, setmetatable({}, json.array_mt), setmetatable({}, json.empty_array_mt), setmetatable({ 1 }, json.array_mt) }) do
        both("encode " .. i, function() return json.encode(value) end)
    end
    for i, value in ipairs({ math.huge, 0 / 0, print, { print }, { [1] = 1, a = 2 }, { [100] = 1 }, { [{}] = 1 }, { [1.5] = 1 }, { [true] = 1 }, coroutine.create(function() end) }) do
        both("encode of what has no form " .. i, function() return json.encode(value) end)
    end
    both("encode of a loop", function() local t = {} t.t = t return json.encode(t) end)
    both("encode nil", function() return json.encode(nil) end)
    for i, text in ipairs({ "1", " 1 ", "-1.5e3", "0", "01", '"a"', '"\\u00e4\\ud83d\\ude00\\n\\/"', "true", "null", "[]", "{}", "[1,2]", '{"a":1,"b":[true,null]}', "[1,]", "[1", "{", '{"a"}', '{"a":}', "", " ", "x", "nul", '"a', "[1]x", "[1] [2]", "// c\n[1]", '{"a":1,"a":2}', "1e999", '"\\x"', '"\1"', '"\\ud800"', "-", "+1", "NaN", "Infinity", "-Infinity", "0x10", "{1:2}", "[1 2]", "[\0]" }) do
        both("decode " .. i, function() return json.decode(text) end)
    end
    both("decode of a number", function() return json.decode(12) end)
    both("decode of nil", function() local value, err = json.decode(nil) return value, (err:gsub("'.-'", "'?'")) end)
    both("decode of a table", function() local value, err = json.decode({}) return value, (err:gsub("'.-'", "'?'")) end)
    for i, wrong in ipairs({ 0, 17, "x", 1.5 }) do
        both("encode_number_precision out of range " .. i, function() return (pcall(require(name).new().encode_number_precision, wrong)) end)
        both("decode_max_depth out of range " .. i, function() return (pcall(require(name).new().decode_max_depth, wrong)) end)
        both("encode_keep_buffer of no option " .. i, function() return (pcall(require(name).new().encode_keep_buffer, wrong)) end)
    end
    both("encode_max_depth out of range", function() return (pcall(require(name).new().encode_max_depth, 0)) end)
    both("encode_sparse_array out of range", function() return (pcall(require(name).new().encode_sparse_array, true, -1)) end)
    both("encode_invalid_numbers of no option", function() return (pcall(require(name).new().encode_invalid_numbers, "maybe")) end)
    both("deep", function() return json.decode(("["):rep(1100) .. ("]"):rep(1100)) end)
    both("encode_sparse_array", function() local j = require(name).new() return j.encode_sparse_array(true, 2, 3), j.encode({ [10] = 1 }), j.encode_sparse_array(false), j.encode({ [3] = 1 }) end)
    both("encode_sparse_array of nothing", function() return require(name).new().encode_sparse_array() end)
    both("encode_max_depth", function() local j = require(name).new() return j.encode_max_depth(2), j.encode({ { 1 } }), j.encode_max_depth() end)
    both("encode_max_depth is over", function() local j = require(name).new() j.encode_max_depth(2) return j.encode({ { { 1 } } }) end)
    both("decode_max_depth", function() local j = require(name).new() return j.decode_max_depth(2), j.decode("[[1]]") end)
    both("decode_max_depth is over", function() local j = require(name).new() j.decode_max_depth(2) return j.decode("[[[1]]]") end)
    both("encode_number_precision", function() local j = require(name).new() return j.encode_number_precision(3), j.encode(1 / 3), j.encode_number_precision(16), j.encode(1 / 3) end)
    both("encode_number_precision is out of range", function() return (pcall(require(name).new().encode_number_precision, 100)) end)
    both("encode_keep_buffer", function() local j = require(name).new() return j.encode_keep_buffer(false), j.encode({ 1 }), j.encode_keep_buffer("on") end)
    both("encode_invalid_numbers", function() local j = require(name).new() return j.encode_invalid_numbers(true), j.encode(1 / 0), j.encode_invalid_numbers("null"), j.encode({ 1 / 0 }), j.encode_invalid_numbers() end)
    both("decode_invalid_numbers", function() local j = require(name).new() return j.decode_invalid_numbers(), j.decode("[0x10, 1e3]") end)
    both("decode_invalid_numbers refused", function() local j = require(name).new() j.decode_invalid_numbers(false) return j.decode("[0x10]") end)
    both("encode_empty_table_as_object", function() local j = require(name).new() return j.encode_empty_table_as_object(false), j.encode({}), j.encode_empty_table_as_object(true), j.encode({ {} }) end)
    both("encode_escape_forward_slash", function() local j = require(name).new() return j.encode_escape_forward_slash(false), j.encode("a/b"), j.encode_escape_forward_slash(true), j.encode("a/b") end)
    both("decode_array_with_array_mt", function() local j = require(name).new() j.decode_array_with_array_mt(false) local plain = j.encode(j.decode("[]")) return plain, j.decode_array_with_array_mt(true), j.encode(j.decode("[]")), getmetatable(j.decode("[]")) == j.array_mt end)
    both("settings are of an instance", function() local a, b = require(name).new(), require(name).new() a.encode_max_depth(5) return b.encode_max_depth() end)
    both("null", function() return json.null == ngx.null, json.decode("[null]")[1] == json.null end)
    if json.encode_skip_unsupported_value_types then
        both("encode_skip_unsupported_value_types", function() local j = require(name).new() return j.encode_skip_unsupported_value_types(true), j.encode({ a = print, b = 1 }), j.encode({ print, 1 }) end)
        both("encode_indent", function() local j = require(name).new() j.encode_indent("  ") return j.encode({ a = { 1, 2 } }) end)
        both("encode_sort_keys", function() local j = require(name).new() j.encode_sort_keys(true) return j.encode({ c = 1, a = 2, b = 3 }) end)
        both("decode_allow_comment", function() local j = require(name).new() j.decode_allow_comment(true) return j.decode("/* x */ [1, // y\n 2]") end)
    end
end
