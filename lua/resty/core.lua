--- `resty.core`: in OpenResty it replaces C functions by FFI ones; here nothing to do.
-- @module resty.core
return { version = "0.1.28" }
