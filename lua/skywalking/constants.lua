--- `skywalking.constants`: the names of what `skywalking.tracer` and `skywalking.client` share.
-- @module skywalking.constants
return {
    -- The list in the shared dict `tracing_buffer` where finished segments wait, as JSON.
    segment_queue = "segment",
}
