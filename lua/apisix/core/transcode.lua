--- `core.transcode`: what plugins that turn HTTP into another protocol have in common.
--
-- Such a plugin says which protocol, what its own fields are and which of them are options of
-- the dialect; `new` gives it the schema, `check_schema` and the `access` phase:
--
--    local transcoder = core.transcode.new({
--        protocol = "tars",
--        properties = { int64 = { type = "string", enum = { "string", "number" } } },
--        options = function(conf) return { int64 = conf.int64 } end,
--    })
--
-- A conf has, beside the plugin's own fields, those of `COMMON` below.
-- @module apisix.core.transcode
local core_table = require("apisix.core.table")
local host = require("moongate.host")
local json = require("apisix.core.json")
local log = require("apisix.core.log")
local protocol = require("apisix.core.protocol")
local request = require("apisix.core.request")
local response = require("apisix.core.response")
local schema = require("apisix.core.schema")
local schema_def = require("apisix.schema_def")
local upstream = require("apisix.core.upstream")
local utils = require("apisix.core.utils")

local concat = table.concat
local conf_item = host.conf_item
local conf_version = host.conf_version
local find = string.find
local ipairs = ipairs
local lower = string.lower
local match = string.match
local md5 = ngx.md5_bin
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local BODY_BYTES_MAX = 10 * 1024 * 1024
local FORM = "application/x-www-form-urlencoded"
local INLINE = "idl"
local IDS_MAX = 64
local NAME_MAX = 256

local id = schema_def.id_schema

local COMMON = {
    -- Objects below `protos`; the first is the main file, the others are there to be included
    -- by their `name` or else their id.
    proto_id = {
        anyOf = {
            id,
            { type = "array", items = id, minItems = 1, maxItems = IDS_MAX },
        },
    },
    -- The text of an interface description, instead of `proto_id`.
    idl = { type = "string", minLength = 1, maxLength = 1024 * 1024 },
    -- What is not named here is taken from the end of the path: `.../<service>/<function>`.
    service = { type = "string", minLength = 1, maxLength = NAME_MAX },
    ["function"] = { type = "string", minLength = 1, maxLength = NAME_MAX },
    -- Request headers that travel as metadata, under their names in lower case.
    request_headers = {
        type = "array",
        items = { type = "string", minLength = 1, maxLength = NAME_MAX },
        uniqueItems = true,
        default = {},
    },
    -- Metadata that is the same for all, or made of variables such as `$remote_addr`.
    metadata = {
        type = "object",
        additionalProperties = { type = "string" },
    },
    -- Seconds for the answer; without it `timeout.read` of route or upstream.
    timeout = { type = "number", exclusiveMinimum = 0, maximum = 86400 },
    max_body_size = { type = "integer", minimum = 1, default = BODY_BYTES_MAX },
}

local methods = {}
local transcoder_mt = { __index = methods }

local _M = {}


local function whole_schema(own)
    local properties = core_table.deepcopy(COMMON)
    for name, property in pairs(own or {}) do
        properties[name] = property
    end
    return { type = "object", properties = properties }
end


--- What a plugin for one protocol needs.
-- @tparam table spec `protocol`; `properties`, schemas of the plugin's own fields; `options`, a
--   function that gives the dialect's options for a conf
-- @treturn table with `schema`, `check_schema(self, conf)` and `access(self, conf, ctx)`
function _M.new(spec)
    return setmetatable({
        protocol = spec.protocol,
        options = spec.options,
        schema = whole_schema(spec.properties),
        -- Conf -> what was made of it.
        made = setmetatable({}, { __mode = "k" }),
        -- Options and sources -> a dialect that some conf has.
        shared = setmetatable({}, { __mode = "v" }),
    }, transcoder_mt)
end


-- A dialect; confs with equal options and descriptions share one.
local function make(self, conf, sources)
    local options = self.options(conf)
    local parts = { json.stably_encode(options) }
    for _, source in ipairs(sources or {}) do
        parts[#parts + 1] = source.name
        parts[#parts + 1] = md5(source.text)
    end
    local key = concat(parts, "\0")
    local dialect, err = self.shared[key]
    if not dialect then
        dialect, err = protocol.new(self.protocol, options, sources)
        self.shared[key] = dialect
    end
    return dialect, err
end


-- The stored files of a conf.
local function stored(proto_id)
    local ids = type(proto_id) == "table" and proto_id or { proto_id }
    local sources = {}
    for i, name in ipairs(ids) do
        local item = conf_item("protos", tostring(name))
        if not item then
            return nil, "protos [" .. tostring(name) .. "] does not exist"
        end
        local value = item.value
        sources[i] = { name = value.name or tostring(name), text = value.content, item = item }
    end
    return sources
end


--- `check_schema` of the plugin. The description is compiled, so that the message has file, line
-- and column; a stored one that is not there yet may still come.
-- @treturn boolean
-- @treturn nil|string
function methods:check_schema(conf)
    local ok, err = schema.check(self.schema, conf)
    if not ok then
        return false, err
    end
    if conf.idl and conf.proto_id then
        return false, "idl and proto_id are both there: one of them is enough"
    end

    local sources = conf.idl and { { name = INLINE, text = conf.idl } }
    if conf.proto_id then
        sources = stored(conf.proto_id)
        if not sources then
            return true
        end
    end
    local dialect
    dialect, err = make(self, conf, sources)
    if not dialect then
        return false, err
    end
    return true
end


local function same(sources, others)
    if not sources or #sources ~= #others then
        return false
    end
    for i = 1, #others do
        if sources[i].item ~= others[i].item then
            return false
        end
    end
    return true
end


-- A new version that is no good leaves the one before in use.
local function renew(self, conf, known, version)
    known.version = version
    local sources, err = stored(conf.proto_id)
    if sources and same(known.sources, sources) then
        return
    end

    local dialect
    if sources then
        dialect, err = make(self, conf, sources)
    end
    known.sources = sources
    known.err = err
    if dialect then
        known.dialect = dialect
    elseif known.dialect then
        log.error(self.protocol, ": the interface description stays as it was: ", err)
    end
end


--- The dialect of a conf: made once, and again when a stored description changed.
-- @return[1] the dialect
-- @treturn[2] nil
-- @treturn[2] string why there is none
function methods:dialect(conf)
    local known = self.made[conf]
    if not known then
        known = {}
        self.made[conf] = known
        if not conf.proto_id then
            local sources = conf.idl and { { name = INLINE, text = conf.idl } }
            known.dialect, known.err = make(self, conf, sources)
        end
    end
    if conf.proto_id then
        local version = conf_version("protos")
        if known.version ~= version then
            renew(self, conf, known, version)
        end
    end
    return known.dialect, known.err
end


local function refuse(status, message)
    response.set_header("Content-Type", "application/json")
    return status, { message = message }
end


local function resolved(text, ctx)
    if text and find(text, "$", 1, true) then
        return (utils.resolve_var(text, ctx.var))
    end
    return text
end


-- Service and function, from the conf or from the end of the path.
local function names(conf, ctx)
    local service, name = resolved(conf.service, ctx), resolved(conf["function"], ctx)
    if service and name then
        return service, name
    end

    local head, last = match(ctx.var.uri, "^(.*)/([^/]+)$")
    if not name then
        name = last
        if not service and head then
            service = match(head, "([^/]+)$")
        end
    elseif not service then
        service = last
    end
    return service, name
end


local function metadata(conf, ctx)
    local values
    for _, name in ipairs(conf.request_headers) do
        local value = request.header(ctx, name)
        if value then
            values = values or {}
            values[lower(name)] = value
        end
    end
    for name, value in pairs(conf.metadata or {}) do
        values = values or {}
        values[name] = resolved(value, ctx)
    end
    return values
end


-- JSON text, or names and values of a form or query; or nil, a message and a status.
local function arguments(conf, ctx)
    local kind = request.header(ctx, "Content-Type")
    if kind and find(lower(kind), FORM, 1, true) == 1 then
        return nil, request.get_post_args(ctx)
    end

    local body, err = request.get_body(conf.max_body_size)
    if err then
        return nil, nil, err, 413
    end
    if body then
        return body
    end
    if (ctx.var.args or "") ~= "" then
        return nil, request.get_uri_args(ctx)
    end
    return ""
end


--- The `access` phase of the plugin: makes the call, or answers why there is none.
-- @treturn nil|number status of a refusal
-- @treturn nil|table its body, `{ message = }`
function methods:access(conf, ctx)
    local dialect, err = self:dialect(conf)
    if not dialect then
        log.error(self.protocol, ": no interface description: ", err)
        return refuse(503, "the interface description of this route is not usable")
    end

    local service, name = names(conf, ctx)
    if not name then
        return refuse(404, "the path names no function")
    end
    local body, args, message, status = arguments(conf, ctx)
    if message then
        return refuse(status, message)
    end

    local ok
    ok, message, status = upstream.set_protocol(ctx, self.protocol, {
        dialect = dialect,
        service = service,
        ["function"] = name,
        body = body,
        args = args,
        metadata = metadata(conf, ctx),
        timeout = conf.timeout,
    })
    if ok then
        return
    end
    if status >= 500 then
        log.error(self.protocol, ": ", message)
        message = "the gateway cannot make this call"
    end
    return refuse(status, message)
end


return _M
