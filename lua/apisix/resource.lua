--- `apisix.resource`: the newest state of an object, by its key.
-- @module apisix.resource
local config = require("apisix.core.config")
local config_util = require("apisix.core.config_util")
local log = require("apisix.core.log")

local match = string.match

local TYPES = {
    upstreams = true,
    routes = true,
    services = true,
    stream_routes = true,
    plugin_configs = true,
    global_rules = true,
    consumers = true,
    consumer_groups = true,
}

local _M = {}


--- The item behind ".../routes/1#sub-path", or nil after a line in the log.
function _M.fetch_latest_conf(path)
    path = config_util.parse_path(path)
    local kind, id = match(path, "/([^/]+)/([^/]+)$")
    if not kind then
        log.error("invalid resource path: ", path)
        return nil
    end
    if not TYPES[kind] then
        log.error("unsupported resource type: ", kind)
        return nil
    end

    local item = config.fetch_created_obj("/" .. kind):get(id)
    if not item then
        log.warn("resource not found: ", id, " in /", kind,
                 ", this can happen if the resource was deleted")
    end
    return item
end


return _M
