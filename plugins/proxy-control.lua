--- Chooses, per route, whether request bodies are read whole before the upstream is asked.
--
-- A body that is read whole can be sent again to another node, and a slow client does not keep
-- a connection to the upstream waiting; what does not fit into `client_body_buffer_size` waits
-- in a file. Without this plugin bodies stream.
local core = require("apisix.core")
local has_client, client = pcall(require, "resty.apisix.client")

local schema = {
    type = "object",
    properties = {
        request_buffering = {
            type = "boolean",
            default = true,
            description = "Whether the body is read whole first.",
        },
    },
}

local _M = {
    version = 0.1,
    priority = 21990,
    name = "proxy-control",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


function _M.rewrite(conf)
    if not has_client then
        core.log.error("need to build APISIX-Runtime to support proxy control")
        return 501
    end

    local ok, err = client.set_proxy_request_buffering(conf.request_buffering)
    if not ok then
        core.log.error("failed to set request_buffering: ", err)
        return 503
    end
end


return _M
