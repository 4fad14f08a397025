--- `resty.sha224`.
-- @module resty.sha224
return require("resty.digest").module("sha224")
