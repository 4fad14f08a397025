--- `apisix.core.config_etcd`: one implementation serves every provider.
-- @module apisix.core.config_etcd
return require("apisix.core.config")
