--- `opentelemetry.trace.span_status`.
-- @module opentelemetry.trace.span_status
return {
    UNSET = 0, OK = 1, ERROR = 2,

    --- The status, or `UNSET` for what is none.
    validate = function(code)
        return code and code >= 0 and code <= 2 and code or 0
    end,
}
