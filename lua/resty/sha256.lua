--- `resty.sha256`.
-- @module resty.sha256
return require("resty.digest").module("sha256")
