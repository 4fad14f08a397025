-- Models and policies of Casbin.
-- original: casbin
-- differs: path 6, the original takes the groups of a pattern for what it found
-- differs: a model without sections, the original finds out later
local casbin = require("casbin")
local head = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n"
local allow = "[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\n"
local models = {
    basic = { head .. allow .. "m = r.sub == p.sub && r.obj == p.obj && r.act == p.act", "p, alice, data1, read\np, bob, data2, write" },
    root = { head .. allow .. "m = r.sub == p.sub && r.obj == p.obj && r.act == p.act || r.sub == \"root\"", "p, alice, data1, read" },
    rbac = { head .. "[role_definition]\ng = _, _\n" .. allow .. "m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act",
             "p, admin, data1, read\np, admin, data1, write\np, bob, data2, read\ng, alice, boss\ng, boss, admin" },
    path = { head .. allow .. "m = r.sub == p.sub && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)",
             "p, alice, /alice_data/*, GET\np, bob, /bob/*, (GET)|(POST)\np, alice, data1, ^read$" },
    apisix = { head .. "[role_definition]\ng = _, _\n" .. allow .. "m = (g(r.sub, p.sub) || keyMatch(r.sub, p.sub)) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)",
               "p, *, /, GET\np, admin, *, *\ng, alice, admin" },
    deny = { "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, eft\n[policy_effect]\n" ..
             "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act",
             "p, alice, data1, read, allow\np, alice, data1, read, deny\np, bob, data2, write, allow" },
    not_deny = { "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, eft\n[policy_effect]\n" ..
                 "e = !some(where (p.eft == deny))\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act", "p, alice, data1, read, deny" },
    priority = { "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, eft\n[policy_effect]\n" ..
                 "e = priority(p.eft) || deny\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act",
                 "p, alice, data1, read, allow\np, alice, data1, read, deny\np, bob, data2, write, deny" },
    domain = { "[request_definition]\nr = sub, dom, act\n[policy_definition]\np = sub, dom, act\n[role_definition]\ng = _, _, _\n" .. allow ..
               "m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.act == p.act", "p, admin, data1, read\ng, alice, admin, data1\ng, bob, admin, data2" },
}
local names = {}
for name in pairs(models) do
    names[#names + 1] = name
end
table.sort(names)
local requests = { { "alice", "data1", "read" }, { "bob", "data2", "write" }, { "bob", "data2", "read" }, { "root", "x", "y" },
                   { "alice", "/alice_data/x", "GET" }, { "bob", "/bob/1", "POST" }, { "bob", "/bob/1", "PUT" }, { "nobody", "/", "GET" }, { "alice", "/x", "DELETE" } }
for _, name in ipairs(names) do
    local enforcer = casbin:newEnforcerFromText(models[name][1], models[name][2])
    for i, request in ipairs(requests) do
        case(name .. " " .. i, function() return enforcer:enforce(unpack(request)) end)
    end
end
local function one(matcher, policy, ...)
    local enforcer = casbin:newEnforcerFromText(head .. allow .. "m = " .. matcher, policy)
    return enforcer:enforce(...)
end
case("keyMatch2", function() return one("keyMatch2(r.obj, p.obj)", "p, a, /x/:id/y, z", "a", "/x/1/y", "z") end)
case("keyMatch2 fails", function() return one("keyMatch2(r.obj, p.obj)", "p, a, /x/:id/y, z", "a", "/x/1/2/y", "z") end)
case("keyMatch3", function() return one("keyMatch3(r.obj, p.obj)", "p, a, /x/{id}, z", "a", "/x/1", "z") end)
local rbac = casbin:newEnforcerFromText(models.rbac[1], models.rbac[2])
case("GetRolesForUser", function() return rbac:GetRolesForUser("alice") end)
case("GetUsersForRole", function() return rbac:GetUsersForRole("admin") end)
case("HasRoleForUser", function() return rbac:HasRoleForUser("alice", "boss"), rbac:HasRoleForUser("bob", "boss") end)
case("GetPolicy", function() return rbac:GetPolicy() end)
case("HasPolicy", function() return rbac:HasPolicy("bob", "data2", "read"), rbac:HasPolicy("x", "y", "z") end)
case("AddPolicy", function() return rbac:AddPolicy("eve", "data1", "read"), rbac:enforce("eve", "data1", "read") end)
case("RemovePolicy", function() return rbac:RemovePolicy("eve", "data1", "read"), rbac:enforce("eve", "data1", "read") end)
case("a model without sections", function() return (pcall(casbin.newEnforcerFromText, casbin, "[request_definition]\nr = a", "")) end)
