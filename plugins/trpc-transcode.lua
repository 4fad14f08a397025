--- Answers HTTP requests from a service that speaks tRPC.
--
-- Runs in `access`: the request becomes a call, and the upstream's nodes are called in tRPC over
-- few connections for many calls. In mode `passthrough` the JSON body goes to the service as it
-- is; in mode `protobuf`, the default if there is a `.proto` description (`proto_id`, `idl`), that
-- says how it becomes protobuf and back.
-- Whatever `service` and `function` do not name stands at the end of the path.
--
-- A refusal is a JSON object with a `message`: 400 for a body that does not fit, with the path
-- of the field, 404 for a function that is not there, 413 for too large a body. An error of the
-- service is `{"code":, "message":}`, with its codes in `trpc-ret` and `trpc-func-ret`.
local core = require("apisix.core")

local ipairs = ipairs

local status = { type = "integer", minimum = 200, maximum = 599 }

local statuses = {
    type = "object",
    description = "HTTP statuses by code; `default` is for all other codes.",
    patternProperties = { ["^(-?[0-9]+|default)$"] = status },
    additionalProperties = false,
}

local function choice(first, ...)
    return { type = "string", enum = { first, ... }, default = first }
end

local properties = {
    -- Without it `protobuf` if there is a description.
    mode = { type = "string", enum = { "passthrough", "protobuf" } },
    proto_service = {
        type = "string",
        minLength = 1,
        maxLength = 256,
        description = "The service's name in the description, if it is called by another.",
    },
    caller = { type = "string", minLength = 1, maxLength = 256 },
    compress = choice("none", "gzip", "zlib", "snappy-stream", "snappy-block"),
    oneway = { type = "boolean", default = false, description = "No answer is waited for." },
    status_map = statuses,
    business_status_map = statuses,
    error_body = choice("json", "empty"),
    response_headers = {
        description = "Metadata that becomes header fields: names, or names and fields.",
        anyOf = {
            { type = "array", items = { type = "string", minLength = 1 }, uniqueItems = true },
            { type = "object", additionalProperties = { type = "string", minLength = 1 } },
        },
    },
    max_frame = {
        type = "integer",
        minimum = 65551,
        maximum = 268435456,
        default = 10485760,
        description = "Bytes of a call, and of an answer's body after decompression.",
    },
    json = {
        type = "object",
        description = "How protobuf becomes JSON.",
        properties = {
            int64 = choice("string", "number"),
            enums = choice("name", "number"),
            names = choice("original", "camel"),
            defaults = choice("emit", "omit"),
            unknown = choice("reject", "ignore"),
        },
        additionalProperties = false,
    },
}

-- What the dialect knows by the same name.
local OPTIONS = {
    "mode", "proto_service", "caller", "compress", "oneway", "status_map",
    "business_status_map", "error_body", "response_headers", "max_frame", "json",
}

-- Names made of variables are known with the request only.
local function constant(name)
    if name and not core.string.find(name, "$") then
        return name
    end
end


local transcoder = core.transcode.new({
    protocol = "trpc",
    properties = properties,
    options = function(conf)
        local options = {
            service = constant(conf.service),
            ["function"] = constant(conf["function"]),
        }
        for _, name in ipairs(OPTIONS) do
            options[name] = conf[name]
        end
        return options
    end,
})

local _M = {
    version = 0.1,
    priority = 503,
    name = "trpc-transcode",
    schema = transcoder.schema,
}


function _M.check_schema(conf)
    return transcoder:check_schema(conf)
end


function _M.access(conf, ctx)
    return transcoder:access(conf, ctx)
end


return _M
