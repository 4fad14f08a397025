--- `casbin`: whether a subject may do something to an object, by a model and a policy.
--
--     local enforcer = require("casbin"):newEnforcerFromText(model, policy)
--     enforcer:enforce("alice", "/data", "GET")
-- @module casbin
local expr = require("moongate.casbin_expr")
local functions = require("moongate.casbin_functions")
local unsupported = require("moongate.unsupported")

local concat = table.concat
local error = error
local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local tonumber = tonumber
local type = type

-- Roles that lead to roles, as deep as anybody nests them.
local ROLES_DEPTH_MAX = 10

local _M = {}
local linked
local mt = { __index = _M }


local function trim(text)
    return match(text, "^%s*(.-)%s*$")
end


local function split(text)
    local parts = {}
    for part in (text .. ","):gmatch("([^,]*),") do
        parts[#parts + 1] = trim(part)
    end
    return parts
end


-- "[section]" and "key = value" lines; a backslash goes on in the next line.
local function read_model(text)
    local model, section = {}, nil
    text = gsub(text, "\\%s*\r?\n", " ")
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do
        line = trim((gsub(line, "^%s*[#;].*$", "")))
        local name = match(line, "^%[(.-)%]$")
        if name then
            section = name
            model[section] = model[section] or {}
        elseif line ~= "" then
            local key, value = match(line, "^([%w_]+)%s*=%s*(.*)$")
            if not key or not section then
                error("parse the content error : line " .. line, 0)
            end
            model[section][key] = trim((gsub(value, "%s+#.*$", "")))
        end
    end
    for _, needed in ipairs({ "request_definition", "policy_definition", "policy_effect",
                              "matchers" }) do
        if not model[needed] then
            error("missing required sections: " .. needed, 0)
        end
    end
    return model
end


local function add_line(self, line)
    line = trim(line)
    if line == "" or find(line, "^#") then
        return
    end
    local parts = split(line)
    local kind = table.remove(parts, 1)
    self.policy[kind] = self.policy[kind] or {}
    table.insert(self.policy[kind], parts)
    self.links = nil
end


local function make(model_text, policy_text)
    local model = read_model(model_text)
    local self = setmetatable({
        model = model, policy = {}, enabled = true, functions = functions.all(),
        request = split(model.request_definition.r), fields = split(model.policy_definition.p),
        effect = gsub(model.policy_effect.e, "%s", ""), matcher = expr.compile(model.matchers.m),
    }, mt)
    for line in ((policy_text or "") .. "\n"):gmatch("([^\n]*)\n") do
        add_line(self, line)
    end
    for name in pairs(model.role_definition or {}) do
        self.functions[name] = function(args)
            return linked(self, name, args)
        end
    end
    self.functions.eval = function(args, env)
        return expr.compile(args[1])(env)
    end
    return self
end


local function read_file(path)
    local file, err = io.open(path, "rb")
    if not file then
        error(err, 0)
    end
    local text = file:read("*a")
    file:close()
    return text
end


--- An enforcer of files.
function _M:new(model_path, policy_path)
    return make(read_file(model_path), policy_path and read_file(policy_path))
end


--- An enforcer of texts.
function _M:newEnforcerFromText(model, policy)
    return make(model, policy)
end


-- From whom to whom roles lead, by kind and domain.
local function links_of(self, kind)
    self.links = self.links or {}
    local links = self.links[kind]
    if not links then
        links = {}
        for _, rule in ipairs(self.policy[kind] or {}) do
            local domain = concat(rule, "\0", 3)
            links[domain] = links[domain] or {}
            links[domain][rule[1]] = links[domain][rule[1]] or {}
            table.insert(links[domain][rule[1]], rule[2])
        end
        self.links[kind] = links
    end
    return links
end


local function reach(links, from, to, depth, seen)
    if from == to then
        return true
    elseif depth > ROLES_DEPTH_MAX or seen[from] then
        return false
    end
    seen[from] = true
    for _, role in ipairs(links[from] or {}) do
        if reach(links, role, to, depth + 1, seen) then
            return true
        end
    end
    return false
end


--- Whether one name has another as role.
function linked(self, kind, args)
    local domain = concat(args, "\0", 3)
    return reach(links_of(self, kind)[domain] or {}, args[1], args[2], 1, {})
end


local function named(names, values)
    local made = {}
    for i, name in ipairs(names) do
        made[name] = values[i]
    end
    return made
end


local function effect_of(rule)
    local effect = rule.eft
    return (effect == nil or effect == "allow") and "allow" or effect
end


-- Rules in the order in which they count.
local function ordered(self)
    local rules = {}
    for i, rule in ipairs(self.policy.p or {}) do
        rules[i] = { rule = rule, at = i, named = named(self.fields, rule) }
    end
    if find(self.effect, "priority", 1, true) then
        local explicit = rules[1] and rules[1].named.priority
        if explicit then
            sort(rules, function(a, b)
                local x, y = tonumber(a.named.priority) or 0, tonumber(b.named.priority) or 0
                return x < y or (x == y and a.at < b.at)
            end)
        end
    end
    return rules
end


local function decide(self, matched)
    local allow, deny, first
    for _, entry in ipairs(matched) do
        local effect = effect_of(entry.named)
        allow = allow or (effect == "allow" and entry)
        deny = deny or (effect == "deny" and entry)
        first = first or ((effect == "allow" or effect == "deny") and entry)
    end
    local effect = self.effect
    if effect == "some(where(p.eft==allow))" or effect == "some(where(p_eft==allow))" then
        return allow and true or false, allow
    elseif effect == "!some(where(p.eft==deny))" or effect == "!some(where(p_eft==deny))" then
        return not deny, deny
    elseif find(effect, "&&", 1, true) then
        return (allow and not deny) and true or false, deny or allow
    elseif find(effect, "priority(", 1, true) == 1 then
        return first ~= nil and effect_of(first.named) == "allow", first
    end
    error("not supported: policy effect " .. effect, 0)
end


--- As `enforce`, and which rule decided.
-- @treturn boolean
-- @treturn table|nil
function _M:enforceEx(...)
    if not self.enabled then
        return false, {}
    end
    local values = { ... }
    if #values < #self.request then
        error("invalid request size: expected " .. #self.request .. ", got " .. #values, 2)
    end
    local env = { r = named(self.request, values), functions = self.functions }
    local matched = {}
    local rules = ordered(self)
    for _, entry in ipairs(rules) do
        env.p = entry.named
        if self.matcher(env) then
            matched[#matched + 1] = entry
        end
    end
    if #rules == 0 then
        -- A matcher may hold without any policy, as for a superuser.
        env.p = named(self.fields, {})
        for _, name in ipairs(self.fields) do
            env.p[name] = ""
        end
        env.p.eft = nil
        if self.matcher(env) then
            matched[1] = { named = env.p, rule = {} }
        end
    end
    local good, entry = decide(self, matched)
    return good, entry and entry.rule or {}
end


--- Whether the policy allows it.
function _M:enforce(...)
    return (self:enforceEx(...))
end


--- Answers for a list of requests.
function _M:BatchEnforce(requests)
    local answers = {}
    for i, request in ipairs(requests) do
        answers[i] = self:enforce(unpack(request))
    end
    return answers
end


function _M:enableEnforce(enabled)
    self.enabled = enabled
end


function _M:AddFunction(name, func)
    self.functions[name] = func
end


local function same(a, b)
    return concat(a, "\0") == concat(b, "\0")
end


local function arguments(...)
    local first = ...
    return type(first) == "table" and first or { ... }
end


local function place(self, kind, rule)
    for i, known in ipairs(self.policy[kind] or {}) do
        if same(known, rule) then
            return i
        end
    end
end


for name, kind in pairs({ Policy = "p", GroupingPolicy = "g" }) do
    _M["Get" .. name] = function(self)
        return self.policy[kind] or {}
    end

    _M["Has" .. name] = function(self, ...)
        return place(self, kind, arguments(...)) ~= nil
    end

    _M["Add" .. name] = function(self, ...)
        local rule = arguments(...)
        if place(self, kind, rule) then
            return false
        end
        self.policy[kind] = self.policy[kind] or {}
        table.insert(self.policy[kind], rule)
        self.links = nil
        return true
    end

    _M["Remove" .. name] = function(self, ...)
        local at = place(self, kind, arguments(...))
        if not at then
            return false
        end
        table.remove(self.policy[kind], at)
        self.links = nil
        return true
    end
end


local function others(self, from, to, name, domain)
    local list = {}
    for _, rule in ipairs(self.policy.g or {}) do
        if rule[from] == name and (domain == nil or rule[3] == domain) then
            list[#list + 1] = rule[to]
        end
    end
    return list
end


function _M:GetRolesForUser(name, domain)
    return others(self, 1, 2, name, domain)
end


function _M:GetUsersForRole(name, domain)
    return others(self, 2, 1, name, domain)
end


function _M:HasRoleForUser(name, role, domain)
    for _, found in ipairs(self:GetRolesForUser(name, domain)) do
        if found == role then
            return true
        end
    end
    return false
end


function _M:AddRoleForUser(name, role, domain)
    return self:AddGroupingPolicy(name, role, domain)
end


function _M:DeleteRoleForUser(name, role, domain)
    return self:RemoveGroupingPolicy(name, role, domain)
end


return unsupported.absent(_M, "casbin.", {
    "setWatcher", "setDispatcher", "setAdapter", "loadFilteredPolicy", "savePolicy", "setModel",
    "setRoleManager", "setEffector", "AddNamedMatchingFunc", "AddNamedDomainMatchingFunc",
    "GetImplicitRolesForUser", "GetImplicitPermissionsForUser", "UpdatePolicy",
    "AddPermissionForUser", "AddRoleForUserInDomain", "AddRolesForUser",
    "DeleteAllUsersByDomain", "DeleteDomains", "DeletePermission", "DeletePermissionForUser",
    "DeletePermissionsForUser", "DeleteRole", "DeleteRoleForUserInDomain", "DeleteRolesForUser",
    "DeleteRolesForUserInDomain", "DeleteUser", "GetAllUsersByDomain", "GetDomainsForUser",
    "GetImplicitResourcesForUser", "GetImplicitUsersForPermission", "GetImplicitUsersForRole",
    "GetPermissionsForUser", "GetPermissionsForUserInDomain", "GetRolesForUserInDomain",
    "GetUsersForRoleInDomain", "HasPermissionForUser",
},
    "policies and models come from texts and do not change once they are loaded")
