--- The APISIX version whose plugin contract is kept.
-- @module apisix.core.version
return { VERSION = "3.18.0" }
