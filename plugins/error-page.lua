--- error-page: bodies of one's own for the errors that the gateway answers.
--
-- The bodies stand in the plugin's metadata (`error_404`, `error_500`, `error_502`,
-- `error_503`) and are used while `enable` is true. Runs in `header_filter` and
-- `body_filter`; an error that the upstream answered passes as it is.
local core = require("apisix.core")
local plugin = require("apisix.plugin")

local NAME = "error-page"
local STATUS_MIN = 404

local PAGE = "<html>\n<head><title>%s</title></head>\n<body>\n<center><h1>%s</h1></center>\n"
             .. "<hr><center>Apache APISIX</center>\n</body>\n</html>"


local function page(title)
    return {
        type = "object",
        properties = {
            body = { type = "string", default = PAGE:format(title, title) },
            content_type = { type = "string", default = "text/html" },
        },
    }
end


local metadata_schema = {
    type = "object",
    properties = {
        enable = { type = "boolean", default = false },
        error_404 = page("404 Not Found"),
        error_500 = page("500 Internal Server Error"),
        error_502 = page("502 Bad Gateway"),
        error_503 = page("503 Service Unavailable"),
    },
}

local _M = {
    version = 0.1,
    priority = 450,
    name = NAME,
    schema = { type = "object", properties = {} },
    metadata_schema = metadata_schema,
}


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_METADATA then
        return core.schema.check(metadata_schema, conf)
    end
    return core.schema.check(_M.schema, conf)
end


local function page_for(status, ctx)
    if status < STATUS_MIN or core.response.get_response_source(ctx) == "upstream" then
        return nil
    end
    local metadata = plugin.plugin_metadata(NAME)
    if not metadata then
        core.log.info("failed to read metadata for ", NAME)
        return nil
    end
    if not metadata.value.enable then
        return nil
    end
    local found = metadata.value["error_" .. status]
    if not found or not found.body or found.body == "" then
        core.log.debug("error page for error_", status, " not defined, default will be used.")
        return nil
    end
    return found
end


function _M.header_filter(conf, ctx)
    local found = page_for(ngx.status, ctx)
    ctx.plugin_error_page = found
    if found then
        core.response.clear_header_as_body_modified()
        core.response.set_header("Content-Type", found.content_type,
                                 "Content-Length", #found.body)
    end
end


function _M.body_filter(conf, ctx)
    local found = ctx.plugin_error_page
    if not found then
        return
    end
    ngx.arg[1] = not ctx.plugin_error_page_sent and found.body or nil
    ngx.arg[2] = true
    ctx.plugin_error_page_sent = true
end


return _M
