--- serverless-pre-function: Lua functions from the configuration, before other plugins.
--
-- Runs in the phase that the conf names; a status or body that a function returns is the
-- answer.
return require("apisix.plugins.serverless.init")("serverless-pre-function", 10000)
