--- `resty.sha384`.
-- @module resty.sha384
return require("resty.digest").module("sha384")
