--- Answers preflight requests and marks responses for the browser's CORS check.
--
-- `rewrite` remembers the `Origin` and ends OPTIONS requests with an empty 200;
-- `header_filter` adds the `Access-Control-*` headers if the origin is allowed. An origin
-- that is not allowed is not refused: its response simply lacks the headers.
local core = require("apisix.core")
local plugin = require("apisix.plugin")
local re_compile = require("resty.core.regex").re_match_compile

local concat = table.concat
local gmatch = string.gmatch
local ipairs = ipairs
local ngx = ngx
local re_find = ngx.re.find
local setmetatable = setmetatable

local NAME = "cors"
local ORIGINS = [[^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$]]
local ALL_METHODS = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE"

local STAR_WARNING = "'*' stands for all as long as allow_credential is false; '**' for all "
    .. "in any case, which is a risk; several are separated by ','."


local function listing(what)
    return { type = "string", default = "*", description = what .. " " .. STAR_WARNING }
end


local function texts(what)
    return {
        type = "array",
        description = what,
        items = { type = "string", minLength = 1, maxLength = 4096 },
        minItems = 1,
        uniqueItems = true,
    }
end


local metadata_schema = {
    type = "object",
    properties = {
        allow_origins = {
            type = "object",
            additionalProperties = { type = "string", pattern = ORIGINS },
        },
    },
}

local schema = {
    type = "object",
    properties = {
        allow_origins = {
            type = "string",
            pattern = ORIGINS,
            default = "*",
            description = "Origins that may read the response. " .. STAR_WARNING,
        },
        allow_methods = listing("Methods."),
        allow_headers = listing("Request headers."),
        expose_headers = {
            type = "string",
            description = "Response headers that scripts may read, separated by ','.",
        },
        max_age = {
            type = "integer",
            default = 5,
            description = "Seconds that a browser may keep the preflight answer; -1 is none.",
        },
        allow_credential = {
            type = "boolean",
            default = false,
            description = "Whether requests with cookies are allowed. Rules out '*'.",
        },
        allow_origins_by_regex = texts("Regular expressions for origins."),
        allow_origins_by_metadata = texts("Keys of allow_origins in the plugin's metadata."),
        timing_allow_origins = {
            type = "string",
            pattern = ORIGINS,
            description = "Origins that may read timing information. " .. STAR_WARNING,
        },
        timing_allow_origins_by_regex = texts("Regular expressions for those."),
    },
}

local _M = {
    version = 0.1,
    priority = 4000,
    name = NAME,
    schema = schema,
    metadata_schema = metadata_schema,
}


local function check_patterns(patterns)
    for _, pattern in ipairs(patterns or {}) do
        local ok, err = re_compile(pattern, "j")
        if not ok then
            return false, err
        end
    end
    return true
end


local STAR_FORBIDDEN = {
    "allow_origins", "allow_methods", "allow_headers", "expose_headers", "timing_allow_origins",
}


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_METADATA then
        return core.schema.check(metadata_schema, conf)
    end

    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    for _, field in ipairs(STAR_FORBIDDEN) do
        if conf.allow_credential and conf[field] == "*" then
            return false, "you can not set '*' for other option when 'allow_credential' is true"
        end
    end

    ok, err = check_patterns(conf.allow_origins_by_regex)
    if not ok then
        return false, err
    end
    return check_patterns(conf.timing_allow_origins_by_regex)
end


-- What one list of origins allows: a function of the request's origin that gives the value
-- of the header, or nil.
local function from_list(list)
    if list == "*" then
        return function()
            return "*"
        end
    end
    if list == "**" then
        return function(origin)
            return origin or "*"
        end
    end

    local allowed = {}
    for origin in gmatch(list, "[^,]+") do
        allowed[origin] = true
    end
    return function(origin)
        if origin and allowed[origin] then
            return origin
        end
    end
end


local function from_patterns(patterns)
    local any = concat(patterns, "|")
    return function(origin)
        if origin and re_find(origin, any, "jo") then
            return origin
        end
    end
end


-- The lists in the metadata object, remade when it changes.
local metadata_version
local metadata_lists = {}


local function metadata_list(metadata, key)
    if metadata_version ~= metadata.modifiedIndex then
        metadata_version = metadata.modifiedIndex
        metadata_lists = {}
    end
    local list = metadata_lists[key]
    if list == nil then
        local text = metadata.value.allow_origins[key]
        list = text and from_list(text) or false
        metadata_lists[key] = list
    end
    return list
end


local function from_metadata(keys, origin)
    local metadata = origin and plugin.plugin_metadata(NAME)
    if not metadata or not metadata.value.allow_origins then
        return nil
    end
    for _, key in ipairs(keys) do
        local list = metadata_list(metadata, key)
        if list and list(origin) then
            return origin
        end
    end
end


local prepared = setmetatable({}, { __mode = "k" })


local function prepare(conf)
    local timing
    if conf.timing_allow_origins_by_regex then
        timing = from_patterns(conf.timing_allow_origins_by_regex)
    elseif conf.timing_allow_origins then
        timing = from_list(conf.timing_allow_origins)
    end

    local patterns = conf.allow_origins_by_regex
    local rules = {
        own = patterns and from_patterns(patterns) or from_list(conf.allow_origins),
        -- The default list, which allows all, does not overrule the metadata.
        own_counts = not conf.allow_origins_by_metadata or conf.allow_origins ~= "*",
        timing = timing,
        varies = conf.allow_origins ~= "*",
        methods = conf.allow_methods == "**" and ALL_METHODS or conf.allow_methods,
        echo_headers = conf.allow_headers == "**",
        expose = conf.expose_headers ~= "" and conf.expose_headers or nil,
    }
    prepared[conf] = rules
    return rules
end


local function allowed_origin(conf, rules, origin)
    if conf.allow_origins_by_metadata then
        local value = from_metadata(conf.allow_origins_by_metadata, origin)
        if value then
            return value
        end
    end
    return rules.own_counts and rules.own(origin) or nil
end


local function set_headers(conf, ctx, rules, value)
    local set = core.response.set_header
    set("Access-Control-Allow-Origin", value)
    set("Access-Control-Allow-Methods", rules.methods)
    set("Access-Control-Max-Age", conf.max_age)
    if rules.expose then
        set("Access-Control-Expose-Headers", rules.expose)
    end
    if rules.echo_headers then
        set("Access-Control-Allow-Headers",
            core.request.header(ctx, "Access-Control-Request-Headers"))
    else
        set("Access-Control-Allow-Headers", conf.allow_headers)
    end
    if conf.allow_credential then
        set("Access-Control-Allow-Credentials", "true")
    end
end


function _M.rewrite(conf, ctx)
    -- Kept, because a later plugin may change the header before the response comes.
    ctx.original_request_origin = core.request.header(ctx, "Origin")
    if ctx.var.request_method == "OPTIONS" then
        return 200
    end
end


function _M.header_filter(conf, ctx)
    local rules = prepared[conf] or prepare(conf)
    local origin = ctx.original_request_origin

    if rules.varies then
        core.response.add_header("Vary", "Origin")
    end
    local value = allowed_origin(conf, rules, origin)
    if value then
        set_headers(conf, ctx, rules, value)
    end
    local timing = rules.timing and rules.timing(origin)
    if timing then
        core.response.set_header("Timing-Allow-Origin", timing)
    end
end


return _M
