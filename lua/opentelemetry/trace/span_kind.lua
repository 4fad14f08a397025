--- `opentelemetry.trace.span_kind`.
-- @module opentelemetry.trace.span_kind
return {
    unspecified = 0, internal = 1, server = 2, client = 3, producer = 4, consumer = 5,

    --- The kind, or `internal` for what is none.
    validate = function(kind)
        return kind and kind >= 0 and kind <= 5 and kind or 1
    end,
}
