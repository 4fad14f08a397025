-- JSON of dkjson.
-- original: dkjson
local json = require("dkjson")
local values = {
    1, 1.5, -0.1, 1e100, 1e15, 123456789012, "a", 'q"\\/\b\f\n\r\t\1\127', "ä€\226\128\168", true, false, {}, { 1, 2 }, { a = 1 }, { 1, a = 2 }, { 1, nil, 3 }, { [10] = 1 }, { [1.5] = 1 }, { { {} } },
    { a = { b = { c = 1 } } }, setmetatable({}, { __jsontype = "array" }), setmetatable({ 1 }, { __jsontype = "object" }), setmetatable({}, { __tojson = function() return "<>" end }), json.null, { json.null }, math.huge, -math.huge, 0 / 0,
}
for i, value in ipairs(values) do
    case("encode " .. i, function() return json.encode(value) end)
    case("encode indented " .. i, function() return json.encode(value, { indent = true }) end)
end
case("encode nil", function() return json.encode(nil) end)
case("keyorder", function() return json.encode({ a = 1, b = 2, c = 3 }, { keyorder = { "c", "b", "a" } }) end)
case("jsonorder", function() return json.encode(setmetatable({ a = 1, b = 2, c = 3 }, { __jsonorder = { "b", "a", "c" } })) end)
case("level", function() return json.encode({ 1, { a = 2 } }, { indent = true, level = 2 }) end)
case("buffer", function() local state = { buffer = { "x" }, bufferlen = 1 } local done = json.encode({ 1 }, state) return done, table.concat(state.buffer, "", 1, state.bufferlen) end)
case("a function", function() return json.encode(print) end)
case("a loop", function() local t = {} t.t = t return json.encode(t) end)
case("a table twice", function() local t = { 1 } return json.encode({ t, t }) end)
case("a table as key", function() return json.encode({ [{}] = 1 }) end)
case("exception", function() return json.encode({ print, 1 }, { exception = function(reason, value, state, text) return '"' .. reason .. '"' end }) end)
case("exception that fails", function() return json.encode({ print }, { exception = function(reason) return nil, "no " .. reason end }) end)
case("encodeexception", function() return json.encode({ print }, { exception = json.encodeexception }) end)
case("__tojson with a state", function() return json.encode({ setmetatable({}, { __tojson = function(self, state) return '"' .. type(state) .. '"' end }) }, { indent = true }) end)
for i, text in ipairs({ "a", 'q"\\/', "\0\31", "ä", "\226\128\168", "" }) do
    case("quotestring " .. i, function() return json.quotestring(text) end)
end
case("addnewline", function() local state = { indent = true, level = 1, buffer = { "a" }, bufferlen = 1 } json.addnewline(state) return state.bufferlen, state.buffer end)
case("addnewline without indent", function() local state = { buffer = { "a" }, bufferlen = 1 } json.addnewline(state) return state.bufferlen end)
local texts = {
    "1", " 1 ", "-1.5e3", "0", "01", '"a"', '"\\u00e4\\ud83d\\ude00\\n\\/"', "true", "false", "null", "[]", "{}", "[1,2]", '{"a":1,"b":[true,null]}', "[1,]", "[1", "{", '{"a"}', '{"a":}', "", " ", "x", "nul", '"a', "[1]x", "[1] [2]", "// c\n[1]", "/* c */ 1", '{"a":1,"a":2}', "\239\187\1911", "1e999", "[[[[1]]]]", '"\\x"', '"\1"', "-", "+1", ".5", "1.", "Infinity",
}
for i, text in ipairs(texts) do
    case("decode " .. i, function() return json.decode(text) end)
end
case("decode from", function() return json.decode("xx[1]", 3) end)
case("decode twice", function() local text = "[1] {}" local _, at = json.decode(text) return json.decode(text, at) end)
case("nullvalue", function() return json.decode('[null,1,{"a":null}]', 1, "none") end)
case("json.null", function() return json.decode("[null]", 1, json.null)[1] == json.null end)
case("metatables", function() local value = json.decode('{"a":[1]}') return getmetatable(value).__jsontype, getmetatable(value.a).__jsontype end)
case("no metatables", function() local value = json.decode('{"a":[1]}', 1, nil, nil) return getmetatable(value), getmetatable(value.a) end)
case("own metatables", function() local value = json.decode('{"a":[1]}', 1, nil, { x = 1 }, { x = 2 }) return getmetatable(value).x, getmetatable(value.a).x end)
case("empty ones again", function() return json.encode(json.decode('{"a":[],"b":{}}')) end)
case("use_lpeg", function() return type(json.use_lpeg().decode), json.use_lpeg().decode("[1]") end)
case("version", function() return json.version:match("^dkjson %d") end)
case("null", function() return json.encode(json.null) end)
