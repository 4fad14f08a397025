--- `apisix.core`: what plugins build on.
--
-- A sub-module is loaded when a plugin first names it, so that a VM holds only what its
-- plugins use.
-- @module apisix.core
local require = require
local setmetatable = setmetatable

local MODULES = {
    config = "apisix.core.config",
    config_util = "apisix.core.config_util",
    config_local = "apisix.core.config_local",
    ctx = "apisix.core.ctx",
    data_encryption = "apisix.core.data_encryption",
    dns_client = "apisix.core.dns.client",
    env = "apisix.core.env",
    etcd = "apisix.core.etcd",
    event = "apisix.core.event",
    id = "apisix.core.id",
    io = "apisix.core.io",
    ip = "apisix.core.ip",
    json = "apisix.core.json",
    log = "apisix.core.log",
    lrucache = "apisix.core.lrucache",
    math = "apisix.core.math",
    metrics = "apisix.core.metrics",
    nonce = "apisix.core.nonce",
    os = "apisix.core.os",
    profile = "apisix.core.profile",
    protocol = "apisix.core.protocol",
    pubsub = "apisix.core.pubsub",
    redis = "apisix.core.redis",
    request = "apisix.core.request",
    resolver = "apisix.core.resolver",
    response = "apisix.core.response",
    schema = "apisix.core.schema",
    signature = "apisix.core.signature",
    string = "apisix.core.string",
    table = "apisix.core.table",
    tablepool = "tablepool",
    timer = "apisix.core.timer",
    transcode = "apisix.core.transcode",
    upstream = "apisix.core.upstream",
    utils = "apisix.core.utils",
    version = "apisix.core.version",
}

return setmetatable({}, {
    __index = function(core, name)
        local value
        local module = MODULES[name]
        if module then
            value = require(module)
        elseif name == "sleep" then
            value = require("apisix.core.utils").sleep
        else
            return nil
        end

        core[name] = value
        return value
    end,
})
