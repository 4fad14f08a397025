-- UUIDs, those by name and those by chance.
-- original: resty.jit-uuid
-- differs: capital namespace, the original raises "invalid binary namespace buffer length"
local uuid = require("resty.jit-uuid")
case("seed", function() return type(uuid.seed(42)) end)
local DNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
for i, name in ipairs({ "", "a", "www.example.com", "\0\255", ("x"):rep(100) }) do
    case("v3 " .. i, function() return uuid.generate_v3(DNS, name) end)
    case("v5 " .. i, function() return uuid.generate_v5(DNS, name) end)
end
case("factory_v3", function() return uuid.factory_v3(DNS)("x") end)
case("factory_v5", function() return uuid.factory_v5(DNS)("x") end)
case("capital namespace", function() return uuid.factory_v5(DNS:upper())("y") end)
for i, namespace in ipairs({ "x", "", 1, "6ba7b810-9dad-11d1-80b4-00c04fd430cg" }) do
    case("wrong namespace " .. i, function() return uuid.factory_v3(namespace) end)
    case("wrong namespace, v5 " .. i, function() return uuid.generate_v5(namespace, "x") end)
end
case("name that is none", function() return uuid.factory_v5(DNS)(1) end)
case("name that is none, v3", function() return uuid.generate_v3(DNS, {}) end)
case("v4", function()
    local seen = {}
    for _ = 1, 100 do
        local id = uuid.generate_v4()
        if seen[id] or #id ~= 36 or id:sub(15, 15) ~= "4" or not id:sub(20, 20):find("[89ab]") or not uuid.is_valid(id) then
            return id
        end
        seen[id] = true
    end
    return "100 different ones"
end)
case("called", function() return uuid.is_valid(uuid()), #uuid() end)
case("as text", function() return uuid.is_valid(tostring(uuid)) end)
for i, text in ipairs({ DNS, DNS:upper(), "", "x", DNS .. "0", DNS:sub(2), "6ba7b8109dad11d180b400c04fd430c8", "{" .. DNS .. "}", "6ba7b810-9dad-11d1-80b4-00c04fd430cz", "00000000-0000-0000-0000-000000000000" }) do
    case("is_valid " .. i, function() return uuid.is_valid(text) end)
end
case("is_valid of a number", function() return uuid.is_valid(12) end)
case("is_valid of nothing", function() return uuid.is_valid(nil) end)
