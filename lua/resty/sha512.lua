--- `resty.sha512`.
-- @module resty.sha512
return require("resty.digest").module("sha512")
