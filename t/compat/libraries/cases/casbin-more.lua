-- The rest of casbin: roles, groups, batches.
-- original: casbin
local Enforcer = require("casbin")
local MODEL = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[role_definition]\ng = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act\n"
local POLICY = "p, admin, data, write\np, reader, data, read\ng, alice, admin\ng, bob, reader\n"
local function new() return Enforcer:newEnforcerFromText(MODEL, POLICY) end
case("enforce", function() local e = new() return e:enforce("alice", "data", "write"), e:enforce("bob", "data", "write"), e:enforce("bob", "data", "read") end)
case("BatchEnforce", function() return new():BatchEnforce({ { "alice", "data", "write" }, { "bob", "data", "write" } }) end)
case("enforceEx", function() local ok, why = new():enforceEx("alice", "data", "write") return ok, why end)
case("enableEnforce", function() local e = new() e:enableEnforce(false) local off = e:enforce("nobody", "x", "y") e:enableEnforce(true) return off, e:enforce("nobody", "x", "y") end)
case("GetGroupingPolicy", function() return new():GetGroupingPolicy() end)
case("HasGroupingPolicy", function() local e = new() return e:HasGroupingPolicy("alice", "admin"), e:HasGroupingPolicy("bob", "admin") end)
case("AddGroupingPolicy", function() local e = new() return e:AddGroupingPolicy("carl", "admin"), e:enforce("carl", "data", "write"), e:AddGroupingPolicy("carl", "admin") end)
case("RemoveGroupingPolicy", function() local e = new() return e:RemoveGroupingPolicy("alice", "admin"), e:enforce("alice", "data", "write") end)
case("AddRoleForUser", function() local e = new() return e:AddRoleForUser("dora", "reader"), e:GetRolesForUser("dora"), e:enforce("dora", "data", "read") end)
case("DeleteRoleForUser", function() local e = new() return e:DeleteRoleForUser("bob", "reader"), e:HasRoleForUser("bob", "reader") end)
case("AddFunction", function()
    local e = Enforcer:newEnforcerFromText(MODEL:gsub("r.act == p.act", "same(r.act, p.act)"), POLICY)
    e:AddFunction("same", function(args) return args[1]:lower() == args[2]:lower() end)
    return e:enforce("alice", "data", "WRITE")
end)
case("new from files", function()
    local names = {}
    for i, text in ipairs({ MODEL, POLICY }) do
        names[i] = os.tmpname()
        local file = io.open(names[i], "w")
        file:write(text)
        file:close()
    end
    local e = Enforcer:new(names[1], names[2])
    os.remove(names[1])
    os.remove(names[2])
    return e:enforce("alice", "data", "write")
end)
