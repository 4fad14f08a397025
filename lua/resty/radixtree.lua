--- `resty.radixtree`: which of many routes fits a path, a host, a method and variables.
--
-- The gateway's own routes are matched in Rust; this is for plugins that route by themselves.
-- @module resty.radixtree
local expr = require("resty.expr.v1")
local ipmatcher = require("resty.ipmatcher")

local concat = table.concat
local error = error
local find = string.find
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local type = type

local METHODS = {}
for name in ("GET POST PUT DELETE PATCH HEAD OPTIONS CONNECT TRACE PURGE"):gmatch("%a+") do
    METHODS[name] = true
end

local _M = { _VERSION = "2.9.2" }
local mt = { __index = _M }


local function list_of(value)
    if value == nil then
        return nil
    end
    return type(value) == "table" and value or { value }
end


-- "/a/:id/*rest" as segments; nil if nothing in it varies.
local function params_of(path)
    if not find(path, "/:", 1, true) and not match(path, "%*.+$") then
        return nil
    end
    local names, pattern = {}, {}
    for segment in path:gmatch("[^/]+") do
        local name = match(segment, "^:(.+)$")
        local rest = match(segment, "^%*(.*)$")
        if name then
            names[#names + 1] = name
            pattern[#pattern + 1] = "([^/]+)"
        elseif rest then
            names[#names + 1] = rest ~= "" and rest or ":ext"
            pattern[#pattern + 1] = "(.*)"
        else
            pattern[#pattern + 1] = (segment:gsub("%p", "%%%0"))
        end
    end
    return { names = names, pattern = "^/" .. concat(pattern, "/") .. "$" }
end


local function hosts_of(hosts)
    local made = {}
    for i, name in ipairs(hosts) do
        name = lower(name)
        made[i] = sub(name, 1, 1) == "*" and { suffix = sub(name, 2) } or { exact = name }
    end
    return made
end


local function compile_route(self, path, route, at)
    local made = {
        path = path, metadata = route.metadata, handler = route.handler, at = at,
        priority = route.priority or 0, filter_fun = route.filter_fun,
        params = not self.no_param_match and params_of(path) or nil,
    }
    local stem = match(path, "^(.-)%*")
    if made.params then
        stem = match(path, "^(.-)/:") or stem
        made.length, made.kind = #(stem or path), "param"
    elseif stem then
        made.prefix, made.length, made.kind = stem, #stem, "prefix"
    else
        made.length, made.kind = #path, "exact"
    end
    local methods = list_of(route.methods)
    if methods then
        made.methods = {}
        for _, name in ipairs(methods) do
            if not METHODS[name] then
                error("invalid http method", 0)
            end
            made.methods[name] = true
        end
    end
    local hosts = list_of(route.hosts)
    made.hosts = hosts and hosts_of(hosts)
    local addresses = list_of(route.remote_addrs)
    if addresses then
        local matcher, err = ipmatcher.new(addresses)
        if not matcher then
            error(err, 0)
        end
        made.addresses = matcher
    end
    if route.vars then
        local compiled, err = expr.new(route.vars)
        if not compiled then
            error("failed to handle expression: " .. err, 0)
        end
        made.vars = compiled
    end
    return made
end


local function add(self, route)
    if type(route) ~= "table" then
        error("invalid argument route", 0)
    elseif route.metadata == nil and not route.handler then
        error("missing argument metadata or handler", 0)
    end
    local paths = list_of(route.paths)
    if not paths or #paths == 0 then
        error("missing argument paths", 0)
    end
    for _, path in ipairs(paths) do
        self.count = self.count + 1
        local made = compile_route(self, path, route, self.count)
        self.routes[#self.routes + 1] = made
    end
    self.sorted = false
end


local KINDS = { exact = 1, param = 2, prefix = 2 }


-- Exact paths first, then the longer beginning, then priority, then who came first.
local function arrange(self)
    sort(self.routes, function(a, b)
        local x, y = KINDS[a.kind], KINDS[b.kind]
        if x ~= y then
            return x < y
        elseif x == 2 and a.length ~= b.length then
            return a.length > b.length
        elseif a.priority ~= b.priority then
            return a.priority > b.priority
        end
        return a.at < b.at
    end)
    self.sorted = true
end


--- A router.
-- @tparam table routes each with `paths`, `metadata` or `handler`, and maybe `methods`, `hosts`,
--   `remote_addrs`, `vars`, `filter_fun`, `priority`
-- @tparam[opt] table opts `no_param_match`
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(routes, opts)
    if type(routes) ~= "table" then
        return nil, "missing argument routes"
    end
    local self = setmetatable({ routes = {}, count = 0,
                                no_param_match = opts and opts.no_param_match }, mt)
    for _, route in ipairs(routes) do
        local ok, err = pcall(add, self, route)
        if not ok then
            return nil, err
        end
    end
    return self
end


--- Adds a route.
function _M:add_route(path, metadata, opts)
    local route = {}
    for name, value in pairs(opts or {}) do
        route[name] = value
    end
    route.paths, route.metadata = path, metadata
    return add(self, route)
end


local function host_fits(hosts, name)
    name = name and lower(name)
    for _, host in ipairs(hosts) do
        if name and (host.exact == name
                     or (host.suffix and sub(name, -#host.suffix) == host.suffix)) then
            return true, host.exact or "*" .. host.suffix
        end
    end
    return false
end


local function fits(route, path, opts, args)
    local values
    if route.kind == "exact" then
        if route.path ~= path then
            return false
        end
    elseif route.kind == "prefix" then
        if sub(path, 1, #route.prefix) ~= route.prefix then
            return false
        end
    else
        values = { match(path, route.params.pattern) }
        if #values == 0 then
            return false
        end
    end
    if route.methods and not route.methods[opts.method] then
        return false
    end
    local host_name
    if route.hosts then
        local good
        good, host_name = host_fits(route.hosts, opts.host)
        if not good then
            return false
        end
    end
    if route.addresses then
        local good = opts.remote_addr and route.addresses:match(opts.remote_addr)
        if not good then
            return false
        end
    end
    if route.vars then
        local good, err = route.vars:eval(opts.vars, opts)
        if not good then
            if err then
                ngx.log(ngx.ERR, "failed to eval expression: ", err)
            end
            return false
        end
    end
    local filter = route.filter_fun
    if filter and not filter(opts.vars or ngx.var, opts, unpack(args or {})) then
        return false
    end
    local matched = opts.matched
    if matched then
        matched._path, matched._method, matched._host = route.path, opts.method, host_name
        for i, name in ipairs(route.params and route.params.names or {}) do
            matched[name] = values[i]
        end
    end
    return true
end


local function find_route(self, path, opts, args)
    if not self.sorted then
        arrange(self)
    end
    for _, route in ipairs(self.routes) do
        if fits(route, path, opts, args) then
            return route
        end
    end
end


--- The metadata of the route that fits.
-- @tparam string path
-- @tparam[opt] table opts `method`, `host`, `remote_addr`, `vars`, `matched` (is filled)
-- @param ... for `filter_fun`
-- @return nil if none fits
function _M:match(path, opts, ...)
    if type(path) ~= "string" then
        return nil, "invalid argument path"
    end
    local route = find_route(self, path, opts or {}, { ... })
    return route and route.metadata
end


--- Calls the handler of the route that fits.
-- @treturn boolean|nil whether there was one
function _M:dispatch(path, opts, ...)
    if type(path) ~= "string" then
        error("invalid argument path", 2)
    end
    local route = find_route(self, path, opts or {}, { ... })
    if not route then
        return nil
    elseif not route.handler then
        error("missing handler", 2)
    end
    route.handler(...)
    return true
end


return _M
