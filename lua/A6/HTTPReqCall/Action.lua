--- `A6.HTTPReqCall.Action`: what the runner wants done.
-- @module A6.HTTPReqCall.Action
return {
    NONE = 0,
    Stop = 1,
    Rewrite = 2,
}
