--- Answers HTTP requests from a service that speaks TARS.
--
-- Runs in `access`: a JSON body or the query becomes a call, and the upstream's nodes are called
-- in TARS over few connections for many calls. A `.tars` description (`proto_id`, `idl`) says
-- what the values are; only mode `json` needs none, and new servers. What `service` (the servant,
-- such as `App.Server.Obj`) and `function` do not name stands at the end of the path:
-- `/json/<servant>/<function>`.
--
-- A refusal is a JSON object with a `message`: 400 for arguments that do not fit, with the path
-- of the field and the type it should have, 404 for a servant or function that is not there, 413
-- for too large a body. A code of the service's framework is `{"tars_code":, "message":}` and
-- `X-Tars-Ret`, with a status that `status_map` can change.
local core = require("apisix.core")

local function choice(first, ...)
    return { type = "string", enum = { first, ... }, default = first }
end

local name = { type = "string", minLength = 1, maxLength = 255 }

local statuses = {
    type = "object",
    patternProperties = {
        ["^-?[0-9]+$"] = { type = "integer", minimum = 200, maximum = 599 },
    },
    additionalProperties = false,
}

local properties = {
    mode = choice("tars", "tup", "tup2", "json"),
    interface = {
        type = "string",
        minLength = 1,
        maxLength = 255,
        description = "Module.Interface of the servant; needed if the description has several.",
    },
    servants = {
        type = "object",
        description = "The servants that a path may name, and their interfaces.",
        minProperties = 1,
        additionalProperties = name,
    },
    charset = choice("utf-8", "gbk"),
    invalid_text = choice("reject", "replace"),
    int64_as_string = choice("auto", "always", "never"),
    bytes = choice("base64", "array"),
    enums = choice("number", "name"),
    unknown_fields = choice("ignore", "reject"),
    status_map = statuses,
    ret_to_status = statuses,
    oneway = {
        description = "No answer is waited for: for all functions, or for these.",
        anyOf = {
            { type = "boolean" },
            { type = "array", items = name, uniqueItems = true },
        },
        default = false,
    },
    unwrap = {
        description = "The body is the only result, or the result of this name.",
        anyOf = { { type = "boolean" }, name },
        default = false,
    },
    response_headers = {
        description = "Keys of the answer's context that become header fields: names, or "
            .. "names and fields.",
        anyOf = {
            { type = "array", items = name, uniqueItems = true },
            { type = "object", additionalProperties = name },
        },
    },
}

-- What the dialect knows by the same name: all of them.
local function options(conf)
    local given = {}
    for option in pairs(properties) do
        given[option] = conf[option]
    end
    return given
end

local transcoder = core.transcode.new({
    protocol = "tars",
    properties = properties,
    options = options,
})

local _M = {
    version = 0.1,
    priority = 504,
    name = "tars-transcode",
    schema = transcoder.schema,
}


function _M.check_schema(conf)
    return transcoder:check_schema(conf)
end


function _M.access(conf, ctx)
    return transcoder:access(conf, ctx)
end


return _M
