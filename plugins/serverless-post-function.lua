--- serverless-post-function: Lua functions from the configuration, after other plugins.
--
-- Runs in the phase that the conf names; a status or body that a function returns is the
-- answer.
return require("apisix.plugins.serverless.init")("serverless-post-function", -2000)
