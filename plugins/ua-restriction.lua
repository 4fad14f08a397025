--- Lets requests pass or refuses them by their `User-Agent`.
--
-- Runs in `access`. Refusal: 403 and `{"message":"..."}`; so is a request without the
-- header, unless `bypass_missing`. If the header is repeated, one allowed value is enough
-- for an allow list, and one denied value for a deny list.
local core = require("apisix.core")
local re_compile = require("resty.core.regex").re_match_compile

local find = string.find
local ipairs = ipairs
local re_find = ngx.re.find
local sub = string.sub
local type = type

local patterns = {
    type = "array",
    minItems = 1,
    items = { type = "string", minLength = 1 },
}

local schema = {
    type = "object",
    properties = {
        bypass_missing = { type = "boolean", default = false },
        allowlist = patterns,
        denylist = patterns,
        message = { type = "string", minLength = 1, maxLength = 1024, default = "Not allowed" },
    },
    oneOf = {
        { required = { "allowlist" } },
        { required = { "denylist" } },
    },
}

local _M = {
    version = 0.1,
    priority = 2999,
    name = "ua-restriction",
    schema = schema,
}


local function check_patterns(list)
    for _, pattern in ipairs(list or {}) do
        local ok, err = re_compile(pattern, "j")
        if not ok then
            return false, err
        end
    end
    return true
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    ok, err = check_patterns(conf.allowlist)
    if not ok then
        return false, err
    end
    return check_patterns(conf.denylist)
end


-- Without the white space around it. One pass from either end: a pattern with two
-- repetitions would take quadratic time on a header full of blanks.
local function strip(text)
    local from = find(text, "%S")
    if not from then
        return ""
    end
    local to = #text
    while find(sub(text, to, to), "%s") do
        to = to - 1
    end
    if from == 1 and to == #text then
        return text
    end
    return sub(text, from, to)
end


local function matches(agent, list)
    agent = strip(agent)
    for i = 1, #list do
        if re_find(agent, list[i], "jo") then
            return true
        end
    end
    return false
end


local function any_matches(agents, list)
    if type(agents) ~= "table" then
        return matches(agents, list)
    end
    for i = 1, #agents do
        if matches(agents[i], list) then
            return true
        end
    end
    return false
end


local function is_allowed(conf, agents)
    if agents == nil then
        return conf.bypass_missing
    end
    if conf.allowlist then
        return any_matches(agents, conf.allowlist)
    end
    return not any_matches(agents, conf.denylist)
end


function _M.access(conf, ctx)
    if not is_allowed(conf, core.request.headers(ctx)["User-Agent"]) then
        return 403, { message = conf.message }
    end
end


return _M
