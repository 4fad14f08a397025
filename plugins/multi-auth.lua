--- Lets a request pass if one of several auth plugins does.
--
-- Runs in `rewrite` and calls the `rewrite` of each plugin in `auth_plugins`, in their order,
-- until one finds a consumer. If none does the answer is 401 and
-- `{"message":"Authorization Failed"}`, with the challenge of the last one that made one; why
-- each refused is in the error log.
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local ipairs = ipairs
local next = next
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

local CHALLENGE = "WWW-Authenticate"

local schema = {
    type = "object",
    title = "work with route or service object",
    properties = {
        auth_plugins = { type = "array", minItems = 2 },
    },
    required = { "auth_plugins" },
}

-- conf -> the plugins to try, in order.
local plans = setmetatable({}, { __mode = "k" })

local _M = {
    version = 0.1,
    priority = 2600,
    type = "auth",
    name = "multi-auth",
    schema = schema,
}


local function check_one(name, conf)
    local tried = plugin.get(name)
    if not tried then
        return false, name .. " plugin did not found"
    elseif tried.type ~= "auth" or not tried.rewrite then
        return false, name .. " plugin is not supported"
    end
    local ok, err = tried.check_schema(conf, tried.schema)
    if not ok then
        return false, "plugin " .. name .. " check schema failed: " .. tostring(err)
    end
    return true
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    for place, entry in ipairs(conf.auth_plugins) do
        -- An entry without a plugin would try nothing, which is what success looks like.
        if type(entry) ~= "table" or next(entry) == nil then
            return false, "item " .. place .. " of auth_plugins names no plugin"
        end
        for name, plugin_conf in pairs(entry) do
            ok, err = check_one(name, plugin_conf)
            if not ok then
                return false, err
            end
        end
    end
    return true
end


-- One entry may hold several plugins; those are tried by name, which is the same every time.
local function plan_of(conf)
    local plan = plans[conf]
    if plan then
        return plan
    end
    plan = {}
    for _, entry in ipairs(conf.auth_plugins) do
        local names = {}
        for name in pairs(entry) do
            names[#names + 1] = name
        end
        sort(names)
        for _, name in ipairs(names) do
            plan[#plan + 1] = { name = name, conf = entry[name] }
        end
    end
    plans[conf] = plan
    return plan
end


-- Nil if the plugin let the request pass, else why not.
local function try(step, ctx)
    -- Asked for each time: its code may have been replaced.
    local tried = plugin.get(step.name)
    if not tried then
        return step.name .. " failed to authenticate the request: it is not loaded"
    end
    local code, answer = tried.rewrite(step.conf, ctx)
    if code == nil then
        return nil
    end
    if type(answer) == "table" then
        answer = answer.message
    end
    return step.name .. " failed to authenticate the request, code: " .. tostring(code)
           .. ". error: " .. (answer and tostring(answer) or "")
end


function _M.rewrite(conf, ctx)
    local reasons = {}
    for place, step in ipairs(plan_of(conf)) do
        local reason = try(step, ctx)
        if not reason then
            core.log.debug(step.name, " succeed to authenticate the request")
            if place > 1 then
                -- Those before it have asked for other credentials.
                core.response.set_header(CHALLENGE, nil)
            end
            return
        end
        reasons[place] = reason
    end

    for _, reason in ipairs(reasons) do
        core.log.warn(reason)
    end
    return 401, { message = "Authorization Failed" }
end


return _M
