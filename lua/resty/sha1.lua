--- `resty.sha1`.
-- @module resty.sha1
return require("resty.digest").module("sha1")
