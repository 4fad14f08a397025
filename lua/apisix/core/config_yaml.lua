--- `apisix.core.config_yaml`: one implementation serves every provider.
-- @module apisix.core.config_yaml
return require("apisix.core.config")
