--- `A6.ExtraInfo.Info`: what the runner may ask for.
-- @module A6.ExtraInfo.Info
return {
    NONE = 0,
    Var = 1,
    ReqBody = 2,
    RespBody = 3,
}
