-- Tables and types of Penlight.
-- original: pl.tablex
-- original: pl.types
local tablex, types = require("pl.tablex"), require("pl.types")
local function sorted(list) table.sort(list, function(a, b) return tostring(a) < tostring(b) end) return { unpack(list) } end
local function plain(t) local copy = {} for k, v in pairs(t) do copy[k] = v end return copy end
local A, B = { a = 1, b = 2, c = 3 }, { b = 20, d = 40 }
local L = { 10, 20, 30, 20 }
case("keys", function() return sorted(tablex.keys(A)), sorted(tablex.keys({})) end)
case("values", function() return sorted(tablex.values(A)), sorted(tablex.values(L)) end)
case("copy", function() local c = tablex.copy(A) return c ~= A, c end)
case("deepcopy", function() local t = { a = { b = 1 } } t.self = t local c = tablex.deepcopy(t) return c.a ~= t.a, c.self == c, c.a.b end)
case("deepcopy keeps the metatable", function() return getmetatable(tablex.deepcopy(setmetatable({}, { x = 1 }))).x end)
case("deepcompare", function() return tablex.deepcompare({ 1, { a = 2 } }, { 1, { a = 2 } }), tablex.deepcompare({ 1 }, { 2 }), tablex.deepcompare({ 1 }, { 1, 2 }), tablex.deepcompare(1, 1), tablex.deepcompare(1.0, 1.01, true, 0.1), tablex.deepcompare({}, "x") end)
case("deepcompare with __eq", function() local mt = { __eq = function() return true end } local x, y = setmetatable({ 1 }, mt), setmetatable({ 2 }, mt) return tablex.deepcompare(x, y), tablex.deepcompare(x, y, true) end)
case("compare", function() return tablex.compare({ 1, 2 }, { 1, 2 }, "=="), tablex.compare({ 1, 2 }, { 1 }, "=="), tablex.compare({ 1, 2 }, { 2, 3 }, function(a, b) return a < b end) end)
case("compare_no_order", function() return tablex.compare_no_order({ 1, 2, 3 }, { 3, 1, 2 }), tablex.compare_no_order({ 1 }, { 2 }) end)
case("map", function() return plain(tablex.map(function(v, x) return v * 2 + (x or 0) end, A)), plain(tablex.map(math.abs, { -1 })), plain(tablex.map("#", { "ab" })), plain(tablex.map(function(v, x) return v + x end, L, 1)) end)
case("imap", function() return plain(tablex.imap(function(v) return v * 2 end, L)) end)
case("map2", function() return plain(tablex.map2("+", { 1, 2 }, { 10, 20 })), plain(tablex.imap2("*", { 1, 2, 3 }, { 10, 20 })) end)
case("mapn", function() return plain(tablex.mapn(function(a, b, c) return a + b + c end, { 1, 2 }, { 3, 4 }, { 5, 6 })) end)
case("map_named_method", function() return plain(tablex.map_named_method("upper", { "a", "b" })) end)
case("transform", function() local t = { 1, 2 } tablex.transform(function(v) return v + 1 end, t) return t end)
case("pairmap", function() return sorted(tablex.pairmap(function(k, v) return k .. v end, A)), plain(tablex.pairmap(function(k, v) return v, k end, A)) end)
case("filter", function() return plain(tablex.filter(L, function(v) return v > 10 end)), plain(tablex.filter(L, ">", 15)) end)
case("reduce", function() return tablex.reduce("+", L), tablex.reduce("+", {}, 5), tablex.reduce(function(a, b) return a .. b end, { "a", "b" }, "x") end)
case("foreach", function() local out = {} tablex.foreach(A, function(v, k) out[k] = v end) return out end)
case("foreachi", function() local out = {} tablex.foreachi(L, function(v, i) out[i] = v end) return out end)
case("find", function() return tablex.find(L, 20), tablex.find(L, 20, 3), tablex.find(L, 20, -1), tablex.find(L, 99) end)
case("rfind", function() return tablex.rfind(L, 20), tablex.rfind(L, 20, 3), tablex.rfind(L, 99) end)
case("find_if", function() return { tablex.find_if(L, function(v) return v > 15 end) }, { tablex.find_if(L, ">", 25) } end)
case("size", function() return tablex.size(A), tablex.size(L), tablex.size({}) end)
case("merge", function() return plain(tablex.merge(A, B)), plain(tablex.merge(A, B, true)) end)
case("union", function() return plain(tablex.union(A, B)) end)
case("intersection", function() return plain(tablex.intersection(A, B)) end)
case("difference", function() return plain(tablex.difference(A, B)), plain(tablex.difference(A, B, true)) end)
case("update", function() local t = { x = 1 } return tablex.update(t, A) == t, t end)
case("makeset", function() return plain(tablex.makeset({ "a", "b" })) end)
case("count_map", function() return plain(tablex.count_map(L)), plain(tablex.count_map({ "a", "A" }, function(a, b) return a:lower() == b:lower() end)) end)
case("removevalues", function() local t = { 1, 2, 3, 4 } tablex.removevalues(t, 2, 3) return t end)
case("sort", function() local out = {} for k, v in tablex.sort(A) do out[#out + 1] = k .. v end return out end)
case("sort by a function", function() local out = {} for k in tablex.sort(A, function(a, b) return a > b end) do out[#out + 1] = k end return out end)
case("sortv", function() local out = {} for k, v in tablex.sortv({ x = 3, y = 1, z = 2 }) do out[#out + 1] = k .. v end return out end)
case("wrong arguments", function() return (pcall(tablex.keys, 1)), (pcall(tablex.copy, nil)), (pcall(tablex.map, nil, {})) end)
local values = { 1, 1.5, "", "a", "  ", true, false, {}, { 1 }, print, "12", "yes", "no", "0", "true", setmetatable({}, { __call = print }), setmetatable({}, { __index = {}, __len = function() return 0 end, __pairs = pairs, __newindex = rawset }), 0, math.huge }
for i, value in ipairs(values) do
    case("types of " .. i, function() return types.type(value), types.is_callable(value) and true or false, types.is_empty(value), types.is_empty(value, true), types.is_integer(value), types.is_indexable(value) and true or false, types.is_iterable(value) and true or false, types.is_writeable(value) and true or false end)
    case("to_bool of " .. i, function() return types.to_bool(value), types.to_bool(value, { "a" }), types.to_bool(value, nil, true) end)
    case("is_type of " .. i, function() return types.is_type(value, "table"), types.is_type(value, "string"), types.is_type(value, "number") end)
end
case("types of nil", function() return types.type(nil), types.is_empty(nil), types.to_bool(nil) end)
case("type of a file", function() return types.type(io.stdout) end)
case("type by a name", function() return types.type(setmetatable({}, { _name = "Thing" })) end)
