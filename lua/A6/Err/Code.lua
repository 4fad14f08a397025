--- `A6.Err.Code`: reasons of the runner.
-- @module A6.Err.Code
return {
    BAD_REQUEST = 0,
    SERVICE_UNAVAILABLE = 1,
    CONF_TOKEN_NOT_FOUND = 2,
}
