--- `resty.md5`.
-- @module resty.md5
return require("resty.digest").module("md5")
